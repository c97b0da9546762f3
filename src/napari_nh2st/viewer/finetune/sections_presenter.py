"""The sections of a run: from sheets, folders and open layers, checked in the background. No Qt."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import count as numbers
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.errors import Nh2stError
from napari_nh2st.expression import Sample, read_sheet, write_sheet
from napari_nh2st.expression.find import SHEET, find_sections, patient_of, sections_among
from napari_nh2st.viewer.finetune.section_checks import SectionChecks, overview_of
from napari_nh2st.viewer.finetune.sections_search import SectionsSearch
from napari_nh2st.viewer.finetune.sections_state import (
    CHECKING,
    NO_MEASUREMENT,
    NO_SECTIONS,
    Editable,
    Overview,
    Section,
    SectionsState,
    SheetField,
)
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.phrases import count, error_words

if TYPE_CHECKING:
    from napari_nh2st.training.sections.section_check import SectionFacts

Found = tuple[list[Sample], list[str]]  # sections, and what there is to say of the search


class SectionsPresenter:
    """Adds, edits and removes sections, and has each checked once.

    Parameters
    ----------
    threads : Threads
        Files are searched, read and checked there.
    """

    def __init__(self, threads: Threads) -> None:
        self._sections: list[Section] = []
        self._source: tuple[str, list[Sample]] = ("", [])  # a sheet, and the sections that it names
        self._unread = False  # the field names a sheet that is not read yet
        self._sheet_error = ""
        self._search = SectionsSearch(threads, self._searching)
        self._checks = SectionChecks(threads, lambda: self._sections, self._settle, self._not_added)
        self.state = SectionsState()

    @property
    def samples(self) -> list[Sample]:
        """The sections as they stand in the table."""
        return [section.sample for section in self._sections]

    @property
    def facts(self) -> tuple[SectionFacts, ...]:
        """Facts about the checked sections."""
        return self.state.overview.facts

    def sheet_for(self, run: Path) -> Path:
        """Return the sheet of these sections: their own, or one that is written into a run's folder.

        Raises
        ------
        SampleError
            If a section has no name or no patient.
        OSError
            If the sheet cannot be written.
        """
        if self.state.sheet.path:
            return Path(self.state.sheet.path).expanduser().resolve()
        for n in numbers(1):
            path = run / (SHEET if n == 1 else SHEET.replace(".", f"-{n}."))
            if not path.exists():
                write_sheet(self.samples, path)
                return path.resolve()
            if _holds(path, self.samples):
                return path.resolve()
        raise AssertionError("there is always another name")

    def close(self) -> None:
        """Check nothing any more."""
        self._checks.close()
        self._search.end()

    # what the person does

    def type_sheet(self, text: str) -> None:
        """Take another path over, and drop what is known of other sections; `read_sheet` reads it."""
        path = text.strip()
        if path == self.state.sheet.path and not self.state.sheet.composed:
            return
        self.state.sheet = SheetField(path)
        self._begin_sheet()

    def read_sheet(self) -> None:
        """Read the sheet whose path was typed."""
        path = self.state.sheet.path
        if not self._unread or not path:
            return
        self._unread = False
        self._search.begin(lambda cancelled: read_sheet(Path(path)), partial(self._sheet_read, path), self._not_read)
        self._settle()

    def add_sheet(self, path: str) -> None:
        """Add the sections that another sheet names."""
        if self._sections:
            self._search.begin(lambda cancelled: (read_sheet(Path(path)), []), self._add, self._not_added)
        else:
            self.type_sheet(path)

    def add_folder(self, folder: str) -> None:
        """Add the sections that are found in a folder."""
        self._search.begin(partial(find_sections, folder), self._add, self._not_added)
        self.state.told = f"Searching {folder}…"
        self._settle()

    def add_dropped(self, paths: Sequence[Path]) -> None:
        """Add the sections among files and folders that were dropped on the dock."""
        if len(paths) == 1 and paths[0].suffix.lower() == ".csv" and not self._sections:
            self.type_sheet(str(paths[0]))
            self.read_sheet()
            return
        self._search.begin(partial(sections_among, paths), self._add, self._not_added)
        self.state.told = "Looking at what you dropped…"
        self._settle()

    def stop_search(self) -> None:
        """Search no further."""
        self._search.end()
        self._settle()

    def add_open(self, samples: Sequence[Sample], lacking: Sequence[str]) -> None:
        """Add the sections of open slides; `lacking` names the layers of slides without a measurement."""
        notes = [f"{name} has no measurement: drop it on the NH2ST dock (Measured)" for name in lacking]
        if samples:
            self._search.begin(lambda cancelled: (_with_patients(samples), notes), self._add, self._not_added)
        else:
            self.state.told = NO_MEASUREMENT

    def remove(self, rows: Collection[int]) -> None:
        """Take sections off the table; their files stay."""
        self._sections = [section for at, section in enumerate(self._sections) if at not in rows]
        self.state.told = ""
        if self._sections:
            self._settle()
        else:
            self.state.sheet = SheetField()
            self._begin_sheet()

    def edit(self, row: int, field: Editable, text: str) -> None:
        """Take over what was typed into a cell."""
        section = self._sections[row]
        if field == "sample":
            section.sample = replace(section.sample, sample=text)
        elif field == "patient":
            section.sample = replace(section.sample, patient=text)
        else:
            self._edit_mpp(section, text)
        if section.facts is not None:
            section.facts = replace(section.facts, sample=section.sample)
        self._settle()

    def check_again(self) -> None:
        """Read the files again, after they were mended."""
        if self.state.sheet.path:
            self._begin_sheet()
            return
        for section in self._sections:
            section.facts = None
        self._settle()

    def _edit_mpp(self, section: Section, text: str) -> None:
        try:
            mpp = float(text.replace(",", ".")) if text else None
        except ValueError:
            self.state.told = f"{text!r} is not a pixel size: type micrometres per pixel, for example 0.5"
        else:
            section.sample, section.facts = replace(section.sample, mpp=mpp), None
            self.state.told = ""

    # where sections come from

    def _begin_sheet(self) -> None:
        """Drop what is known and what is still to come of other sections."""
        self._search.end()
        self._sections, self._source, self._sheet_error = [], ("", []), ""
        self._unread = bool(self.state.sheet.path)
        self.state.told = ""
        self._settle()

    def _sheet_read(self, path: str, samples: list[Sample]) -> None:
        self._source = (path, samples)
        self._sections = [Section(sample, sample) for sample in samples]
        self._settle()

    def _not_read(self, error: Exception) -> None:
        self._sheet_error = error_words(error)
        self._settle()

    def _add(self, found: Found) -> None:
        """Put sections into the table that are not in it yet, and say what there is to say."""
        samples, notes = found
        present = {_files(section.sample) for section in self._sections}
        names = {section.sample.sample for section in self._sections}
        new = [sample for sample in samples if _files(sample) not in present]
        for sample in new:
            named = replace(sample, sample=_free(sample.sample, names))
            names.add(named.sample)
            self._sections.append(Section(named, named))
        if len(new) < len(samples):
            notes = [f"{count(len(samples) - len(new), 'section')} in the table already", *notes]
        self.state.told = first_sentences(notes)
        self._settle()

    def _not_added(self, error: Exception) -> None:
        self.state.told = error_words(error)
        self._settle()

    def _searching(self, running: bool) -> None:
        self.state.told, self.state.searching = "", running

    def _settle(self) -> None:
        """Bring the state in step with the sections, and have those checked that are not yet."""
        self._checks.check_next()
        overview = overview_of(self._sections, self._sheet_error)
        self.state.sheet = self._sheet_field()
        self.state.why_not = self._why_not(overview)
        self.state.overview = overview

    def _sheet_field(self) -> SheetField:
        """Name the sheet where these are its sections, unchanged; otherwise say how many there are."""
        if not self._sections:
            return SheetField(self.state.sheet.path)
        path, named = self._source
        if self.samples == named:
            return SheetField(path)
        edited = sum(section.sample != section.added for section in self._sections)
        words = f"{count(len(self._sections), 'section')}{f', {edited} edited' if edited else ''}"
        return SheetField("", words, composed=True)

    def _why_not(self, overview: Overview) -> str:
        if not (self.state.sheet.path or self._sections or self._search.running):
            return NO_SECTIONS
        if self._unread or self._search.running or not overview.complete:
            return CHECKING
        if not self._sections:
            return "The sample sheet cannot be used: the reason is below it"
        return "\n".join(overview.stops)


def first_sentences(texts: Sequence[str], most: int = 4, more_words: str = "and {} more") -> str:
    """Join sentences, a line each, and count those after the first ones."""
    more = len(texts) - most
    return "\n".join([*texts[:most], more_words.format(more)] if more > 0 else texts)


def _with_patients(samples: Sequence[Sample]) -> list[Sample]:
    return [replace(s, patient=patient_of(s.expression)) if s.format == "h5ad" else s for s in samples]


def _files(sample: Sample) -> tuple[Path, Path]:
    return sample.slide, sample.expression


def _free(name: str, taken: set[str]) -> str:
    return next(n for n in (name, *(f"{name}-{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def _holds(path: Path, samples: list[Sample]) -> bool:
    try:
        return read_sheet(path) == samples
    except Nh2stError:
        return False
