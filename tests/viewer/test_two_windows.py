"""Two windows in one process: what is chosen in one is nothing to the other."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_nh2st.viewer.finetune.dock import FinetuneWidget
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.roles import map_of
from napari_nh2st.viewer.predict_dock import PredictWidget
from viewer.fakes import FakeServices, FakeSlide

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Window:
    def __init__(self, make_viewer, qtbot) -> None:
        self.viewer, self.qtbot = make_viewer(), qtbot
        data, meta, _ = frames.slide_layer_data(FakeSlide())
        self.viewer.add_image(data, **meta)
        self.dock = PredictWidget(self.viewer, FakeServices())
        self.viewer.window.add_dock_widget(self.dock, name="NH2ST", area="right")
        self.training = FinetuneWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.training, name="NH2ST fine-tune", area="right")

    def follow(self) -> None:
        self.qtbot.mouseClick(self.dock.job.button, LEFT)
        self.qtbot.waitUntil(lambda: self.dock.controller.status.done > 0 and not self.dock.controller.running)

    def press_h(self) -> None:
        """Press H with the keyboard on this window's canvas."""
        window = self.viewer.window._qt_window
        window.show()
        window.activateWindow()
        self.qtbot.waitUntil(window.isActiveWindow)
        self.qtbot.keyClick(self.viewer.window._qt_viewer.canvas.native, Qt.Key.Key_H)

    def seen_through(self) -> bool:
        """Tell whether what lies on the tissue is faded away."""
        return all(layer.opacity == 0 for layer in self.viewer.layers if map_of(layer) is not None)

    def seen(self) -> dict[str, object]:
        dock = self.dock
        return {
            "state": (dock.state.where, dock.state.fine, dock.state.model_name, dock.state.gene, dock.state.pinned),
            "style": (dock.state.style.colormap, dock.state.style.percentiles, dock.state.style.locked),
            "layers": [(layer.name, layer.visible, layer.colormap.name) for layer in self.viewer.layers],
            "button": dock.job.button.text(),
            "open": [title for title, fold in dock.folds.items() if fold.button.isChecked()],
            "bar": self.viewer.canvas.overlays.scale_bar.visible,
            "names": [layer.name_overlay.visible for layer in self.viewer.layers],
            "run": self.training.run.text(),
        }


def test_two_windows_do_not_mirror_each_other(make_napari_viewer, qtbot, tmp_path) -> None:
    one, two = Window(make_napari_viewer, qtbot), Window(make_napari_viewer, qtbot)
    for window in (one, two):
        window.follow()
    two.viewer.canvas.grid.enabled = True
    left_alone = two.seen()
    assert left_alone["button"] == "Stop"
    where, limits = one.dock.where, one.dock.genes.limits
    for button in (where.buttons["whole"], limits.lock.native, one.dock.folds["Trust"].button):
        qtbot.mouseClick(button, LEFT)
    for combo in (where.detail, limits.colormap.native, limits.percentiles.native, one.dock.models.combo):
        combo.setFocus()
        qtbot.keyClick(combo, Qt.Key.Key_Down)
    one.dock.genes.presenter.toggle_pin("KRT8")
    one.viewer.canvas.overlays.scale_bar.visible = False
    qtbot.keyClicks(one.training.run, str(tmp_path / "run"))
    one.press_h()
    assert (one.seen_through(), two.seen_through()) == (True, False)
    one.press_h()
    assert (one.seen_through(), two.seen_through()) == (False, False)
    one.viewer.layers[-1].visible = False
    changed = one.seen()
    assert two.seen() == left_alone
    assert not [name for name in ("state", "style", "button", "open", "run") if changed[name] == left_alone[name]]
    one.viewer.close()
    qtbot.wait(50)
    assert two.seen() == left_alone
    two.viewer.canvas.grid.enabled = False
    two.viewer.scene.camera.zoom *= 0.9
    qtbot.waitUntil(lambda: "All of the tissue" in two.dock.job.sentence.text())
