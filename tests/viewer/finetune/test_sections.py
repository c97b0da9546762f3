"""The sections of a run in a window: clicks, keys, cells that are typed into, and open slides of a real napari."""

from __future__ import annotations

import shutil
from pathlib import Path

import anndata
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLineEdit, QScrollArea

from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.slides import open_slide
from napari_nh2st.viewer.finetune.sections import Sections
from napari_nh2st.viewer.finetune.sections_presenter import SectionsPresenter
from napari_nh2st.viewer.finetune.sections_state import NO_MEASUREMENT
from napari_nh2st.viewer.finetune.sections_table import GENES, NAME, PATIENT, SIZE, STATE
from napari_nh2st.viewer.kit.layout import scrolled
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.predict_dock import PredictWidget
from viewer.fakes import FakeServices
from viewer.finetune.fakes import FakeThreads
from viewer.finetune.sections_folder import write_sections, write_sheet_of

pytestmark = pytest.mark.viewer
LEFT, KEY = Qt.MouseButton.LeftButton, Qt.Key


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sections(tmp_path_factory.mktemp("sections"))


@pytest.fixture
def folder(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


class Window:
    """A dock with nothing but the sections, in which a person clicks and types."""

    def __init__(self, qtbot, monkeypatch, viewer=None) -> None:
        self.viewer, self.qtbot, self._monkeypatch = viewer, qtbot, monkeypatch
        self.threads = FakeThreads()
        self.presenter = SectionsPresenter(self.threads)
        self.sections = Sections(self.presenter, viewer)
        self.area, self.table = QScrollArea(), self.sections.table
        scrolled(self.area).addWidget(self.sections)

    def click(self, button) -> None:
        self.qtbot.mouseClick(button, LEFT)

    def answer(self, dialog: str, path: Path) -> None:
        """Let a file dialog give a path at once."""
        given = (str(path), "") if dialog == "getOpenFileName" else str(path)
        self._monkeypatch.setattr(QFileDialog, dialog, lambda *a, **k: given)

    def add(self, folder: Path) -> None:
        self.answer("getExistingDirectory", folder)
        self.click(self.sections.add_folder)

    def column(self, what: int) -> list[str]:
        return [self.table.item(row, what).text() for row in range(self.table.rowCount())]

    def pick(self, row: int, what: int = STATE) -> None:
        at = self.table.visualItemRect(self.table.item(row, what)).center()
        self.qtbot.mouseClick(self.table.viewport(), LEFT, pos=at)

    def type(self, row: int, what: int, text: str) -> None:
        """Double click a cell and type over what stands there."""
        self.pick(row, what)
        at = self.table.visualItemRect(self.table.item(row, what)).center()
        self.qtbot.mouseDClick(self.table.viewport(), LEFT, pos=at)
        editor = self.table.findChild(QLineEdit)
        self.qtbot.keyClick(editor, KEY.Key_A, Qt.KeyboardModifier.ControlModifier)
        self.qtbot.keyClick(editor, KEY.Key_Delete)
        self.qtbot.keyClicks(editor, text)
        self.enter(editor)

    def enter(self, editor: QLineEdit) -> None:
        self.qtbot.keyClick(editor, KEY.Key_Return)
        self.qtbot.waitUntil(lambda: self.table.findChild(QLineEdit) is None)


@pytest.fixture
def window(qtbot, monkeypatch) -> Window:
    made = Window(qtbot, monkeypatch)
    qtbot.addWidget(made.area)
    with qtbot.waitExposed(made.area):
        made.area.show()
    return made


def test_a_sheet_is_read_when_its_path_has_been_typed(window: Window, folder: Path) -> None:
    sheet = write_sheet_of(folder, folder.parent / "both.csv")
    window.qtbot.keyClicks(window.sections.sheet, str(sheet))
    window.qtbot.waitUntil(lambda: bool(window.threads.calls))
    window.threads.run_all()
    assert window.column(NAME) == ["A1", "A2"]
    assert window.sections.note.text() == "2 sections of 1 patient, 4 genes shared by all"
    assert window.sections.look.text().startswith("One patient: ")
    assert window.sections.stop.isHidden()
    assert window.sections.add_layers.isHidden()  # there is no viewer
    window.answer("getOpenFileName", sheet)
    window.click(window.sections.add_sheet)
    window.threads.run_all()
    assert window.sections.told.text() == "2 sections in the table already"


def test_cells_are_typed_into(window: Window, folder: Path) -> None:
    window.add(folder)
    window.threads.run_all()
    assert (window.column(PATIENT), window.column(STATE)) == (["", "Q"], ["stop", "look"])
    assert "both sides of a comparison" in window.table.item(0, STATE).toolTip()
    assert window.sections.stop.text().startswith("A1: which patient")
    window.type(0, PATIENT, "P")
    assert (window.column(PATIENT), window.column(STATE)) == (["P", "Q"], ["look", "look"])
    assert window.sections.stop.isHidden()
    field = window.sections.sheet
    assert (field.text(), field.placeholderText(), field.isReadOnly()) == ("", "2 sections, 1 edited", True)
    assert field.toolTip().startswith("These sections do not come from one unchanged sheet")
    window.type(0, SIZE, "many")
    assert window.sections.told.text().startswith("'many' is not a pixel size")
    assert window.column(SIZE) == ["1", "1"]
    window.type(0, SIZE, "0,5")
    assert not window.sections.bar.isHidden()
    window.threads.run_all()
    assert window.column(SIZE) == ["0.5", "1"]
    assert window.sections.bar.isHidden()


def test_what_is_typed_stays_while_sections_are_checked(window: Window, folder: Path) -> None:
    window.add(folder)
    window.threads.run()
    window.pick(0, PATIENT)
    window.qtbot.keyClick(window.table, KEY.Key_F2)
    editor = window.table.findChild(QLineEdit)
    window.qtbot.keyClicks(editor, "Pat")
    window.threads.run_all()
    assert window.column(GENES) == ["4", "4"]
    window.qtbot.keyClicks(editor, "ty")
    window.enter(editor)
    assert window.column(PATIENT) == ["Patty", "Q"]
    assert window.presenter.state.why_not == ""


def test_rows_are_removed_by_key_and_by_button(window: Window, folder: Path) -> None:
    window.add(folder)
    window.threads.run_all()
    remove = window.sections.remove
    assert remove.reason_off == "Select rows first"
    window.pick(0)
    window.qtbot.keyClick(window.table, KEY.Key_Delete)
    assert window.column(NAME) == ["A2"]
    window.pick(0)
    window.click(remove)
    assert window.table.rowCount() == 0
    assert remove.isHidden()
    assert not window.sections.sheet.isReadOnly()


def test_a_search_can_be_stopped(window: Window, folder: Path) -> None:
    window.add(folder)
    sections = window.sections
    assert sections.told.text() == f"Searching {folder}…"
    assert sections.add_folder.text() == "Stop"
    assert sections.add_sheet.reason_off.startswith("Still searching for sections")
    window.click(sections.add_folder)
    assert (sections.add_folder.text(), sections.told.text()) == ("Add folder…", "")
    assert sections.add_sheet.isEnabled()


def test_files_that_were_mended_are_checked_again(window: Window, folder: Path) -> None:
    window.add(folder)
    window.threads.run_all()
    data = anndata.read_h5ad(folder / "A1.h5ad")
    data.obs["patient"] = "P"
    data.write_h5ad(folder / "A1.h5ad")
    window.click(window.sections.again)
    assert window.column(STATE) == ["…", "…"]
    assert window.sections.again.isHidden()
    window.threads.run_all()
    assert not window.sections.again.isHidden()


@pytest.fixture
def both(make_napari_viewer, qtbot, monkeypatch, folder: Path) -> Window:
    """Return the window in a napari with two open slides and the NH2ST dock."""
    window = Window(qtbot, monkeypatch, make_napari_viewer())
    window.viewer.window.add_dock_widget(window.area, name="sections")
    for name in ("A1", "A2"):
        data, meta, _ = frames.slide_layer_data(open_slide(folder / f"{name}.tif"))
        window.viewer.add_image(data, **meta)
    window.dock = PredictWidget(window.viewer, FakeServices())
    window.viewer.window.add_dock_widget(window.dock, name="NH2ST", area="left")
    window.viewer.show()
    window.measured = window.dock.folds["Measured"].open()
    qtbot.waitUntil(window.measured.isVisible)
    return window


def test_open_slides_bring_their_measurement_and_where_it_lies(both: Window, folder: Path, tmp_path: Path) -> None:
    sections, told = both.sections, both.sections.told
    both.click(sections.add_layers)
    assert told.text() == NO_MEASUREMENT
    data = anndata.read_h5ad(folder / "A2.h5ad")
    data.obsm["spatial"] = data.obsm["spatial"] * 2 + 300.0  # of another picture
    data.write_h5ad(tmp_path / "copy.h5ad")
    both.measured.presenter.open([str(tmp_path / "copy.h5ad")])
    both.qtbot.waitUntil(lambda: both.measured.presenter.measurement is not None)
    assert both.dock.workspace.slide.path.name == "A2.tif"
    assert not both.measured.presenter.measurement.settled
    both.click(sections.add_layers)
    assert told.text() == NO_MEASUREMENT
    for spin, value in ((both.measured.scale, 0.5), (both.measured.x, -150), (both.measured.y, -150)):
        spin.setValue(value)
    both.click(both.measured.use)
    both.click(sections.add_layers)
    both.threads.run_all()
    assert told.text() == "A1 has no measurement: drop it on the NH2ST dock (Measured)"
    (sample,) = both.presenter.samples
    assert (sample.sample, sample.patient, sample.slide) == ("copy", "Q", folder / "A2.tif")
    assert (sample.format, sample.scale, sample.x, sample.y) == ("h5ad", 0.5, -150, -150)
    written = read_sheet(both.presenter.sheet_for(tmp_path / "run"))
    own = anndata.read_h5ad(folder / "A2.h5ad").obsm["spatial"]
    np.testing.assert_allclose(read_expression(written[0]).obsm["spatial"], own)
    both.add(folder)
    both.threads.run_all()
    assert both.column(NAME) == ["copy", "A1", "A2"]
    both.click(both.measured.remove)
    both.click(sections.add_layers)
    assert told.text() == NO_MEASUREMENT
    layers = len(both.viewer.layers)
    both.pick(0)
    both.qtbot.keyClick(both.table, KEY.Key_Delete)  # napari's own Delete takes layers away
    assert both.column(NAME) == ["A1", "A2"]
    assert len(both.viewer.layers) == layers
