"""Regions: means and spreads without decoding tile by tile, and a comparison that is scanpy's."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from napari_nh2st.analysis import regions
from napari_nh2st.analysis.regions import Moments, compare, inside, region_table
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.card import Architecture, Card
from napari_nh2st.model.decoder import Decoder

SQUARE = np.array([(0, 0), (100, 0), (100, 100), (0, 100)], dtype=float)


def prediction_of(hidden: np.ndarray, genes: int = 6, seed: int = 0, columns: int = 20) -> Prediction:
    """Lay hidden vectors out row by row, ten level-0 pixels apart, the first at (5, 5)."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(genes, hidden.shape[1])).astype(np.float32)
    decoder = Decoder(weight, rng.normal(size=genes).astype(np.float32))
    grid = np.stack(np.divmod(np.arange(len(hidden)), columns), axis=1)
    names = [f"G{i}" for i in range(genes)]
    card = Card(
        name="small",
        architecture=Architecture(dim=8, hidden=hidden.shape[1], stride=16),
        mpp=1.0,
        pitch=112,
        genes=names,
        gene_means=[0.0] * genes,
    )
    places = TileSet(grid[:, ::-1] * 10.0 + 5, 1.0, 10, grid)
    return Prediction(places, hidden.astype(np.float16), decoder, card)


@pytest.fixture
def prediction() -> Prediction:
    return prediction_of(np.random.default_rng(1).normal(size=(400, 4)))


@pytest.fixture(params=["decoded", "values"])
def prediction_of_any_kind(request: pytest.FixtureRequest, prediction: Prediction) -> Prediction:
    """Hidden vectors with a decoder, or the values of the genes themselves."""
    if request.param == "decoded":
        return prediction
    values = prediction.matrix().astype(np.float16)
    return Prediction(prediction.places, values, Decoder.of_values(values.shape[1]), prediction.card)


def test_the_table_is_that_of_the_decoded_values(prediction_of_any_kind: Prediction) -> None:
    prediction = prediction_of_any_kind
    triangle = np.array([(100, 0), (200, 0), (200, 200)], dtype=float)
    table = region_table(prediction, {"tumour": [SQUARE], "2": [triangle, SQUARE + 101], "off": [SQUARE + 1000]})
    assert list(table.columns) == ["region", "gene", "n_tiles", "mean", "sd", "mean_elsewhere", "unit"]
    assert list(table["region"].unique()) == ["tumour", "2"]  # what has no tile has no rows
    values = prediction.matrix().astype(np.float64)
    x, y = prediction.places.centres.T
    for name, mask in {
        "tumour": (x < 100) & (y < 100),
        "2": ((x > 100) & (y < 2 * x - 200)) | ((x > 101) & (y > 101)),
    }.items():
        part = table[table["region"] == name].set_index("gene")
        np.testing.assert_allclose(part["n_tiles"], mask.sum())
        np.testing.assert_allclose(part["mean"], values[mask].mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(part["sd"], values[mask].std(axis=0, ddof=1), rtol=1e-5)
        np.testing.assert_allclose(part["mean_elsewhere"], values[~mask].mean(axis=0), atol=1e-5)
    assert set(table["unit"]) == {prediction.card.unit}


def test_moments_do_not_hang_on_how_places_are_cut(prediction: Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Moments.of(prediction.hidden)
    monkeypatch.setattr(regions, "_PLACES", 37)
    parts = Moments.of(prediction.hidden)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-10)
    np.testing.assert_allclose(parts.covariance, np.cov(prediction.hidden.astype(float).T), rtol=1e-10)


def test_one_tile_has_no_spread_and_nothing_predicted_is_left_out(prediction: Prediction) -> None:
    prediction.hidden[1:] = np.nan
    table = region_table(prediction, {"1": [SQUARE]})
    assert set(table["n_tiles"]) == {1}
    assert table["sd"].isna().all()
    assert table["mean_elsewhere"].isna().all()
    np.testing.assert_allclose(table["mean"], prediction.matrix()[0], atol=1e-5)


def test_twenty_thousand_genes_at_a_hundred_thousand_tiles_are_never_held() -> None:
    large = prediction_of(np.random.default_rng(0).normal(size=(100_000, 16)), genes=20_000, columns=1000)
    pytest.importorskip("scanpy")  # loaded before the count starts
    tracemalloc.start()
    region_table(large, {"1": [SQUARE * 50], "2": [SQUARE * 50 + 5000]})
    first = np.zeros(len(large), dtype=bool)
    first[:300] = True
    compare(large, first, np.roll(first, 300))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400e6  # all of them would take 8 GB


def test_outlines_that_overlap_count_a_tile_once() -> None:
    centres = np.array([(50.0, 50.0), (120.0, 120.0), (60.0, 60.0), (500.0, 5.0)])
    np.testing.assert_array_equal(inside(centres, [SQUARE, SQUARE + 50]), [True, True, True, False])
    assert not inside(centres, []).any()


def test_a_comparison_is_welch_s_over_all_genes(prediction: Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "_VALUES", 2 * 200)  # two genes at once
    first, second = np.zeros((2, 400), dtype=bool)
    first[:150], second[140:200] = True, True
    told = []
    compared = compare(prediction, first, second, tell=lambda done, total: told.append((done, total)))
    values = prediction.matrix().astype(np.float64)
    expected = stats.ttest_ind(values[:140], values[150:200], equal_var=False)  # ten tiles lie in both
    np.testing.assert_allclose(compared.table["score"], expected.statistic, rtol=1e-3)
    np.testing.assert_allclose(compared.table["p"], expected.pvalue, rtol=1e-2)
    adjusted = stats.false_discovery_control(expected.pvalue)
    np.testing.assert_allclose(compared.table["adjusted p"], adjusted, rtol=1e-2)
    difference = values[:140].mean(axis=0) - values[150:200].mean(axis=0)
    np.testing.assert_allclose(compared.table["difference"], difference, atol=1e-5)
    assert list(compared.table.index) == prediction.genes
    assert compared.used == (140, 50)
    assert told == [(2, 6), (4, 6), (6, 6)]


def test_a_comparison_says_what_it_is_not_made_for(prediction: Prediction) -> None:
    first = np.zeros(400, dtype=bool)
    first[:9] = True
    with pytest.raises(Nh2stError, match="tumour has 9 predicted tiles"):
        compare(prediction, first, ~first, names=("tumour", "the rest"))
    first[:40] = True
    with pytest.raises(Nh2stError, match="the rest has 0 predicted tiles"):
        compare(prediction, first, first & False, names=("tumour", "the rest"))
    with pytest.raises(Cancelled):
        compare(prediction, first, ~first, cancelled=lambda: True)


def test_large_sides_are_sampled_with_a_seed(prediction: Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "MOST", 60)
    first = np.arange(400) < 150
    once, again, other = (compare(prediction, first, ~first, seed=seed) for seed in (0, 0, 1))
    assert once.used == (60, 60)
    assert once.table.equals(again.table)
    assert not once.table.equals(other.table)


def test_a_gene_that_is_the_same_everywhere_does_not_differ() -> None:
    hidden = np.random.default_rng(0).normal(size=(100, 4))
    flat = prediction_of(hidden)
    flat.decoder.weight[2] = 0
    compared = compare(flat, np.arange(100) < 50, np.arange(100) >= 50)
    assert compared.table.loc["G2", "p"] == 1.0
    assert compared.table.loc["G2", "difference"] == pytest.approx(0, abs=1e-6)
