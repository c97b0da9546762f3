"""Domains: planted ones are found, from either source, the same ones every time."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from napari_nh2st.analysis import domains
from napari_nh2st.analysis.domains import find_domains, markers
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.card import Architecture, Card
from napari_nh2st.model.decoder import Decoder

H, GENES = 8, 12
QUARTERS = np.repeat([0, 1, 2, 3], 150)  # which part a tile is of


def prediction_of(hidden: np.ndarray) -> Prediction:
    n = len(hidden)
    grid = np.stack(np.divmod(np.arange(n), 30), axis=1)
    names = [f"G{i}" for i in range(GENES)]
    architecture = Architecture(dim=8, hidden=H, stride=16)
    card = Card(name="small", architecture=architecture, mpp=1.0, pitch=112, genes=names, gene_means=[0.0] * GENES)
    weight = np.random.default_rng(5).normal(size=(GENES, H)).astype(np.float32)
    places = TileSet(grid[:, ::-1] * 10.0 + 5, 1.0, 10, grid)
    return Prediction(places, hidden.astype(np.float16), Decoder(weight, np.zeros(GENES, np.float32)), card)


def vectors(parts: np.ndarray, width: int, seed: int, apart: float = 3.0) -> np.ndarray:
    """Draw vectors (n, width) around one centre a part; parts that are equal cannot be told apart."""
    rng = np.random.default_rng(seed)
    return apart * rng.normal(size=(4, width))[parts] + rng.normal(size=(len(parts), width))


@pytest.fixture
def prediction() -> Prediction:
    return prediction_of(vectors(QUARTERS // 2, H, seed=0))


def embed(places: TileSet) -> np.ndarray:
    """Tell the first quarter from the second, and the third from the fourth, in a unit of its own."""
    which = np.ravel_multi_index(places.grid.T, (100, 30))
    return 1000 * vectors(QUARTERS % 2, 24, seed=1)[which].astype(np.float32) + 5


def test_values_of_genes_give_the_domains_of_the_vectors_they_were_decoded_from(prediction: Prediction) -> None:
    values = prediction.matrix().astype(np.float16)
    of_values = Prediction(prediction.places, values, Decoder.of_values(GENES), prediction.card)
    found, same = find_domains(prediction, None), find_domains(of_values, None)
    assert adjusted_rand_score(found.labels, same.labels) > 0.95


def test_what_only_one_of_the_two_shows_is_found(prediction: Prediction) -> None:
    told = []
    both = find_domains(prediction, embed, tell=lambda done, total: told.append((done, total)))
    assert adjusted_rand_score(QUARTERS, both.labels) > 0.95
    assert told[-1][0] == told[-1][1]
    alone = find_domains(prediction, resolution=0.1)
    assert adjusted_rand_score(QUARTERS // 2, alone.labels) > 0.95


def test_the_same_seed_gives_the_same_domains(prediction: Prediction) -> None:
    first, second = (find_domains(prediction, embed, seed=3, resolution=2.0) for _ in range(2))
    assert first.count > 4
    np.testing.assert_array_equal(first.labels, second.labels)


def test_a_higher_resolution_divides_further(prediction: Prediction) -> None:
    few, many = (find_domains(prediction, embed, resolution=r).count for r in (0.05, 3.0))
    assert few <= 4 < many


def test_numbers_go_by_size_and_nothing_predicted_is_zero(prediction: Prediction) -> None:
    keep = np.r_[:150, 300:340, 450:600]  # a small third quarter
    prediction.hidden[np.setdiff1d(np.arange(600), keep)] = np.nan
    found = find_domains(prediction, embed)
    assert (found.labels > 0).sum() == len(keep)
    assert found.shares.sum() == pytest.approx(1)
    assert (np.diff(found.shares) <= 0).all()
    assert set(found.labels[300:340]) == {found.count}  # the smallest comes last


def test_of_many_tiles_a_sample_is_clustered_and_the_rest_follows(
    prediction: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "SAMPLE", 200)
    monkeypatch.setattr(domains, "_AT_ONCE", 64)
    asked = []

    def counted(places: TileSet) -> np.ndarray:
        asked.append(len(places))
        return embed(places)

    found = find_domains(prediction, counted)
    assert found.clustered == 200
    assert max(asked) == 64
    assert adjusted_rand_score(QUARTERS, found.labels) > 0.9


def test_tiny_clusters_join_what_is_most_like_them(prediction: Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains, "SMALLEST", 140)
    found = find_domains(prediction, embed, resolution=3.0)
    sizes = np.bincount(found.labels)[1:]
    assert (found.labels > 0).all()
    assert sizes.min() >= 140 or found.count == 1


def test_predictions_are_compared_as_standardised_genes(prediction: Prediction) -> None:
    done = np.arange(600)
    (view,) = domains._views(prediction, None, done)
    from scipy.spatial.distance import pdist

    expected = pdist(StandardScaler().fit_transform(prediction.matrix().astype(np.float64)))
    np.testing.assert_allclose(pdist(view.describe(done)), expected * np.sqrt(599 / 600), rtol=2e-3)


def test_tiles_that_are_exactly_alike() -> None:
    hidden = np.zeros((200, H))
    hidden[:100, 0], hidden[150:, 1] = 1, 1
    found = find_domains(prediction_of(hidden))
    for part in (slice(0, 100), slice(100, 150), slice(150, 200)):
        assert len(set(found.labels[part])) >= 1
    assert len({int(found.labels[i]) for i in (0, 120, 180)}) == 3


def test_what_cannot_be_divided_is_said(prediction: Prediction) -> None:
    with pytest.raises(Nh2stError, match="the same everywhere"):
        find_domains(prediction_of(np.ones((100, H))))
    with pytest.raises(Cancelled):
        find_domains(prediction, embed, cancelled=lambda: True)
    prediction.hidden[49:] = np.nan
    with pytest.raises(Nh2stError, match="49 tiles are predicted"):
        find_domains(prediction, embed)


def test_markers_are_what_sets_a_domain_apart(prediction: Prediction) -> None:
    found = find_domains(prediction, embed)
    told = []
    table = markers(prediction, found, tell=lambda done, total: told.append((done, total)))
    assert list(table.columns) == ["domain", "gene", "n_tiles", "difference", "score", "p", "adjusted p"]
    assert len(table) == found.count * GENES
    values = prediction.matrix().astype(np.float64)
    for domain in range(1, found.count + 1):
        mine, mask = table[table["domain"] == domain], found.labels == domain
        assert set(mine["n_tiles"]) == {mask.sum()}
        assert (np.diff(mine["score"]) <= 0).all()
        top = int(mine["gene"].iloc[0][1:])
        expected = values[mask, top].mean() - values[~mask, top].mean()
        assert mine["difference"].iloc[0] == pytest.approx(expected, abs=1e-3)
        assert expected > 0
    assert told[-1] == (found.count * GENES, found.count * GENES)


def test_one_domain_has_no_markers(prediction: Prediction) -> None:
    one = domains.Domains(np.ones(600, np.uint16), 600)
    assert markers(prediction, one).empty
