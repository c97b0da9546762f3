"""The sections of a run in a real window: from a sheet, a folder and open layers, with clicks and keys."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import anndata
import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QFileDialog, QLineEdit, QScrollArea

from napari_nh2st.expression import Sample, read_expression, read_sheet
from napari_nh2st.slides import open_slide
from napari_nh2st.training.sections import section_check
from napari_nh2st.viewer.finetune import sections as sections_part
from napari_nh2st.viewer.finetune.section_table import GENES, NAME, PATIENT, SIZE, STATE
from napari_nh2st.viewer.finetune.sections import SectionsPart
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.layout import scrolled
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.predict_dock import PredictWidget
from support.sections import section
from support.slides import tiff
from viewer.fakes import FakeServices

pytestmark = pytest.mark.viewer
LEFT, KEY = Qt.MouseButton.LeftButton, Qt.Key
HEADING = "sample,patient,slide,expression,format\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two small stained slides with their counts; only A2 says whose it is."""
    folder = tmp_path_factory.mktemp("sections")
    for name, seed in (("A1", 1), ("A2", 2)):
        section(folder, name, "A", seed, side=800)
        pixels = (tifffile.imread(folder / f"{name}.tif") * np.array([1.0, 0.6, 0.9])).astype(np.uint8)
        tiff(folder / f"{name}.tif", pixels, resolution=(1e4, 1e4), resolutionunit=3)
    data = anndata.read_h5ad(folder / "A2.h5ad")
    data.obs["patient"] = "Q"
    data.write_h5ad(folder / "A2.h5ad")
    return folder


