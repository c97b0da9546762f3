"""The choices of a run in a window: lists, fields and the line that they fold to."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_nh2st.viewer.finetune.choices import ChoicesForm
from napari_nh2st.viewer.finetune.hold_out import HoldOut
from napari_nh2st.viewer.finetune.panel_choice import LISTED
from viewer.finetune.test_choices_presenter import Dock
from viewer.finetune.test_hold_out import B1, C4, C5

pytestmark = pytest.mark.viewer
LEFT, TIP = Qt.MouseButton.LeftButton, Qt.ItemDataRole.ToolTipRole


@pytest.fixture
def dock() -> Dock:
    return Dock()


@pytest.fixture
def form(qtbot, dock) -> ChoicesForm:
    made = ChoicesForm(dock.presenter, ["her2st", "demo"])
    qtbot.addWidget(made)
    made.resize(320, 500)
    with qtbot.waitExposed(made):
        made.show()
    return made


def press_down(combo, qtbot, times: int = 1) -> None:
    combo.setFocus()
    for _ in range(times):
        qtbot.keyClick(combo, Qt.Key.Key_Down)


def test_what_cannot_be_held_out_is_grey_and_says_why(form, dock, qtbot) -> None:
    def offered() -> list[bool]:
        return [bool(form.held_out.model().item(at).isEnabled()) for at in range(form.held_out.count())]

    assert offered() == [True, False, False]
    dock.give(C4, C5)
    assert offered() == [True, True, False]
    assert "two patients" in form.held_out.itemData(2, TIP)
    assert "two patients" in form.held_out.toolTip()
    dock.give(C4, C5, B1)
    assert offered() == [True, True, True]
    assert form.which.isHidden()
    press_down(form.held_out, qtbot)
    assert [form.which.itemText(at) for at in range(form.which.count())] == ["C4", "C5", "B1"]
    press_down(form.which, qtbot, 2)
    assert dock.choices.hold_out == HoldOut("section", ("B1",))
    assert form.guard.text().startswith("B1 is never trained on")
    dock.choices.hold_out = HoldOut("section", ("C4", "B1"))
    assert form.which.currentText() == "C4, B1"


def test_what_is_chosen_and_typed_reaches_the_choices(form, dock, qtbot) -> None:
    dock.give(C4, C5)
    form.number.setValue(3)
    qtbot.waitUntil(lambda: bool(dock.threads.calls))  # when it has settled
    dock.threads.run_all()
    assert form.note.text() == "3 of the 4 genes shared by all sections"
    press_down(form.panel, qtbot, 3)
    assert dock.choices.panel == LISTED
    assert form.number.isHidden()
    qtbot.keyClicks(form.list, "ERBB2")
    assert dock.choices.gene_list == "ERBB2"
    press_down(form.train, qtbot)
    press_down(form.head, qtbot)
    assert dock.choices.head == "context"
    assert "eight neighbours" in form.head.toolTip()
    press_down(form.labels, qtbot)
    assert dock.choices.labels == "pearson-residuals"
    assert "depth" in form.labels.toolTip()
    form.seed.setValue(7)
    form.epochs.setValue(9)
    assert (dock.choices.train, dock.choices.seed, dock.choices.epochs) == ("last-blocks", 7, 9)
    press_down(form.base, qtbot)
    assert dock.choices.base == "her2st"
    assert [form.panel.itemText(at) for at in range(form.panel.count())] == [
        "those of the base model",
        "my own list",
    ]


def test_what_a_form_chooses_is_shown(form, dock) -> None:
    dock.choices.panel, dock.choices.number, dock.choices.gene_list = LISTED, 30, "KRT8"
    dock.choices.train, dock.choices.epochs = "everything", 12
    assert (form.panel.currentText(), form.number.value(), form.list.toPlainText()) == ("my own list", 30, "KRT8")
    assert (form.train.currentData(), form.epochs.value()) == ("everything", 12)


def test_a_model_folder_is_chosen(form, dock, monkeypatch, tmp_path: Path) -> None:
    folder = str(tmp_path / "run7" / "model")
    for answer, base in (("", None), (folder, folder)):
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, answer=answer: answer)
        form.base.setCurrentIndex(form.base.count() - 1)
        form.base.activated.emit(form.base.currentIndex())
        assert dock.choices.base == base
    assert form.base.currentText() == "run7"


def test_choices_fold_to_a_line_and_open_at_a_click(form, dock, qtbot) -> None:
    dock.give(C4, C5)
    dock.presenter.collapse(True)
    assert not form.panel.isVisible()
    assert form.summed_up.text().startswith("250 genes, most highly expressed")
    qtbot.mouseClick(form.change, LEFT)
    assert form.panel.isVisible()
    assert form.change.isHidden() or not form.change.isVisible()
