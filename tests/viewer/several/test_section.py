"""The fold "Several genes" in a real window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.several.messages import NO_PINNED
from viewer.fakes import FakeServices, FakeSlide

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Fold:
    """A window with the dock, a slide and the fold opened."""

    def __init__(self, make_viewer, qtbot) -> None:
        self.qtbot, self.viewer, self.services = qtbot, make_viewer(), FakeServices()
        data, meta, _ = frames.slide_layer_data(FakeSlide())
        self.viewer.add_image(data, **meta)
        self.widget = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.workspace = self.widget.workspace
        self.section = self.widget.folds["Several genes"].open()

    def predict(self) -> None:
        self.qtbot.mouseClick(self.widget.where.buttons["whole"], LEFT)
        self.qtbot.mouseClick(self.widget.job.button, LEFT)
        self.qtbot.waitUntil(lambda: self.widget.controller.status.state not in (State.RUNNING, State.IDLE))

    def click(self, button) -> None:
        self.widget.scroll.ensureWidgetVisible(button)
        self.qtbot.mouseClick(button, LEFT)

    def tick(self, box) -> None:
        self.qtbot.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2))

    def pin(self, *genes: str) -> None:
        self.workspace.state.pinned = tuple(genes)

    def score(self, text: str) -> None:
        self.section.signature.genes.setPlainText(text)
        self.click(self.section.signature.button)
        self.qtbot.waitUntil(lambda: not self.section.signature.task.running, timeout=60_000)

    @property
    def in_sight(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers if layer.visible]

    @property
    def unit(self) -> str:
        return self.viewer.canvas.overlays["nh2st_unit"].text


@pytest.fixture
def fold(make_napari_viewer, qtbot) -> Fold:
    return Fold(make_napari_viewer, qtbot)


def test_before_a_prediction_everything_says_what_is_missing(fold: Fold) -> None:
    section = fold.section
    assert not section.pinned.box.isEnabled()
    assert section.pinned.sentence.text() == NO_PINNED
    for button in (section.composite.show_button, section.signature.button):
        assert not button.isEnabled()
        assert "Predict first" in button.toolTip()
    fold.viewer.layers.clear()
    fold.pin("KRT8")
    assert "Predict first" in section.pinned.box.toolTip()


def test_a_tick_draws_the_pinned_genes_and_takes_them_away(fold: Fold) -> None:
    fold.predict()
    fold.pin("KRT8", "CD3E", "NOPE")
    fold.tick(fold.section.pinned.box)
    fold.qtbot.waitUntil(lambda: len(fold.viewer.layers) == 4)  # one at a time
    names = [layer.name for layer in fold.viewer.layers]
    assert names == ["C9", "C9 · ERBB2 · predicted", "C9 · KRT8 · predicted, pinned", "C9 · CD3E · predicted, pinned"]
    assert fold.in_sight == names[:2]
    assert "does not predict NOPE" in fold.section.pinned.sentence.text()
    fold.viewer.layers["C9 · KRT8 · predicted, pinned"].visible = True
    fold.qtbot.waitUntil(lambda: fold.unit.startswith("KRT8, predicted"))
    fold.tick(fold.section.pinned.box)
    assert [layer.name for layer in fold.viewer.layers] == names[:2]


def test_three_genes_in_one_image_by_clicks_and_keys(fold: Fold) -> None:
    fold.predict()
    fold.pin("KRT8", "CD3E")
    part = fold.section.composite
    assert part.combos[0].currentText() == "ERBB2"  # the most trusted
    fold.click(part.use_pinned)
    assert [combo.currentText() for combo in part.combos] == ["KRT8", "CD3E", ""]
    field = part.combos[2].lineEdit()
    field.selectAll()
    fold.qtbot.keyClicks(field, "erbb2")
    fold.click(part.show_button)
    assert fold.in_sight == ["C9", "C9 · KRT8 + CD3E + ERBB2 · predicted"]
    limits = part.current.gene_limits[0]
    assert part.scales[0].text() == f"{limits.low:.2f} to {limits.high:.2f}"
    field.selectAll()
    fold.qtbot.keyClicks(field, "NOPE")
    fold.qtbot.keyClick(field, Qt.Key.Key_Return)
    assert "does not predict NOPE" in part.sentence.text()
    fold.viewer.layers.remove("C9 · KRT8 + CD3E + ERBB2 · predicted")
    assert part.current is None


def test_a_pasted_signature_is_scored_by_a_click(fold: Fold) -> None:
    fold.predict()
    part = fold.section.signature
    part.name.setCurrentText("luminal")
    fold.score("erbb2, NOPE")
    assert part.match.text().startswith("The model has 1 of 2 genes. Missing: NOPE.")
    assert fold.in_sight == ["C9", "C9 · signature luminal · predicted"]
    assert "press Score again" in part.task.sentence.text()


def test_gmt_sets_are_chosen_with_keys(fold: Fold, tmp_path: Path) -> None:
    file = tmp_path / "sets.gmt"
    file.write_text("A\tx\tERBB2\tKRT8\nB\tx\tCD3E\n")
    part = fold.section.signature
    part.presenter.load_file(str(file))
    assert (part.name.currentText(), part.genes.toPlainText()) == ("A", "ERBB2 KRT8")
    fold.qtbot.keyClick(part.name, Qt.Key.Key_Down)
    part.name.activated.emit(part.name.currentIndex())
    assert (part.name.currentText(), part.genes.toPlainText()) == ("B", "CD3E")
    file.write_text("A\tx\n")
    part.presenter.load_file(str(file))
    assert "line 1 of sets.gmt has no genes" in part.task.sentence.text()
    assert part.name.count() == 2  # those of before are still there


def test_deleting_everything_while_it_scores(fold: Fold) -> None:
    fold.predict()
    part = fold.section.signature
    part.genes.setPlainText("ERBB2")
    fold.click(part.button)
    fold.viewer.layers.clear()
    fold.qtbot.waitUntil(lambda: not part.task.running, timeout=60_000)
    fold.widget.shut_down()
    fold.viewer.add_image(np.zeros((4, 4)))
