"""Several models on one slide: common places, disagreement in units of each one's spread, agreement per gene."""

import numpy as np
import pytest
from scipy import stats

from napari_nh2st.analysis.common_places import COVERED, common_places
from napari_nh2st.analysis.model_comparison import (
    common_genes,
    compare_predictions,
    distinct_names,
    z_scores,
)
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import Box, TileSet
from napari_nh2st.model.decoder import Decoder
from support.predictions import card

SIZE = (1500, 2000)  # height, width of the slide, level-0 pixels
GENES = ["A", "B", "C", "FLAT"]


def of_field(field, *, name="one", pitch=112, scale=1.0, genes=GENES, keep=None, **facts):
    """A prediction whose gene i is ``field(x, y, i)`` at the tiles' centres."""
    places = TileSet.lattice(Box(0, 0, SIZE[1], SIZE[0]), scale=scale, pitch=pitch, patch=112)
    if keep is not None:
        places = places.select(keep(*places.centres.T))
    x, y = places.centres.T
    hidden = np.stack([np.broadcast_to(field(x, y, i), x.shape) for i in range(len(genes))], axis=1)
    decoder = Decoder(np.eye(len(genes), dtype=np.float32), np.zeros(len(genes), np.float32))
    slide = {"path": "/nowhere/C5.tif", "fingerprint": "f" * 8, "mpp": 0.5, "shape": SIZE, **facts}
    own = card(name=name, genes=list(genes), gene_means=None, ensembl=None, evaluation=None, mpp=0.5 * scale)
    return Prediction(places, hidden.astype(np.float16), decoder, own, slide)


def noise(seed):
    """Values without a pattern; gene FLAT is the same everywhere."""
    rng = np.random.default_rng(seed)
    return lambda x, y, i: 0.25 if i == 3 else rng.normal(size=x.shape)


def plane(x, y, i):
    return (i + 1) * x / 1000 + y / 500


@pytest.fixture
def pair():
    return compare_predictions([of_field(noise(0)), of_field(noise(1), name="two")])


def test_the_table_is_that_of_scipy(pair):
    table = pair.table()
    assert list(table.columns) == ["PCC", "apart", "tiles"]
    for gene in "ABC":
        a, b = (p.gene(gene).astype(np.float64) for p in pair.predictions)
        assert table.PCC[gene] == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-6)
        far = np.abs(stats.zscore(b) - stats.zscore(a))
        assert pair.disagreement(gene) == pytest.approx(stats.zscore(b) - stats.zscore(a), abs=1e-4)
        assert table.apart[gene] == pytest.approx((far > 1).mean())
    assert np.isnan(table.PCC["FLAT"])  # no spread, no units of it
    assert np.isnan(table.apart["FLAT"])
    assert np.isnan(pair.disagreement("FLAT")).all()
    assert (table.tiles == len(pair)).all()
    assert len(pair) == len(pair.predictions[0])


def test_the_mean_square_of_the_disagreement_is_what_the_correlation_leaves(pair):
    table = pair.table()
    for gene in "ABC":
        assert np.mean(pair.disagreement(gene).astype(float) ** 2) == pytest.approx(2 * (1 - table.PCC[gene]), abs=1e-5)


def test_unit_and_shrinkage_make_no_difference():
    field = noise(2)
    one = of_field(field)
    values = {i: one.matrix()[:, i] for i in range(4)}
    shrunk = of_field(lambda x, y, i: 5 + 0.25 * values[i], name="two")
    found = compare_predictions([one, shrunk])
    assert found.table().PCC.drop("FLAT").to_numpy() == pytest.approx(1, abs=1e-3)
    assert np.abs(found.disagreement("A")).max() < 0.02  # float16 keeps three digits


def test_of_three_models_the_farthest_two_count(pair):
    three = compare_predictions([*pair.predictions, of_field(noise(7), name="three")])
    z = np.stack([stats.zscore(p.gene("A").astype(float)) for p in three.predictions])
    assert three.disagreement("A") == pytest.approx(np.ptp(z, axis=0), abs=1e-4)
    table = three.table()
    r = np.corrcoef(z)[np.triu_indices(3, 1)]
    assert table.PCC["A"] == pytest.approx(r.mean(), abs=1e-6)
    assert table.lowest["A"] == pytest.approx(r.min(), abs=1e-6)


def test_a_finer_lattice_is_averaged_over_the_coarser_cells():
    coarse, fine = of_field(plane, pitch=112), of_field(plane, pitch=16, name="fine")
    found = compare_predictions([fine, coarse])
    assert found.common.coarsest == 1
    # a mean over a symmetric cell is a plane's value in its middle; the slide's edge has no cells beyond it
    inner = (found.common.places.centres > 112).all(axis=1) & (found.common.places.centres < (1850, 1350)).all(axis=1)
    laid = found.values("B")
    assert laid[0][inner] == pytest.approx(laid[1][inner], abs=2e-3)
    for weights in found.common.weights:
        assert weights.sum(axis=1) == pytest.approx(1)


