"""What is on screen as a command, as Python, as a figure and as a saved view."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_nh2st import cli
from napari_nh2st.engine.store import open_prediction, save_prediction
from napari_nh2st.formats.display import Display, Subject, load_display, save_display
from napari_nh2st.formats.figure import draw_figure
from napari_nh2st.formats.picture import find_slide
from napari_nh2st.viewer.export.on_screen import display_of_window
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict.region import visible_box
from napari_nh2st.viewer.predict_dock import PredictWidget
from viewer.fakes import FakeServices, FakeSlide

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Dock:
    """A window with the dock and a slide; with a real one, the engine is the real one."""

    def __init__(self, make_viewer, qtbot, slide: Path | None = None, model: Path | None = None) -> None:
        # shown: pictures of a hidden canvas are black
        self.viewer, self.qtbot = make_viewer(show=slide is not None), qtbot
        if slide is None:
            data, meta, _ = frames.slide_layer_data(FakeSlide())
            self.viewer.add_image(data, **meta)
        else:
            self.viewer.open(str(slide), plugin="napari-nh2st")
        self.widget = PredictWidget(self.viewer, FakeServices() if slide is None else None)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.workspace, self.result = self.widget.workspace, self.widget.result
        if model is not None:
            self.widget.use_model(str(model))

    def predict(self) -> None:
        self.qtbot.mouseClick(self.widget.where.buttons["whole"], LEFT)
        self.qtbot.mouseClick(self.widget.job.button, LEFT)
        states = (State.RUNNING, State.IDLE)
        self.qtbot.waitUntil(lambda: self.widget.controller.status.state not in states, timeout=60_000)
        assert self.widget.controller.status.state is State.DONE

    def copied(self, what) -> str:
        self.qtbot.mouseClick(what, LEFT) if hasattr(what, "click") else what.trigger()
        return QApplication.clipboard().text()


@pytest.fixture
def dock(make_napari_viewer, qtbot) -> Dock:
    return Dock(make_napari_viewer, qtbot)


@pytest.fixture
def real(make_napari_viewer, qtbot, small_slide, tiny_model) -> Dock:
    dock = Dock(make_napari_viewer, qtbot, small_slide, tiny_model)
    dock.predict()
    return dock


def run(line: str, monkeypatch) -> None:
    words = shlex.split(line, comments=True)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code


def test_what_is_copied_gives_what_is_on_screen(real: Dock, tmp_path, monkeypatch, qtbot) -> None:
    real.widget.state.request_gene("GENE3")
    real.workspace.heatmap.layer.contrast_limits = (-0.25, 0.75)
    real.viewer.scene.camera.zoom *= 1.3
    shown, display = real.workspace.map, display_of_window(real.workspace)
    expected = shown.values("GENE3")
    monkeypatch.chdir(tmp_path)

    script = real.copied(real.result.python)
    made: dict = {}
    exec(compile(script, "copied", "exec"), made)
    cells = shown.cells(made["prediction"].places)
    assert len(cells) == shown.count
    np.testing.assert_allclose(made["values"], expected.ravel()[cells], atol=4e-3)
    np.testing.assert_array_equal(made["centres"], shown.tiles(cells).centres)

    predict, figure = real.copied(real.result.command).splitlines()
    run(predict, monkeypatch)
    again = open_prediction("predictions/small.nh2st")
    np.testing.assert_allclose(again.gene("GENE3"), expected.ravel()[shown.cells(again.places)], atol=4e-3)
    run(figure, monkeypatch)
    (pdf,) = Path().glob("*.pdf")
    assert pdf.name == "GENE3.pdf"
    assert "--limits=-0.25,0.75" in figure or "--limits -0.25,0.75" in figure
    assert f"--region {','.join(str(round(v)) for v in display.region)}" in figure

    real.result.write("csv", "out.csv")
    qtbot.waitUntil(lambda: "Saved" in real.result.note.text(), timeout=20_000)
    record = json.loads(Path("out.csv.provenance.json").read_text())
    assert record["command"].startswith("nh2st predict ")
    assert record["versions"]["torch"]
    assert record["model_hash"] == shown.provenance["model_hash"] == display.of.model_hash


def tile_colours(picture, corners) -> np.ndarray:
    """Mean colour of the middle of each tile, given (left, top, right, bottom) in pixels."""
    found = []
    for left, top, right, bottom in corners:
        inset_x, inset_y = (right - left) * 0.2, (bottom - top) * 0.2
        rows, columns = (
            slice(int(top + inset_y), int(bottom - inset_y)),
            slice(int(left + inset_x), int(right - inset_x)),
        )
        found.append(picture[rows, columns, :3].reshape(-1, 3).mean(axis=0))
    return np.array(found)


@pytest.mark.parametrize(("opacity", "smooth"), [(1.0, False), (0.7, False), (0.7, True)])
def test_the_figure_has_the_colours_of_the_window(real: Dock, qtbot, opacity, smooth) -> None:
    viewer, shown = real.viewer, real.workspace.map
    real.widget.state.request_gene("GENE5")
    real.widget.state.style.smooth = smooth
    layer = real.workspace.heatmap.layer
    layer.opacity = opacity
    layer.colorbar.visible = False  # it lies over tiles
    low, high = layer.contrast_limits
    layer.contrast_limits = (low, low + 0.8 * (high - low))
    viewer.canvas.overlays["nh2st_unit"].visible = False
    viewer.fit_to_view()
    qtbot.wait(300)
    window = viewer.screenshot(canvas_only=True, flash=False).astype(float)
    slide, _ = find_slide(shown.prediction())
    figure = draw_figure(shown.prediction(), display_of_window(real.workspace), slide=slide)
    slide.close()
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba()).astype(float)

    cells = np.flatnonzero(shown.done)
    centres, half = shown.tiles(cells).centres, shown.cell / 2
    keep = centres[:, 0] > 500  # the figure's scale bar is on the left
    boxes = np.hstack([centres - half, centres + half])[keep]
    mpp, camera = shown.slide["mpp"], viewer.scene.camera
    world = (boxes - 0.5) * mpp
    middle = np.array([camera.center[-1], camera.center[-2]] * 2)
    size = np.array(window.shape[1::-1] * 2)
    in_window = (world - middle) * camera.zoom + size / 2
    to_pixel = figure.axes[0].transData.transform
    corners = np.hstack([to_pixel(boxes[:, :2]), to_pixel(boxes[:, 2:])])
    corners[:, 1::2] = drawn.shape[0] - corners[:, 1::2]
    assert len(boxes) > 5
    there, here = tile_colours(window, in_window), tile_colours(drawn, corners)
    assert np.ptp(there, axis=0).max() > 60  # there are different colours to compare
    assert np.abs(there - here).max() < 5


def test_a_view_is_saved_and_loaded(dock: Dock, tmp_path, qtbot) -> None:
    dock.predict()
    viewer, state = dock.viewer, dock.widget.state
    state.request_gene("KRT8")
    state.style.colormap, state.style.percentiles = "magma", (5.0, 95.0)
    dock.workspace.heatmap.layer.contrast_limits = (0.25, 0.5)
    dock.workspace.heatmap.layer.opacity = 0.4
    state.style.locked = True
    viewer.scene.camera.zoom *= 3
    viewer.scene.camera.center = (0, 200, 300)
    seen = visible_box(viewer, viewer.layers[0])
    dock.result.write_view(str(tmp_path / "view.json"))
    assert dock.result.note.text() == f"Saved {tmp_path / 'view.json'}"
    display = load_display(tmp_path / "view.json")
    assert (display.genes, display.colormap, display.percentiles) == (("KRT8",), "magma", (5.0, 95.0))
    assert (display.limits, display.locked, display.opacity) == ({"KRT8": (0.25, 0.5)}, True, 0.4)
    assert display.of == Subject(
        slide="/nowhere/C9.svs", fingerprint="f" * 8, mpp=0.5, model="her2st", model_hash="hash of her2st 0", pitch=112
    )

    state.style.locked = False
    state.request_gene("ERBB2")
    state.style.colormap, state.style.percentiles = "viridis", (1.0, 99.0)
    dock.workspace.heatmap.layer.contrast_limits = (0.0, 9.0)
    viewer.fit_to_view()
    dock.result.read_view(str(tmp_path / "view.json"))
    layer = dock.workspace.heatmap.layer
    assert dock.result.note.text() == "Loaded view.json."
    assert (state.gene, dock.workspace.heatmap.gene, state.style.locked) == ("KRT8", "KRT8", True)
    assert (layer.colormap.name, tuple(layer.contrast_limits), layer.opacity) == ("magma", (0.25, 0.5), 0.4)
    assert state.style.percentiles == (5.0, 95.0)
    now = visible_box(viewer, viewer.layers[0])
    np.testing.assert_allclose((now.x0, now.y0, now.x1, now.y1), (seen.x0, seen.y0, seen.x1, seen.y1), atol=1)
    state.request_gene("ERBB2")
    assert tuple(layer.contrast_limits) == (0.25, 0.5)  # locked, as it was saved


def test_a_view_of_another_slide_opens_nothing_and_says_so(dock: Dock, tmp_path) -> None:
    dock.predict()
    before = visible_box(dock.viewer, dock.viewer.layers[0])
    other = Subject(slide="/data/B4.svs", fingerprint="other", model="her2st", pitch=112)
    view = Display(genes=("CD3E",), colormap="magma", region=(0.0, 0.0, 50.0, 50.0), of=other)
    dock.result.read_view(str(save_display(view, tmp_path / "view.json")))
    assert dock.result.note.text() == (
        "Loaded view.json. It was made on B4.svs: the part of the slide that it shows was left out."
    )
    assert dock.workspace.heatmap.gene == "CD3E"
    assert visible_box(dock.viewer, dock.viewer.layers[0]) == before
    assert len(dock.viewer.layers) == 2


def test_a_view_that_cannot_be_shown_is_a_sentence(dock: Dock, tmp_path) -> None:
    (tmp_path / "x.json").write_text("{}")
    dock.result.read_view(str(tmp_path / "x.json"))
    assert dock.result.note.text().endswith("is not a saved view: give a file that “Save view…” wrote")
    view = save_display(Display(genes=("NOPE",), colormap="gnuplot"), tmp_path / "view.json")
    dock.result.read_view(str(view))
    assert "no colours named gnuplot" in dock.result.note.text()
    assert "while nothing is predicted" in dock.result.note.text()
    dock.predict()
    dock.result.read_view(str(view))
    assert "her2st does not predict NOPE." in dock.result.note.text()
    assert dock.workspace.heatmap.gene == "ERBB2"


def test_the_menu_asks_for_a_file(dock: Dock, tmp_path, monkeypatch, qtbot) -> None:
    result = dock.result
    result.more.menu().aboutToShow.emit()
    assert not result.figure.isEnabled()
    dock.predict()
    result.more.menu().aboutToShow.emit()
    assert all(action.isEnabled() and action.toolTip() != action.text() for action in result.more.menu().actions())
    answer = [str(tmp_path / "a"), "PNG (*.png)"]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: tuple(answer))
    result.figure.trigger()
    qtbot.waitUntil(lambda: "Saved" in result.note.text(), timeout=20_000)
    assert (tmp_path / "a.png").exists()  # the slide of this test is not on the disk
    assert "without tissue: the slide /nowhere/C9.svs was not used: it is not there any more" in result.note.text()
    result.save_view.trigger()
    assert load_display(tmp_path / "a.json").genes == ("ERBB2",)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "a.json"), ""))
    result.load_view.trigger()
    assert result.note.text() == "Loaded a.json."
    answer[0] = ""
    result.figure.trigger()
    result.save_view.trigger()
    assert sorted(p.name for p in tmp_path.glob("a.*")) == ["a.json", "a.png"]


def test_a_deleted_heatmap_leaves_no_traceback(dock: Dock, tmp_path) -> None:
    dock.predict()
    dock.viewer.layers.remove(dock.workspace.heatmap.layer)
    dock.result.write_figure(str(tmp_path / "a.png"))
    assert "No heatmap is shown" in dock.result.note.text()
    dock.result.write_view(str(tmp_path / "a.json"))
    assert "No heatmap is shown" in dock.result.note.text()
    assert dock.copied(dock.result.command).count("\n") == 0
    dock.viewer.layers.clear()
    dock.result.write_view(str(tmp_path / "a.json"))
    assert not list(tmp_path.glob("a.*"))


def test_what_was_opened_from_a_file_is_repeated_from_it(dock: Dock, tmp_path) -> None:
    dock.predict()
    path = save_prediction(dock.workspace.map.prediction(), tmp_path / "C9.nh2st")
    dock.viewer.layers.clear()
    (opened,) = dock.viewer.open(str(path), plugin="napari-nh2st")
    dock.viewer.layers.selection.active = opened
    assert dock.result.export.isEnabled()
    assert dock.copied(dock.result.command).startswith(f"nh2st figure {path} --gene ERBB2 ")
    made: dict = {}
    exec(dock.copied(dock.result.python), made)
    np.testing.assert_allclose(made["values"], opened.data[np.isfinite(opened.data)], rtol=1e-6)
    dock.result.write_view(str(tmp_path / "v.json"))
    shown = load_display(tmp_path / "v.json")
    dock.viewer.scene.camera.zoom *= 4
    dock.result.read_view(str(tmp_path / "v.json"))
    dock.result.write_view(str(tmp_path / "w.json"))
    np.testing.assert_allclose(load_display(tmp_path / "w.json").region, shown.region, atol=1)


def test_disabled_buttons_say_why(dock: Dock) -> None:
    assert not dock.result.export.isEnabled()
    assert "Nothing is predicted yet" in dock.result.export.toolTip()
    dock.viewer.layers.clear()
    assert not dock.result.command.isEnabled()
    assert "Open a slide" in dock.result.command.toolTip()


def test_the_python_says_what_it_leaves_out(dock: Dock) -> None:
    dock.viewer.add_shapes([np.array([[40, 60], [40, 160], [110, 160], [110, 60]])], shape_type="polygon")
    dock.qtbot.mouseClick(dock.widget.where.buttons["shape"], LEFT)
    text = dock.copied(dock.result.python)
    assert "# without the outline: all tiles of its bounding box" in text
    assert "region=Box.from_xywh(" in text
    compile(text, "copied", "exec")
