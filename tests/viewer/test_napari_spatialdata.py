"""The SpatialData store in napari-spatialdata itself: its tiles over the tissue, coloured by a gene."""

import numpy as np
import pytest
from matplotlib import colormaps

from napari_nh2st import Prediction
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
    share = (made["ERBB2"] - made["ERBB2"].min()) / np.ptp(made["ERBB2"])
    np.testing.assert_allclose(tiles.face_color, colormaps["viridis"](share), atol=1e-6)
