"""The fold "Measured" in a real window: a file is dropped in, looked at, used, and held against the prediction."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog

from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.measured.section import MeasuredSection
from napari_nh2st.viewer.predict_dock import PredictWidget
from support import visium
from viewer.fakes import GENES, FakeServices, FakeSlide, hidden_at
from viewer.measured.material import SPOTS, counts_of, h5ad

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Dock:
    """A window with the dock and its fold open."""

    def __init__(self, make_viewer, qtbot, slide=None, services=None) -> None:
        self.viewer, self.qtbot, self.services = make_viewer(), qtbot, services or FakeServices()
        self.slide = slide or FakeSlide()
        data, meta, _ = frames.slide_layer_data(self.slide)
        self.viewer.add_image(data, **meta)
        self.widget = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.viewer.show()
        self.workspace = self.widget.workspace
        self.fold = self.widget.folds["Measured"]
        self.section: MeasuredSection = self.fold.open()
        qtbot.waitUntil(self.section.isVisible)

    def until(self, condition, timeout: int = 20_000) -> None:
        self.qtbot.waitUntil(condition, timeout=timeout)

    def drop(self, *paths: str) -> None:
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(p)) for p in paths])
        none, copy = Qt.KeyboardModifier.NoModifier, Qt.DropAction.CopyAction
        entering = QDragEnterEvent(QPointF(5, 5).toPoint(), copy, mime, LEFT, none)
        self.section.dragEnterEvent(entering)
        assert entering.isAccepted()
        self.section.dropEvent(QDropEvent(QPointF(5, 5), copy, mime, LEFT, none))

    def compared(self, *paths: str):
        self.drop(*paths)
        self.until(lambda: self.section.comparison is not None, timeout=90_000)  # a process starts, and loads HDF5
        return self.section.comparison

    def rest(self) -> None:
        self.until(lambda: not self.section.task.running)

    def click(self, button) -> None:
        self.qtbot.mouseClick(button, LEFT)

    def tick(self, box) -> None:
        self.qtbot.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2))

    def predict(self) -> None:
        self.click(self.widget.where.buttons["whole"])
        self.click(self.widget.job.button)
        self.until(lambda: self.workspace.heatmap is not None and not self.widget.controller.running)

    def says(self) -> str:
        return self.section.task.sentence.text()

    def legend(self) -> list[str]:
        overlays = self.viewer.canvas.overlays.items()
        return [each.text for key, each in overlays if key.startswith("nh2st_legend") and each.visible]

    def names(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]


@pytest.fixture
def dock(make_napari_viewer, qtbot) -> Dock:
    return Dock(make_napari_viewer, qtbot)


def test_a_dropped_file_is_scored_drawn_and_tabled(dock: Dock, tmp_path) -> None:
    dock.predict()
    found = dock.compared(h5ad(tmp_path / "C9.h5ad"))
    section, heatmap = dock.section, dock.workspace.heatmap.layer
    assert section.summary.text().startswith("C9: mean PCC ")
    assert section.summary.text().endswith("over 4 genes, across 80 spots. 1 is perfect, 0 is none.")
    assert found.values("ERBB2")[1] == pytest.approx(hidden_at(SPOTS)[:, 0].astype(np.float32), abs=1e-3)
    assert dock.names()[1:] == ["C9 · ERBB2 · predicted", "C9 · ERBB2 · measured"]
    assert dock.legend() == ["circles: measured, in the same colours"]
    assert heatmap.colorbar.position == "top_left"  # the note stands beside the map's own bar
    layer = section.spots.layer
    np.testing.assert_allclose(layer.data, SPOTS[:, ::-1] - 0.5)
    np.testing.assert_allclose(layer.scale, dock.viewer.layers[0].scale)
    assert np.allclose(layer.size, 50)  # half the distance between spots
    assert layer.units == dock.viewer.layers[0].units
    heatmap.contrast_limits = low, high = (4.0, 8.0)
    dock.until(lambda: np.ptp(layer.face_color, axis=0).max() > 0.1)
    wanted = heatmap.colormap.map(np.clip((found.values("ERBB2")[0] - low) / (high - low), 0, 1))
    np.testing.assert_allclose(layer.face_color, wanted, atol=1e-5)
    assert list(section.table.frame.index) == list(found.table().index)
    assert section.banner.isHidden()
    assert "may have seen other tissue of the same patient" in section.caveats.text()


def test_the_spots_follow_the_gene_and_the_limits(dock: Dock, tmp_path) -> None:
    dock.predict()
    found = dock.compared(h5ad(tmp_path / "C9.h5ad"))
    section = dock.section
    row = list(section.table.frame.index).index("KRT8")
    index = section.table.view.model().index(row, 0)
    dock.qtbot.mouseClick(section.table.view.viewport(), LEFT, pos=section.table.view.visualRect(index).center())
    assert dock.workspace.state.gene == "KRT8"
    assert dock.names()[1:] == ["C9 · KRT8 · predicted", "C9 · KRT8 · measured"]
    assert section.scatter.title.startswith("KRT8: PCC ")
    np.testing.assert_array_equal(section.scatter.measured, found.values("KRT8")[0])
    before = section.spots.layer.face_color.copy()
    heatmap = dock.workspace.heatmap.layer
    heatmap.contrast_limits = (4.0, 8.0)  # what is measured, unlike what the stand-in predicts
    dock.until(lambda: not np.allclose(section.spots.layer.face_color, before))
    before = section.spots.layer.face_color.copy()
    dock.widget.state.style.colormap = "magma"
    dock.until(lambda: not np.allclose(section.spots.layer.face_color, before))


def test_another_frame_is_asked_for_and_shown_before_use(dock: Dock, tmp_path) -> None:
    h5ad(tmp_path / "small.h5ad", spots=SPOTS / 4)
    visium.outs(tmp_path / "V", counts_of(GENES), GENES, SPOTS * 2, image=(1920, 2560), diameter=110.0)
    dock.drop(tmp_path / "V")
    section = dock.section
    dock.until(lambda: section.frame.isVisible())
    assert section.doubt.text().startswith("The spots were placed on an image of about 2,560 x 1,920 px")
    assert section.scale.value() == 0.5
    rings = section.presenter.rings.layer
    np.testing.assert_allclose(rings.data, SPOTS[:, ::-1] - 0.5)
    assert np.allclose(rings.size, 55)
    assert section.comparison is None
    section.x.setValue(30)
    np.testing.assert_allclose(rings.data, SPOTS[:, ::-1] - 0.5 + (0, 30))
    section.x.setValue(0)
    dock.click(section.use)
    dock.until(lambda: section.comparison is not None)
    assert rings not in dock.viewer.layers
    assert section.frame.isHidden()
    np.testing.assert_allclose(section.comparison.scored.centres, SPOTS)
    assert np.allclose(section.spots.layer.size, 55)
    dock.drop(tmp_path / "small.h5ad")
    dock.until(lambda: section.frame.isVisible())
    assert "small corner" in section.doubt.text()
    dock.click(section.discard)
    assert section.measurement is None
    assert len(dock.viewer.layers) == 1
    assert "Drop a measurement" in section.hint.text()


def test_counts_that_are_named_like_another_slide_are_asked_about(dock: Dock, tmp_path) -> None:
    """The counts of C8 dropped on the slide C9: taken silently, they gave figures of another section."""
    dock.predict()
    dock.drop(h5ad(tmp_path / "C8.h5ad"))
    section = dock.section
    dock.until(lambda: section.frame.isVisible())
    assert section.doubt.text().startswith("The measurement is named C8.h5ad, the slide C9.svs. Does it belong")
    assert section.comparison is None
    np.testing.assert_allclose(section.presenter.rings.layer.data, SPOTS[:, ::-1] - 0.5)
    dock.click(section.discard)
    assert section.measurement is None
    dock.drop(h5ad(tmp_path / "C8.h5ad"))
    dock.until(lambda: section.frame.isVisible())
    dock.click(section.use)
    dock.until(lambda: section.comparison is not None)
    assert "The measurement is named C8.h5ad" in section.caveats.text()
    # under the cursor, and beside the colours
    dock.tick(section.show_difference)
    assert (section.show_spots.isChecked(), section.spots.visible) == (False, False), (
        "they lay below the others, unseen"
    )
    truth, predicted = (float(values[0]) for values in section.comparison.values("ERBB2"))
    dock.viewer.mouse_over_canvas = True
    dock.viewer.cursor.position = tuple(section.spots.layer.data_to_world(section.spots.layer.data[0]))
    difference = round(predicted, 2) - round(truth, 2)
    said = f"ERBB2 predicted {predicted:z.2f}, measured {truth:z.2f}, difference {difference:+z.2f}"
    dock.until(lambda: str(dock.viewer.status).startswith(f"{said} ln(1 + counts per 10,000)"))
    assert "ERBB2, predicted less measured" in dock.legend()
    assert any(text.startswith("predicts more, up to +") for text in dock.legend())
    dock.tick(section.show_difference)
    assert not any("predicted less measured" in text for text in dock.legend())
    assert (section.show_spots.isChecked(), section.spots.visible) == (True, True)
    dock.workspace.heatmap.layer.visible = False  # with its bar; the colours of the spots still need a key
    dock.until(lambda: "ERBB2, measured" in dock.legend())


def test_positions_are_asked_for_where_they_do_not_lie_beside(dock: Dock, tmp_path, monkeypatch) -> None:
    counts = pd.DataFrame(counts_of(GENES), columns=GENES, index=[f"{i}x1" for i in range(len(SPOTS))])
    counts.to_csv(tmp_path / "C9.tsv.gz", sep="\t")
    where = pd.DataFrame({"x": range(80), "y": 1, "pixel_x": SPOTS[:, 0], "pixel_y": SPOTS[:, 1]})
    where.to_csv(tmp_path / "somewhere.tsv", sep="\t", index=False)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(tmp_path / "C9.tsv.gz"), ""))
    dock.section.load_file.trigger()
    dock.until(dock.section.positions.isVisible)
    assert "Where do the spots of C9.tsv.gz lie?" in dock.section.hint.text()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(tmp_path / "somewhere.tsv"), ""))
    dock.click(dock.section.positions)
    dock.until(lambda: dock.section.comparison is not None)
    assert not dock.section.positions.isVisible()


def test_another_model_scores_anew_and_only_in_sight(dock: Dock, tmp_path) -> None:
    first = dock.compared(h5ad(tmp_path / "C9.h5ad"))
    dock.widget.use_model("demo")
    dock.until(lambda: dock.section.comparison is not None)
    assert dock.section.comparison.card.name == "demo"
    assert dock.section.show_spots.isChecked()
    assert dock.section.spots.present
    dock.fold.open(False)
    dock.widget.use_model("her2st")
    dock.qtbot.wait(200)
    assert dock.section.comparison is None
    dock.fold.open()
    dock.until(lambda: dock.section.comparison is not None)
    assert dock.section.comparison is not first
    assert dock.section.comparison.card.name == "her2st"


def test_cancel_and_compare_again(dock: Dock, tmp_path) -> None:
    dock.services.gate = threading.Event()
    dock.drop(h5ad(tmp_path / "C9.h5ad"))
    dock.until(lambda: dock.services.streams != [])
    dock.click(dock.section.task.cancel_button)
    dock.rest()
    assert dock.says() == "Stopped."
    dock.services.gate = None
    dock.click(dock.section.again)
    dock.until(lambda: dock.section.comparison is not None)


def test_closing_the_dock_ends_it(dock: Dock, tmp_path) -> None:
    dock.predict()
    dock.compared(h5ad(tmp_path / "C9.h5ad"))
    heatmap = dock.workspace.heatmap.layer
    dock.viewer.window.remove_dock_widget(dock.widget)
    before = dock.section.spots.layer.face_color.copy()
    heatmap.contrast_limits = (4.0, 8.0)
    dock.qtbot.wait(150)
    np.testing.assert_array_equal(dock.section.spots.layer.face_color, before)
    dock.viewer.layers.clear()