def test_tiles_of_another_size_count_by_the_area_of_their_overlap():
    """Against a picture of the finer map, averaged pixel by pixel."""
    fine = of_field(noise(3), scale=1.0)
    coarse = of_field(noise(4), scale=1.5, name="coarse")  # tiles of 168 px on tiles of 112 px
    found = compare_predictions([fine, coarse])
    shape = SIZE[0] + 168, SIZE[1] + 168  # tiles reach beyond the slide
    picture, there = np.zeros(shape), np.zeros(shape, bool)
    for (x, y), value in zip(fine.places.centres, fine.gene("A"), strict=True):
        box = np.s_[int(y) - 56 : int(y) + 56, int(x) - 56 : int(x) + 56]
        picture[box], there[box] = value, True
    for (x, y), value in zip(found.common.places.centres, found.values("A")[0], strict=True):
        box = np.s_[int(y) - 84 : int(y) + 84, int(x) - 84 : int(x) + 84]
        assert there[box].sum() >= COVERED * 168**2 - 1
        assert value == pytest.approx(picture[box][there[box]].mean(), abs=1e-4)


def test_only_places_that_all_have_predicted_count():
    left = of_field(noise(0), keep=lambda x, y: x < 1300)
    right = of_field(noise(1), name="two", keep=lambda x, y: x > 600)
    right.hidden[right.places.centres[:, 1] < 300] = np.nan  # a damaged part of the file
    found = compare_predictions([left, right])
    x, y = found.common.places.centres.T
    assert (x.min(), x.max(), y.min()) == (616, 1288, 392)
    here = (left.places.centres > (600, 300)).all(axis=1)
    assert found.values("A")[0] == pytest.approx(left.gene("A")[here])
    with pytest.raises(Nh2stError, match="one and far have 0 tiles in common on this slide, 10 are needed"):
        compare_predictions([left, of_field(plane, name="far", keep=lambda x, y: x > 1400)])


def test_other_slides_and_pixel_sizes_are_refused():
    one = of_field(plane)
    with pytest.raises(Nh2stError, match="one predicted C5 and two D1, another image"):
        common_places([one, of_field(plane, fingerprint="other", path="/d/D1.tif")], ["one", "two"])
    with pytest.raises(Nh2stError, match=r"for 0\.5 µm and two for 0\.25 µm"):
        common_places([one, of_field(plane, mpp=0.25)], ["one", "two"])
    with pytest.raises(Nh2stError, match="at least two"):
        compare_predictions([one])


def test_given_places_are_compared_where_they_are_the_same():
    one = of_field(noise(0))
    spots = TileSet.at(one.places.centres, scale=1.0, pitch=112)
    at = [Prediction(spots, p.hidden, p.decoder, p.card, p.slide) for p in (one, of_field(noise(1), name="two"))]
    at[1].hidden[0] = np.nan
    found = compare_predictions(at)
    assert len(found) == len(one) - 1
    assert found.values("A")[0] == pytest.approx(one.gene("A")[1:])
    with pytest.raises(Nh2stError, match="two predicted at given places, not on a lattice"):
        compare_predictions([one, at[1]])


def test_genes_in_common_by_symbol_then_by_ensembl_id():
    first = card(genes=["ERBB2", "OLD", "ONLY"], gene_means=None, ensembl=["ENSG1", "ENSG2.4", "ENSG3"])
    second = card(genes=["NEW", "ERBB2"], gene_means=None, ensembl=["ENSG2", None])
    assert common_genes([first, second]) == {"ERBB2": (0, 1), "OLD": (1, 0)}
    assert common_genes([first, card(genes=["X"], gene_means=None, ensembl=None)]) == {}
    with pytest.raises(Nh2stError, match="one and two have no gene in common"):
        compare_predictions([of_field(plane), of_field(plane, name="two", genes=["X", "Y"])])


def test_genes_go_by_any_name_and_one_that_is_not_common_is_named():
    genes = ["ERBB2", "CD74"]
    found = compare_predictions([of_field(plane, genes=genes), of_field(plane, name="two", genes=["ERBB2"])])
    assert found.genes == ["ERBB2"]
    assert np.array_equal(found.values("her2"), found.values("ERBB2"))
    assert list(found.tiles("HER2").columns) == ["x_px", "y_px", "ERBB2"]
    assert len(found.tiles()) == len(found)
    with pytest.raises(Nh2stError, match="not all of one, two predict CD74"):
        found.values("CD74")


def test_the_table_can_be_cancelled_and_says_how_far_it_is(pair):
    told = []
    pair.table(tell=lambda *at: told.append(at))
    assert told[-1] == (4, 4)
    with pytest.raises(Cancelled):
        pair.table(cancelled=lambda: True)


def test_names_are_told_apart():
    assert distinct_names(["a", "b", "a", "a"]) == ("a", "b", "a (2)", "a (3)")


def test_rounding_is_no_spread():
    assert np.isnan(z_scores(np.full((1, 50), 0.1, np.float32))).all()
