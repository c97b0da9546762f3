"""The dialog of all settings: what is wrong turns *Save* off and is kept, and the file is a click away."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.finetune.settings_dialog import SettingsDialog
from napari_nh2st.viewer.finetune.settings_presenter import SettingsPresenter
from viewer.finetune.test_choices_presenter import Dock
from viewer.finetune.test_hold_out import C4, C5

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Opened:
    """A dialog on a window, with the files that it had opened."""

    def __init__(self, qtbot, run: Path) -> None:
        self.dock, self.files, self.window = Dock(), [], QWidget()
        self.dock.give(C4, C5)
        qtbot.addWidget(self.window)
        self.dialog = SettingsDialog(SettingsPresenter(run, self.dock.presenter), self.files.append, self.window)
        self.results: list[int] = []
        self.dialog.finished.connect(self.results.append)
        with qtbot.waitExposed(self.dialog):
            self.dialog.open()

    def row(self, name: str):
        return self.dialog.form.rows[name]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def opened(qtbot, run: Path) -> Opened:
    return Opened(qtbot, run)


def type_in(qtbot, row, text: str) -> None:
    row.native.setFocus()
    row.native.selectAll()
    qtbot.keyClicks(row.native, text)
    qtbot.keyClick(row.native, Qt.Key.Key_Return)


@pytest.mark.pyqt6
def test_a_person_reads_words_and_the_file_has_names(opened: Opened, run: Path) -> None:
    labels = {name: row.label.text() for name, row in opened.dialog.form.rows.items()}
    assert labels["ema"] == "smoothing of weights"
    assert labels["half"] == "16-bit weights"
    assert "Setting ema" in opened.row("ema").label.toolTip()
    panel = opened.row("panel_kind").native
    assert panel.currentText() == "most highly expressed"  # as in the dock
    panel.setCurrentIndex(1)
    assert panel.currentText() == "most variable"
    assert opened.dialog.presenter.draft.result().panel_kind == "most-variable"


def test_settings_are_typed_and_saved(opened, qtbot, run: Path) -> None:
    type_in(qtbot, opened.row("patience"), "9")
    type_in(qtbot, opened.row("pitch"), "12")
    qtbot.keyClick(opened.row("train").native, Qt.Key.Key_Down)
    assert opened.results == []  # Enter in a field closes nothing
    qtbot.mouseClick(opened.dialog.save, LEFT)
    assert opened.results == [1]
    assert yaml.safe_load((run / "settings.yaml").read_text()) == {"patience": 9, "pitch": 12}
    assert opened.dock.choices.train == "last-blocks"


def test_a_wrong_combination_is_said_and_kept(opened, qtbot, run: Path) -> None:
    type_in(qtbot, opened.row("hold_out_sections"), "C4")
    type_in(qtbot, opened.row("hold_out_patients"), "C")
    dialog = opened.dialog
    assert dialog.problem.text() == "hold out either sections or patients, not both"
    assert dialog.save.reason_off == dialog.yaml.reason_off == dialog.problem.text()
    qtbot.mouseClick(dialog.save, LEFT)
    assert opened.results == []
    assert opened.row("hold_out_sections").widget.value == "C4"
    qtbot.mouseClick(opened.row("hold_out_patients").reset, LEFT)
    assert dialog.problem.isHidden()
    qtbot.mouseClick(dialog.save, LEFT)
    assert opened.results == [1]
    assert opened.dock.choices.hold_out.names == ("C4",)


def test_the_file_is_opened_with_every_setting(opened, qtbot, run: Path) -> None:
    type_in(qtbot, opened.row("patience"), "9")
    qtbot.mouseClick(opened.dialog.yaml, LEFT)
    assert opened.files == [run / "settings.yaml"]
    assert opened.results == [1]
    assert "patience: 9\n" in opened.files[0].read_text()
    assert "weight_decay: 0.05\n" in opened.files[0].read_text()


@pytest.mark.pyqt6
def test_cancel_leaves_everything_as_it_was(opened, qtbot, run: Path) -> None:
    type_in(qtbot, opened.row("patience"), "9")
    qtbot.mouseClick(opened.dialog.cancel, LEFT)
    assert opened.results == [0]
    assert not run.exists()


def test_a_folder_that_cannot_be_used_loses_nothing(opened, qtbot, run: Path) -> None:
    run.write_text("a file where the folder should be")
    type_in(qtbot, opened.row("patience"), "9")
    qtbot.mouseClick(opened.dialog.save, LEFT)
    assert opened.dialog.problem.text().startswith("The run's folder cannot be used (")
    assert opened.results == []
    assert opened.row("patience").widget.value == 9


def test_it_fits_on_a_small_screen(opened) -> None:
    dialog, screen = opened.dialog, opened.dialog.screen().availableGeometry()
    assert dialog.height() < screen.height()
    assert dialog.form.widget().width() <= dialog.form.viewport().width()
    assert dialog.form.verticalScrollBar().maximum() > 0
