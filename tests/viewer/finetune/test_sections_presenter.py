"""The sections of a run: from a sheet, a folder and open layers; edited, removed and checked once each."""

from __future__ import annotations

import shutil
from pathlib import Path

import anndata
import pytest

from napari_nh2st.expression import read_sheet
from napari_nh2st.training.sections import section_check
from napari_nh2st.training.sections.section_check import SectionFacts
from napari_nh2st.viewer.finetune.sections_presenter import SectionsPresenter, first_sentences
from napari_nh2st.viewer.finetune.sections_state import CHECKING, NO_MEASUREMENT, NO_SECTIONS
from viewer.finetune.fakes import FakeThreads
from viewer.finetune.sections_folder import write_sections, write_sheet_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sections(tmp_path_factory.mktemp("sections"))


@pytest.fixture
def folder(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture
def sheet(tmp_path: Path, folder: Path) -> Path:
    return write_sheet_of(folder, tmp_path / "both.csv")


@pytest.fixture
def threads() -> FakeThreads:
    return FakeThreads()


@pytest.fixture
def presenter(threads: FakeThreads) -> SectionsPresenter:
    return SectionsPresenter(threads)


def read(presenter: SectionsPresenter, threads: FakeThreads, sheet: Path) -> None:
    presenter.type_sheet(str(sheet))
    presenter.read_sheet()
    threads.run_all()


def search(presenter: SectionsPresenter, threads: FakeThreads, folder: Path) -> None:
    presenter.add_folder(str(folder))
    threads.run_all()


def names(presenter: SectionsPresenter) -> list[str]:
    return [sample.sample for sample in presenter.samples]


def states(presenter: SectionsPresenter) -> list[str | None]:
    return [None if facts is None else facts.state for _, facts in presenter.state.overview.rows]


def test_a_sheet_as_it_is_is_the_runs_own(presenter, threads, sheet: Path, tmp_path: Path) -> None:
    assert presenter.state.why_not == NO_SECTIONS
    presenter.type_sheet(f" {sheet} ")
    assert presenter.state.why_not == CHECKING
    presenter.read_sheet()
    threads.run_all()
    state = presenter.state
    assert (state.sheet.path, state.sheet.composed, state.why_not) == (str(sheet), False, "")
    assert names(presenter) == ["A1", "A2"]
    assert states(presenter) == ["look", "look"]
    assert state.overview.note == "2 sections of 1 patient, 4 genes shared by all"
    assert state.overview.looks[0].startswith("one patient: ")
    assert presenter.sheet_for(tmp_path / "run") == sheet
    assert not (tmp_path / "run").exists()


def test_sections_are_checked_one_by_one(presenter, threads, sheet: Path) -> None:
    presenter.type_sheet(str(sheet))
    presenter.read_sheet()
    threads.run()
    assert states(presenter) == [None, None]
    assert len(threads.calls) == 1
    threads.run()
    assert states(presenter) == ["look", None]
    assert (presenter.state.why_not, presenter.state.overview.looks) == (CHECKING, ())
    threads.run()
    assert presenter.state.why_not == ""


def test_a_sheet_that_cannot_be_read_says_why(presenter, threads, sheet: Path) -> None:
    read(presenter, threads, sheet)
    read(presenter, threads, sheet.with_name("absent.csv"))
    assert presenter.state.overview.rows == ()
    assert "absent.csv" in presenter.state.overview.note
    assert presenter.state.why_not.startswith("The sample sheet cannot be used")


def test_what_is_known_of_another_sheet_is_dropped(presenter, threads, sheet: Path) -> None:
    presenter.type_sheet(str(sheet))
    presenter.read_sheet()
    threads.run()  # two sections, the first of them is being checked
    one = sheet.with_name("one.csv")
    one.write_text("\n".join(sheet.read_text().splitlines()[:2]) + "\n")
    read(presenter, threads, one)
    assert names(presenter) == ["A1"]
    assert [facts.sample.sample for facts in presenter.facts] == ["A1"]
    presenter.type_sheet(str(sheet))
    presenter.type_sheet(str(one))
    presenter.read_sheet()
    late = threads.calls.pop()
    presenter.type_sheet("")
    threads.calls.append(late)
    threads.run_all()
    assert (names(presenter), presenter.state.why_not) == ([], NO_SECTIONS)


def test_a_section_that_stops_the_run_says_so_until_it_is_mended(presenter, threads, folder: Path, sheet) -> None:
    data = anndata.read_h5ad(folder / "A2.h5ad")
    good = data.obsm["spatial"].copy()
    data.obsm["spatial"] = good + 5000.0
    data.write_h5ad(folder / "A2.h5ad")
    read(presenter, threads, sheet)
    assert states(presenter) == ["look", "stop"]
    assert presenter.state.overview.stops[0].startswith("A2: ")
    assert "lie off A2.tif" in presenter.state.why_not
    data.obsm["spatial"] = good
    data.write_h5ad(folder / "A2.h5ad")
    presenter.check_again()
    assert presenter.state.why_not == CHECKING
    presenter.read_sheet()
    threads.run_all()
    assert presenter.state.why_not == ""


def test_a_folder_asks_whose_the_sections_are(presenter, threads, folder: Path, tmp_path, monkeypatch) -> None:
    presenter.add_folder(str(folder))
    assert (presenter.state.told, presenter.state.searching) == (f"Searching {folder}…", True)
    threads.run_all()
    state = presenter.state
    assert not state.searching
    assert [sample.patient for sample in presenter.samples] == ["", "Q"]
    assert states(presenter) == ["stop", "look"]
    assert state.why_not.startswith("A1: which patient is it?")
    assert state.overview.note == "2 sections, 4 genes shared by all"
    monkeypatch.setattr(section_check, "check_section", pytest.fail)  # no file is read again
    presenter.edit(0, "patient", "P")
    threads.run_all()
    assert states(presenter) == ["look", "look"]
    assert (state.why_not, state.overview.stops) == ("", ())
    assert presenter.facts[0].sample.patient == "P"
    assert state.overview.note == "2 sections of 2 patients, 4 genes shared by all"
    assert (state.sheet.path, state.sheet.placeholder, state.sheet.composed) == ("", "2 sections, 1 edited", True)
    written = presenter.sheet_for(tmp_path / "run")
    assert written == tmp_path / "run" / "samples.csv"
    assert read_sheet(written) == presenter.samples
    assert presenter.sheet_for(tmp_path / "run") == written
    presenter.check_again()
    assert presenter.state.why_not == CHECKING


def test_a_sheet_that_is_there_is_never_written_over(presenter, threads, folder: Path, sheet: Path) -> None:
    mine = folder / "samples.csv"
    mine.write_text(sheet.read_text().replace("data/", ""))
    before = mine.read_text()
    read(presenter, threads, mine)
    presenter.edit(0, "sample", "other")
    assert presenter.state.sheet.path == ""
    assert presenter.sheet_for(folder) == folder / "samples-2.csv"
    assert mine.read_text() == before
    presenter.edit(0, "sample", "A1")  # as it was
    assert (presenter.state.sheet.path, presenter.state.sheet.composed) == (str(mine), False)
    assert presenter.sheet_for(folder) == mine


def test_sections_add_up_and_none_comes_twice(presenter, threads, folder: Path, sheet: Path, tmp_path: Path) -> None:
    presenter.add_sheet(str(sheet))  # the first one is named in the field
    presenter.read_sheet()
    threads.run_all()
    more = tmp_path / "more"
    more.mkdir()
    for end in (".tif", ".h5ad"):
        shutil.copy(folder / f"A2{end}", more / f"A2{end}")
    search(presenter, threads, tmp_path)
    # both.csv is the one sheet there: what it names is in the table already
    assert presenter.state.told == "2 sections in the table already"
    assert presenter.state.sheet.path == str(sheet)
    search(presenter, threads, more)
    assert names(presenter) == ["A1", "A2", "A2-2"]
    assert presenter.state.sheet.placeholder == "3 sections"
    assert states(presenter) == ["look"] * 3
    presenter.edit(2, "sample", "A1")
    assert states(presenter) == ["stop", "look", "stop"]
    assert "another section is named A1 too" in presenter.state.why_not


def test_a_sheet_is_added_to_what_is_there(presenter, threads, folder: Path, sheet: Path, tmp_path: Path) -> None:
    search(presenter, threads, folder)
    (tmp_path / "bad.csv").write_text("a,b\n")
    presenter.add_sheet(str(tmp_path / "bad.csv"))
    threads.run_all()
    assert "lacks the column" in presenter.state.told
    assert names(presenter) == ["A1", "A2"]
    presenter.add_sheet(str(sheet))
    threads.run_all()
    assert presenter.state.told == "2 sections in the table already"


def test_rows_are_removed(presenter, threads, folder: Path) -> None:
    search(presenter, threads, folder)
    presenter.remove({0})
    assert names(presenter) == ["A2"]
    assert presenter.state.overview.looks[0].startswith("one section: ")
    presenter.remove({0})
    state = presenter.state
    assert (state.why_not, state.sheet.composed, state.overview.note) == (NO_SECTIONS, False, "")
    assert state.overview.looks == ()


def test_what_is_removed_while_it_is_checked_stays_away(presenter, threads, folder: Path) -> None:
    presenter.add_folder(str(folder))
    threads.run()
    presenter.remove({0})
    threads.run_all()
    assert names(presenter) == ["A2"]
    assert presenter.state.overview.complete


def test_a_pixel_size_is_typed_and_checked_again(presenter, threads, sheet: Path) -> None:
    read(presenter, threads, sheet)
    presenter.edit(0, "mpp", "many")
    assert "'many' is not a pixel size" in presenter.state.told
    presenter.edit(0, "mpp", "0,5")
    assert (presenter.state.told, presenter.state.why_not) == ("", CHECKING)
    threads.run_all()
    assert [sample.mpp for sample in presenter.samples] == [0.5, None]
    assert any(text.startswith("pixels are 0.5 to 1") for text in presenter.state.overview.looks)
    presenter.edit(0, "mpp", "400")
    threads.run_all()
    assert states(presenter)[0] == "stop"
    presenter.edit(0, "mpp", "")
    threads.run_all()
    assert presenter.state.sheet.path == str(sheet)


def test_a_name_typed_while_a_section_is_checked_is_kept(presenter, threads, folder: Path) -> None:
    presenter.add_folder(str(folder))
    threads.run()
    presenter.edit(0, "patient", "Patty")
    threads.run_all()
    assert presenter.facts[0].sample.patient == "Patty"
    assert presenter.state.why_not == ""
    presenter.edit(0, "mpp", "0.5")
    presenter.edit(0, "mpp", "0.6")  # while it is checked with 0.5
    threads.run_all()
    assert presenter.facts[0].mpp == 0.6


def test_a_search_can_be_stopped(presenter, threads, folder: Path) -> None:
    presenter.add_folder(str(folder))
    _, (cancelled,), _, _ = threads.calls[0]
    assert not cancelled()
    presenter.stop_search()
    assert cancelled()
    assert (presenter.state.told, presenter.state.searching, presenter.state.why_not) == ("", False, NO_SECTIONS)
    threads.run_all()
    assert names(presenter) == []


def test_an_empty_folder_says_what_was_searched(presenter, threads, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    search(presenter, threads, tmp_path / "nothing")
    assert presenter.state.told.startswith(f"No section was found in {tmp_path / 'nothing'}: looked for")


def test_open_slides_bring_what_they_have(presenter, threads, sheet: Path) -> None:
    presenter.add_open([], ["A1"])
    assert presenter.state.told == NO_MEASUREMENT
    _, second = read_sheet(sheet)
    presenter.add_open([second], ["A1"])
    threads.run_all()
    assert presenter.state.told == "A1 has no measurement: drop it on the NH2ST dock (Measured)"
    assert [(sample.sample, sample.patient) for sample in presenter.samples] == [("A2", "Q")]  # as the file says


def test_a_file_that_breaks_the_check_stops_the_run_and_no_other(presenter, threads, folder, monkeypatch) -> None:
    def check(sample) -> SectionFacts:
        if sample.sample == "A1":
            raise ZeroDivisionError("x")
        return SectionFacts(sample, "good")

    monkeypatch.setattr(section_check, "check_section", check)
    search(presenter, threads, folder)
    assert states(presenter) == ["stop", "good"]
    assert "A1: it cannot be read: ZeroDivisionError: x" in presenter.state.why_not


def test_nothing_arrives_after_the_dock_is_closed(presenter, threads, folder: Path) -> None:
    presenter.add_folder(str(folder))
    threads.run()
    before = presenter.state.overview
    presenter.close()
    threads.run_all()
    assert presenter.state.overview is before


def test_many_sentences_are_counted() -> None:
    assert first_sentences(["a", "b"]) == "a\nb"
    assert first_sentences(list("abcdefg"), more_words="and {} others") == "a\nb\nc\nd\nand 3 others"
