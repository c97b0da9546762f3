"""What a prediction gives in Python: values, tables, pictures, files, and a short way of showing itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from napari_nh2st import Nh2stError, Nh2stWarning, Prediction, open_prediction, open_slide
from napari_nh2st.errors import UnknownGene
from napari_nh2st.geometry import TileSet
from support.predictions import GENES, card, prediction
from support.slides import picture, tiff

SIDE = 112  # of a tile, level-0 pixels


@pytest.fixture
def made():
    """8 x 12 tiles, of which the last three are not predicted."""
    return Prediction.of(prediction())


def test_one_gene_and_several_by_any_name(made):
    assert made["her2"].shape == (len(made),)
    assert np.array_equal(made["HER2"], made.gene("ERBB2"), equal_nan=True)
    assert made[["CD74", "erbb2"]].shape == made.matrix(("CD74", "ERBB2")).shape == (len(made), 2)
    assert np.array_equal(made.matrix("ERBB2")[:, 0], made["ERBB2"], equal_nan=True)  # one gene, not five
    assert made.trust("HER2") == made.card.trust("ERBB2") != "not evaluated"
    with pytest.raises(UnknownGene, match=r"does not predict ERB2 \(did you mean ERBB2\?\)"):
        made["ERB2"]


def test_a_heatmap_says_where_it_lies(made):
    heat = made.heatmap("HER2")
    assert heat.extent == (0, 12 * SIDE, 8 * SIDE, 0)
    row, column = made.places.grid[17]
    x, y, _ = heat.transform @ (column + 0.5, row + 0.5, 1)
    assert (x, y) == tuple(made.places.centres[17])
    assert heat.values[row, column] == made["ERBB2"][17]
    assert len(repr(heat)) < 100


def test_values_at_points_are_those_of_the_tile_that_holds_each(made):
    points = [
        (3 * SIDE, 2 * SIDE),
        (4 * SIDE - 0.1, 3 * SIDE - 0.1),
        (-1, 5),
        (12 * SIDE, 0),
        (np.nan, 0),
        (12 * SIDE - 1, 8 * SIDE - 1),
    ]
    values = made.at(points, "ERBB2")
    tile = made["ERBB2"][(made.places.grid == (2, 3)).all(axis=1)][0]
    assert values[:2].tolist() == [tile, tile]
    assert np.isnan(values[2:]).all()  # off the map, no number, and a tile that is not predicted
    assert made.at(points).shape == (6, len(GENES))
    assert made.at(np.empty((0, 2)), ["CD74"]).shape == (0, 1)
    with pytest.raises(ValueError, match=r"points are an array \(m, 2\)"):
        made.at((3, 4))


def test_values_at_points_near_given_places():
    places = TileSet.at([(100, 100), (150, 100)], scale=1.0, pitch=100)
    assert places.holding([(110, 60), (130, 100), (151, 151), (200, 150), (49, 100)]).tolist() == [0, 1, -1, 1, -1]


def test_a_table_has_the_columns_of_the_csv(made, tmp_path):
    import pandas as pd

    table = made.to_dataframe(["HER2", "CD74"])
    assert list(table.columns) == ["row", "col", "x_px", "y_px", "x_um", "y_um", "ERBB2", "CD74"]
    csv = pd.read_csv(made.save(tmp_path / "t.csv", ["HER2", "CD74"]), index_col="tile")
    pd.testing.assert_frame_equal(table, csv, check_dtype=False, atol=1e-4)
    assert len(made.to_dataframe().columns) == 6 + len(GENES)


@pytest.mark.filterwarnings("ignore:exported without a tissue image")
def test_anndata_keeps_plain_values_in_a_file(made, tmp_path):
    import anndata

    assert made.to_anndata("HER2").var_names.tolist() == ["ERBB2"]
    data = anndata.read_h5ad(made.save(tmp_path / "t.h5ad"))
    facts = data.uns["nh2st"]
    assert facts["slide"]["shape"].tolist() == [900, 1400]
    assert facts["versions"]["torch"] == "2.13.0"
    assert facts["places"]["count"] == len(made) - 3
    assert not [v for v in facts.values() if isinstance(v, str) and v.startswith(("{", "["))]
    assert data.var["gene_ids"].tolist()[0] == "ENSG00000141736"


def test_a_prediction_is_saved_by_its_ending_and_opens_again(made, tmp_path):
    again = open_prediction(made.save(tmp_path / "t.nh2st"))
    assert np.array_equal(again["ERBB2"], made.only_done()["ERBB2"])
    for path, how, says in (("t.xlsx", {}, r"\.nh2st, \.h5ad, \.csv"), ("t.nh2st", {"genes": "ERBB2"}, "every gene")):
        with pytest.raises(Nh2stError, match=says):
            made.save(tmp_path / path, **how)


class Shape:
    """A polygon as shapely gives it."""

    def __init__(self, *rings):
        self.__geo_interface__ = {"type": "Polygon", "coordinates": tuple(tuple(r) for r in rings)}


def square(x, y, side):
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


@pytest.mark.filterwarnings("ignore:exported without a tissue image")
def test_what_means_nothing_is_told_wherever_it_is_written(tmp_path):
    invented = Prediction.of(prediction())
    invented.slide["synthetic"] = False  # a demo model on a real slide
    for write in (
        invented.to_dataframe,
        invented.to_anndata,
        lambda: invented.save(tmp_path / "a.csv"),
        lambda: invented.save(tmp_path / "a.nh2st"),
    ):
        with pytest.warns(Nh2stWarning, match="means nothing") as told:
            write()
        assert Path(told[0].filename) == Path(__file__)


def test_regions_of_every_kind_give_the_same_table(made):
    outline = square(SIDE, SIDE, 3 * SIDE)
    feature = {"type": "Feature", "properties": {"name": "tumour"}, "geometry": Shape(outline).__geo_interface__}
    qupath = {**feature, "properties": {"classification": {"name": "tumour"}}}

    frame = Shape()  # stands for a GeoDataFrame
    frame.__geo_interface__ = {"type": "FeatureCollection", "features": [feature]}
    wanted = made.regions({"tumour": np.array(outline)})
    assert set(wanted.n_tiles) == {9}
    inside = made.at(np.array([(c, r) for r in (1.5, 2.5, 3.5) for c in (1.5, 2.5, 3.5)]) * SIDE, "ERBB2")
    assert wanted.set_index("gene").loc["ERBB2", "mean"] == pytest.approx(inside.mean(), abs=1e-3)
    for regions in ({"tumour": Shape(outline)}, frame, {"type": "FeatureCollection", "features": [qupath]}):
        assert made.regions(regions).equals(wanted)
    for regions in ([Shape(outline)], [outline], outline):
        assert made.regions(regions).assign(region="tumour").equals(wanted)


def test_holes_count_not_and_regions_without_tiles_are_told(made):
    holed = Shape(square(SIDE, SIDE, 3 * SIDE), square(2 * SIDE, 2 * SIDE, SIDE))
    assert set(made.regions([holed]).n_tiles) == {8}
    with pytest.warns(Nh2stWarning, match="no predicted tile in off; there would be with x and y exchanged"):
        assert made.regions({"off": square(100, 1100, 200)}).empty
    with pytest.raises(Nh2stError, match="a Point is no region"):
        made.regions([{"type": "Point", "coordinates": (0, 0)}])
    with pytest.raises(Nh2stError, match="regions are polygons"):
        made.regions(["tumour"])


def test_a_plot_has_the_map_the_scale_bar_and_the_unit(made):
    axes = made.plot("HER2", ax=Figure().add_subplot(), limits=(0, 2))
    (image,) = axes.images
    assert np.allclose(image.get_array().filled(np.nan), made.heatmap("ERBB2").values, atol=1e-5, equal_nan=True)
    assert image.get_extent() == list(made.heatmap("ERBB2").extent)
    assert (image.norm.vmin, image.norm.vmax) == (0, 2)
    assert "µm" in axes.texts[0].get_text()
    bar = next(a for a in axes.figure.axes if a is not axes)
    assert bar.get_ylabel() == made.card.unit
    assert axes.get_title() == "ERBB2, predicted (test-model)"


def test_a_plot_over_the_tissue_of_its_own_slide_alone(tmp_path):
    path = tiff(tmp_path / "s.tif", picture(900, 1400), resolution=(2e4, 2e4), resolutionunit=3)
    with open_slide(path) as slide:
        made = Prediction.of(prediction(slide_path=path, fingerprint=slide.fingerprint))
        made.slide["synthetic"] = False
        axes = made.plot("HER2", path, ax=Figure().add_subplot())
        assert len(axes.images) == 2
        assert any("procedural tissue" in text.get_text().replace("\n", " ") for text in axes.texts)
        other = Prediction.of(prediction(slide_path=path, fingerprint="another"))
        with pytest.raises(Nh2stError, match=r"s\.tif is not the slide of this prediction"):
            other.plot("HER2", slide)
        assert "data:image/png;base64," in slide._repr_html_()
    assert "was closed" in slide._repr_html_()


def test_what_is_shown_of_an_object_is_short(made):
    places = f"{len(made) - 3} of {len(made)} places"
    values = "4 genes in ln(1 + counts per 10,000)"
    assert repr(made) == f"Prediction('no slide', {places}, {values}, model 'test-model')"
    many = card(genes=[f"G{i}" for i in range(2000)], gene_means=None, ensembl=None)
    for thing in (many, made.places, made.decoder):
        assert len(repr(thing)) < 120
        assert str(thing) == repr(thing)


def test_a_notebook_shows_the_facts_and_the_best_gene(made):
    shown = made._repr_html_()
    assert "<th>genes</th><td>4, in ln(1 + counts per 10,000)</td>" in shown
    assert "data:image/png;base64," in shown
    assert "<figcaption>ERBB2</figcaption>" in shown
    nothing = Prediction.of(prediction(undone=len(made)))
    assert "img" not in nothing._repr_html_()
    odd = made.of(made)
    odd.slide = {"path": "<script>.tif"}
    assert "<script>" not in odd._repr_html_()
    json.dumps(shown)
