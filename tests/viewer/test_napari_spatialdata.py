"""What napari-spatialdata itself makes of our SpatialData store, and of our layers of measured spots."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import colormaps

from napari_nh2st import Prediction
from napari_nh2st.viewer.measured.spot_table import spot_table
from support.predictions import prediction
from support.slides import picture, tiff

pytestmark = [
    pytest.mark.viewer,
    pytest.mark.readers,
    pytest.mark.filterwarnings("ignore"),  # of napari-spatialdata and what it stands on
]


def _double_click(widget, text):
    (item,) = [widget.item(row) for row in range(widget.count()) if widget.item(row).text() == text]
    widget.setCurrentItem(item)
    widget.itemDoubleClicked.emit(item)


def test_napari_spatialdata_shows_tiles_and_tissue_and_colours_by_gene(make_napari_viewer, qtbot, tmp_path):
    from napari_spatialdata._sdata_widgets import SdataWidget
    from napari_spatialdata._view import QtAdataViewWidget

    viewer = make_napari_viewer(show=True)
    made = Prediction.of(prediction(slide_path=tiff(tmp_path / "slide.tif", picture(900, 1400)))).only_done()
    made.to_spatialdata(regions={"tumour": [(0, 0), (300, 0), (300, 300)]}).write(tmp_path / "slide.zarr")
    viewer.open(tmp_path / "slide.zarr", plugin="napari-spatialdata")
    window = viewer.window._qt_window
    (elements,), (view,) = (window.findChildren(kind) for kind in (SdataWidget, QtAdataViewWidget))
    elements.coordinate_system_widget.setCurrentRow(0)
    for name in ("slide", "regions", "tiles"):
        _double_click(elements.elements_widget, name)
        qtbot.waitUntil(lambda name=name: name in viewer.layers and not elements.worker_thread.isRunning())
    slide, tiles = viewer.layers["slide"], viewer.layers["tiles"]
    assert slide.data[0].shape == (900, 1400, 3)
    to_world = tiles.affine.affine_matrix
    places = (
        np.array([(ring.min(axis=0) + ring.max(axis=0)) / 2 for ring in tiles.data]) @ to_world[:-1, :-1].T
        + to_world[:-1, -1]
    )
    np.testing.assert_allclose(places[:, ::-1], made.places.centres)
    viewer.layers.selection.active = tiles
    _double_click(view.var_widget, "ERBB2")
    _has_colours_of(tiles, made["ERBB2"])
    _colours_our_measured_spots_by_any_gene(viewer, view)


def _colours_our_measured_spots_by_any_gene(viewer, view):
    values = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    centres = np.random.default_rng(1).uniform(0, 500, size=(20, 2))
    scored = SimpleNamespace(genes=["ERBB2", "CD74"], centres=centres, truth=values, predicted=values[::-1])
    spots = viewer.add_points(centres, size=9, metadata=spot_table(SimpleNamespace(scored=scored)))
    viewer.layers.selection.active = spots
    _double_click(view.var_widget, "CD74")
    _has_colours_of(spots, values[:, 1])
    view.adata_layer_widget.setCurrentText("predicted")
    _double_click(view.var_widget, "CD74")
    _has_colours_of(spots, values[::-1, 1])


def _has_colours_of(layer, values):
    share = (values - values.min()) / np.ptp(values)
    np.testing.assert_allclose(layer.face_color, colormaps["viridis"](share), atol=1e-6)