@pytest.fixture
def folder(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture
def sheet(tmp_path: Path, folder: Path) -> Path:
    path = tmp_path / "both.csv"
    path.write_text(HEADING + "".join(f"{n},P,data/{n}.tif,data/{n}.h5ad,h5ad\n" for n in ("A1", "A2")))
    return path


class Window:
    """A dock with nothing but the sections."""

    def __init__(self, viewer, qtbot, monkeypatch) -> None:
        self.viewer, self.qtbot, self._monkeypatch = viewer, qtbot, monkeypatch
        self.background = Background()
        self.part = SectionsPart(self.background, viewer)
        self.area = QScrollArea()
        scrolled(self.area).addWidget(self.part)
        viewer.window.add_dock_widget(self.area, name="sections")
        viewer.show()
        qtbot.waitUntil(self.part.isVisible)
        self.table = self.part.table

    def click(self, button) -> None:
        self.qtbot.mouseClick(button, LEFT)

    def answer(self, dialog: str, path: Path) -> None:
        """Let a file dialog give a path at once."""
        given = (str(path), "") if dialog == "getOpenFileName" else str(path)
        self._monkeypatch.setattr(QFileDialog, dialog, lambda *a, **k: given)

    def add(self, path: Path) -> None:
        if path.is_dir():
            self.answer("getExistingDirectory", path)
            self.click(self.part.add_folder)
        else:
            self.answer("getOpenFileName", path)
            self.click(self.part.add_sheet)

    def rest(self) -> None:
        looking = "The sections are still being looked at"
        self.qtbot.waitUntil(lambda: self.part.why_not != looking, timeout=20_000)

    def column(self, what: int) -> list[str]:
        return [self.table.item(r, what).text() for r in range(self.table.rowCount())]

    def pick(self, row: int, what: int = STATE, **how) -> None:
        at = self.table.visualItemRect(self.table.item(row, what)).center()
        self.qtbot.mouseClick(self.table.viewport(), LEFT, pos=at, **how)

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
        editing = QAbstractItemView.State.EditingState
        self.qtbot.waitUntil(lambda: self.table.state() != editing)


@pytest.fixture
def window(make_napari_viewer, qtbot, monkeypatch) -> Window:
    return Window(make_napari_viewer(), qtbot, monkeypatch)


def test_a_sheet_as_it_is_is_the_runs_own(window: Window, sheet: Path, tmp_path: Path) -> None:
    assert window.part.why_not == "Add sections first"
    window.add(sheet)
    window.rest()
    assert window.part.path == str(sheet)
    assert [s.sample for s in window.part.samples] == ["A1", "A2"]
    assert window.part.good
    assert window.part.sheet_for(tmp_path / "run") == sheet
    assert not (tmp_path / "run").exists()


def test_a_folder_asks_whose_the_sections_are(window: Window, folder: Path, tmp_path: Path, monkeypatch) -> None:
    window.add(folder)
    window.rest()
    part = window.part
    assert (window.column(PATIENT), window.column(STATE)) == (["", "Q"], ["stop", "look"])
    assert part.why_not.startswith("A1: which patient is it?")
    assert "both sides of a comparison" in window.table.item(0, STATE).toolTip()
    assert part.note.text() == "2 sections, 4 genes shared by all"
    monkeypatch.setattr(section_check, "check_section", pytest.fail)  # no file is read again
    window.type(0, PATIENT, "P")
    assert (window.column(PATIENT), window.column(STATE)) == (["P", "Q"], ["look", "look"])
    assert part.good
    assert part.stop.isHidden()
    assert part.facts[0].sample.patient == "P"
    assert part.note.text() == "2 sections of 2 patients, 4 genes shared by all"
    assert (part.path, part.sheet.placeholderText()) == ("", "2 sections, 1 edited")
    assert part.sheet.isReadOnly()
    written = part.sheet_for(tmp_path / "run")
    assert written == tmp_path / "run" / "samples.csv"
    assert read_sheet(written) == part.samples
    assert part.sheet_for(tmp_path / "run") == written


def test_a_sheet_that_is_there_is_never_written_over(window: Window, folder: Path, sheet: Path) -> None:
    mine = folder / "samples.csv"
    mine.write_text(sheet.read_text().replace("data/", ""))
    before = mine.read_text()
    window.part.sheet.setText(str(mine))
    window.rest()
    window.type(0, NAME, "other")
    assert window.part.path == ""
    assert window.part.sheet_for(folder) == folder / "samples-2.csv"
    assert mine.read_text() == before
    window.type(0, NAME, "A1")  # as it was
    assert window.part.path == str(mine)
    assert not window.part.sheet.isReadOnly()
    assert window.part.sheet_for(folder) == mine


def test_sections_add_up_and_none_comes_twice(window: Window, folder: Path, sheet: Path, tmp_path: Path) -> None:
    window.add(sheet)
    window.rest()
    more = tmp_path / "more"
    more.mkdir()
    for end in (".tif", ".h5ad"):
        shutil.copy(folder / f"A2{end}", more / f"A2{end}")
    window.add(tmp_path)
    window.rest()
    # both.csv is the one sheet there: what it names is in the table already
    assert window.part.told.text() == "2 sections in the table already"
    assert window.part.path == str(sheet)
    window.add(more)
    window.rest()
    assert window.column(NAME) == ["A1", "A2", "A2-2"]
    assert window.part.sheet.placeholderText() == "3 sections"
    assert window.column(STATE) == ["look"] * 3
    window.type(2, NAME, "A1")
    assert window.column(STATE) == ["stop", "look", "stop"]
    assert "another section is named A1 too" in window.part.why_not


def test_rows_are_removed_by_key_and_by_button(window: Window, folder: Path) -> None:
    image = window.viewer.add_image(np.zeros((4, 4)))
    window.add(folder)
    window.rest()
    part = window.part
    assert not part.remove.isEnabled()
    assert part.remove.toolTip() == "Choose rows first"
    window.pick(0)
    window.qtbot.keyClick(window.table, KEY.Key_Delete)
    assert window.column(NAME) == ["A2"]
    assert image in window.viewer.layers
    assert "One section: " in part.look.text()
    window.pick(0)
    window.click(part.remove)
    assert window.table.rowCount() == 0
    assert part.why_not == "Add sections first"
    assert not part.sheet.isReadOnly()
    assert (part.note.text(), part.look.text()) == ("", "")


def test_a_pixel_size_is_typed_and_looked_at_again(window: Window, sheet: Path) -> None:
    window.add(sheet)
    window.rest()
    window.type(0, SIZE, "many")
    assert "'many' is no pixel size" in window.part.told.text()
    assert window.column(SIZE) == ["1", "1"]
    window.type(0, SIZE, "0,5")
    window.rest()
    assert window.column(SIZE) == ["0.5", "1"]
    assert [s.mpp for s in window.part.samples] == [0.5, None]
    assert any(text.startswith("Pixels are 0.5 to 1") for text in window.part.look.text().splitlines())
    window.type(0, SIZE, "400")
    window.rest()
    assert window.column(STATE)[0] == "stop"
    assert window.column(SIZE)[0] == "400"
    window.type(0, SIZE, "")
    window.rest()
    assert window.part.path == str(sheet)


def test_what_is_typed_stays_while_sections_are_looked_at(window: Window, folder: Path, monkeypatch) -> None:
    go_on, looked = threading.Event(), section_check.check_section

    def slow(sample: Sample):
        go_on.wait(10)
        return looked(sample)

    monkeypatch.setattr(section_check, "check_section", slow)
    window.add(folder)
    window.qtbot.waitUntil(lambda: window.table.rowCount() == 2, timeout=20_000)
    assert window.part.why_not == "The sections are still being looked at"
    window.pick(0, PATIENT)
    window.qtbot.keyClick(window.table, KEY.Key_F2)
    editor = window.table.findChild(QLineEdit)
    window.qtbot.keyClicks(editor, "Pat")
    go_on.set()
    window.qtbot.waitUntil(lambda: window.column(GENES) == ["4", "4"], timeout=20_000)
    window.qtbot.keyClicks(editor, "ty")
    window.enter(editor)
    assert window.column(PATIENT) == ["Patty", "Q"]
    assert window.part.good


def test_a_search_can_be_stopped(window: Window, folder: Path, monkeypatch) -> None:
    stopped = threading.Event()

    def endless(place, cancelled):
        while not cancelled():
            stopped.wait(0.01)
        stopped.set()
        return [], []

    monkeypatch.setattr(sections_part, "find_sections", endless)
    window.add(folder)
    part = window.part
    assert part.told.text() == f"Looking through {folder}…"
    assert part.add_folder.text() == "Stop"
    assert not part.add_layers.isEnabled()
    window.click(part.add_folder)
    window.qtbot.waitUntil(stopped.is_set)
    assert (part.add_folder.text(), part.told.text()) == ("folder…", "")
    assert part.add_layers.isEnabled()
    assert part.why_not == "Add sections first"


def test_an_empty_folder_says_what_was_looked_for(window: Window, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    window.add(tmp_path / "nothing")
    window.rest()
    assert window.part.told.text().startswith(f"No section was found in {tmp_path / 'nothing'}: looked for")


def test_a_sheet_that_cannot_be_read_leaves_the_others(window: Window, folder: Path, tmp_path: Path) -> None:
    window.add(folder)
    window.rest()
    (tmp_path / "bad.csv").write_text("a,b\n")
    window.add(tmp_path / "bad.csv")
    window.rest()
    assert "lacks the column" in window.part.told.text()
    assert window.column(NAME) == ["A1", "A2"]


def test_nothing_arrives_after_the_dock_is_closed(window: Window, folder: Path, monkeypatch) -> None:
    go_on, looked = threading.Event(), []

    def slow(sample: Sample):
        looked.append(sample.sample)
        go_on.wait(10)
        return section_check.SectionFacts(sample, "good")

    monkeypatch.setattr(section_check, "check_section", slow)
    window.add(folder)
    window.qtbot.waitUntil(lambda: looked == ["A1"], timeout=20_000)
    told = []
    window.part.shut()
    window.part.changed.connect(lambda: told.append(1))
    go_on.set()
    window.qtbot.waitUntil(lambda: not window.background.busy)
    window.qtbot.wait(50)
    assert (looked, told) == (["A1"], [])


@pytest.fixture
def both(window: Window, folder: Path) -> Window:
    """Return the window with two open slides and the NH2ST dock."""
    for name in ("A1", "A2"):
        data, meta, _ = frames.slide_layer_data(open_slide(folder / f"{name}.tif"))
        window.viewer.add_image(data, **meta)
    window.dock = PredictWidget(window.viewer, FakeServices())
    window.viewer.window.add_dock_widget(window.dock, name="NH2ST", area="left")
    window.measured = window.dock.folds["Measured"].open()
    window.qtbot.waitUntil(window.measured.isVisible)
    return window


def test_layers_without_a_measurement_say_what_to_do(both: Window) -> None:
    both.click(both.part.add_layers)
    assert both.part.told.text() == sections_part._NO_LAYERS
    assert both.part.samples == []


def test_open_slides_bring_their_measurement_and_where_it_lies(both: Window, folder: Path, tmp_path: Path) -> None:
    data = anndata.read_h5ad(folder / "A2.h5ad")
    data.obsm["spatial"] = data.obsm["spatial"] * 2 + 300.0  # of another picture
    data.write_h5ad(tmp_path / "copy.h5ad")
    both.measured.open([str(tmp_path / "copy.h5ad")])
    both.qtbot.waitUntil(lambda: both.measured.held is not None, timeout=20_000)
    part, slide = both.part, both.dock.workspace.slide
    assert slide.path.name == "A2.tif"
    assert not both.measured.held.settled
    both.click(part.add_layers)
    assert part.told.text() == sections_part._NO_LAYERS
    for spin, value in ((both.measured.scale, 0.5), (both.measured.x, -150), (both.measured.y, -150)):
        spin.setValue(value)
    both.click(both.measured.use)
    both.click(part.add_layers)
    both.rest()
    assert part.told.text() == "A1 has no measurement: drop it on the NH2ST dock (Measured)"
    (sample,) = part.samples
    assert (sample.sample, sample.patient, sample.slide) == ("copy", "Q", folder / "A2.tif")
    assert (sample.format, sample.scale, sample.x, sample.y) == ("h5ad", 0.5, -150, -150)
    written = read_sheet(part.sheet_for(tmp_path / "run"))
    own = anndata.read_h5ad(folder / "A2.h5ad").obsm["spatial"]
    np.testing.assert_allclose(read_expression(written[0]).obsm["spatial"], own)
    both.add(folder)
    both.rest()
    assert both.column(NAME) == ["copy", "A1", "A2"]
    both.click(both.measured.remove)
    both.click(part.add_layers)
    assert part.told.text() == sections_part._NO_LAYERS
