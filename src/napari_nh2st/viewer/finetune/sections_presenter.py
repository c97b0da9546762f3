"""The sections of a run: from sheets, folders and open layers, checked in the background. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count as numbers
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from psygnal import SignalGroupDescriptor

from napari_nh2st.errors import Nh2stError
from napari_nh2st.expression import Sample, read_sheet, write_sheet
from napari_nh2st.expression.find import SHEET, find_sections, patient_of, sections_among
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.phrases import count, error_words

if TYPE_CHECKING:
    from napari_nh2st.training.sections.section_check import SectionFacts

NO_SECTIONS, CHECKING = "Add sections first", "The sections are still being checked"
NO_MEASUREMENT = (
    "No open slide has a measurement: open a slide and drop its measurement on the NH2ST dock first (Measured)."
)
Editable = Literal["sample", "patient", "mpp"]
T = TypeVar("T")
Found = tuple[list[Sample], list[str]]  # sections, and what there is to say of the search


@dataclass(frozen=True)
class SheetField:
    """The field that names a sheet.

    Attributes
    ----------
    path : str
        As it was typed; empty where the sections do not come from one unchanged sheet.
    placeholder : str
    composed : bool
        Whether they do not, so that the field is read-only.
    """

    path: str = ""
    placeholder: str = SHEET
    composed: bool = False


@dataclass(frozen=True)
class Overview:
    """The sections as they are now.

    Attributes
    ----------
    rows : tuple of (Sample, SectionFacts or None)
        Of the table; None where a section is not checked yet.
    facts : tuple of SectionFacts
        Of the sections that are checked.
    note : str
        How many there are, or what is wrong with the sheet.
    stops, looks : tuple of str
        What stops a run, and what to know before it, once all are checked.
    """

    rows: tuple[tuple[Sample, SectionFacts | None], ...] = ()
    facts: tuple[SectionFacts, ...] = ()
    note: str = ""
    stops: tuple[str, ...] = ()
    looks: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True if all sections are checked."""
        return len(self.facts) == len(self.rows)


@dataclass(eq=False)
class SectionsState:
    """The sections and where they come from. It tells its listeners what changes.

    Attributes
    ----------
    sheet : SheetField
    searching : bool
        Whether sections are being searched or read.
    told : str
        What came of the last thing that a person did.
    why_not : str
        Why no run can be made with these sections; empty where one can.
    overview : Overview
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    sheet: SheetField = SheetField()
    searching: bool = False
    told: str = ""
    why_not: str = NO_SECTIONS
    overview: Overview = Overview()


@dataclass(eq=False)
class _Section:
    """A section: as it was added, as it is now, and what its files hold, None while that is not known."""

    added: Sample
    sample: Sample
    facts: SectionFacts | None = None


class SectionsPresenter:
    """Adds, edits and removes sections, and has each checked once.

    Parameters
    ----------
    threads : Threads
        Files are searched, read and checked there.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._sections: list[_Section] = []
        self._source: tuple[str, list[Sample]] = ("", [])  # a sheet, and the sections that it names
        self._unread = False  # the field names a sheet that is not read yet
        self._search: Event | None = None  # set when its outcome is no longer wanted
        self._in_check: _Section | None = None
        self._sheet_error = ""
        self._closed = False
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
        self._closed = True
        self._end_search()

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
        self._begin_search(lambda cancelled: read_sheet(Path(path)), partial(self._sheet_read, path), self._not_read)
        self._settle()

    def add_sheet(self, path: str) -> None:
        """Add the sections that another sheet names."""
        if self._sections:
            self._begin_search(lambda cancelled: (read_sheet(Path(path)), []), self._add, self._not_added)
        else:
            self.type_sheet(path)

    def add_folder(self, folder: str) -> None:
        """Add the sections that are found in a folder."""
        self._begin_search(partial(find_sections, folder), self._add, self._not_added)
        self.state.told = f"Searching {folder}…"
        self._settle()

    def add_dropped(self, paths: Sequence[Path]) -> None:
        """Add the sections among files and folders that were dropped on the dock."""
        if len(paths) == 1 and paths[0].suffix.lower() == ".csv" and not self._sections:
            self.type_sheet(str(paths[0]))
            self.read_sheet()
            return
        self._begin_search(partial(sections_among, paths), self._add, self._not_added)
        self.state.told = "Looking at what you dropped…"
        self._settle()

    def stop_search(self) -> None:
        """Search no further."""
        self._end_search()
        self._settle()

    def add_open(self, samples: Sequence[Sample], lacking: Sequence[str]) -> None:
        """Add the sections of open slides; `lacking` names the layers of slides without a measurement."""
        notes = [f"{name} has no measurement: drop it on the NH2ST dock (Measured)" for name in lacking]
        if samples:
            self._begin_search(lambda cancelled: (_with_patients(samples), notes), self._add, self._not_added)
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

    def _edit_mpp(self, section: _Section, text: str) -> None:
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
        self._end_search()
        self._sections, self._source, self._sheet_error = [], ("", []), ""
        self._unread = bool(self.state.sheet.path)
        self.state.told = ""
        self._settle()

    def _sheet_read(self, path: str, samples: list[Sample]) -> None:
        self._source = (path, samples)
        self._sections = [_Section(sample, sample) for sample in samples]
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
            self._sections.append(_Section(named, named))
        if len(new) < len(samples):
            notes = [f"{count(len(samples) - len(new), 'section')} in the table already", *notes]
        self.state.told = first_sentences(notes)
        self._settle()

    def _not_added(self, error: Exception) -> None:
        self.state.told = error_words(error)
        self._settle()

    def _begin_search(
        self,
        function: Callable[[Callable[[], bool]], T],
        then: Callable[[T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Read or search in the background; what was begun before is given up."""
        self._end_search()
        self._search = search = Event()
        self.state.told, self.state.searching = "", True

        def done(outcome: T) -> None:
            if not search.is_set():
                self._end_search()
                then(outcome)

        def not_done(error: Exception) -> None:
            if not search.is_set():
                self._end_search()
                failed(error)

        self._threads.call(function, search.is_set, then=done, failed=not_done)

    def _end_search(self) -> None:
        if self._search is not None:
            self._search.set()
            self._search = None
            self.state.told, self.state.searching = "", False

    # checking them

    def _check_next(self) -> None:
        """Have the next section checked, one at a time."""
        if self._closed or self._in_check in self._sections:
            return
        self._in_check = next((section for section in self._sections if section.facts is None), None)
        if self._in_check is not None:
            section, sample = self._in_check, self._in_check.sample
            before = [other.facts for other in self._sections if other.facts is not None]
            self._threads.call(
                _check, sample, before, then=partial(self._checked, section, sample), failed=self._not_added
            )

    def _checked(self, section: _Section, sample: Sample, facts: SectionFacts) -> None:
        if self._in_check is section:
            self._in_check = None
        if self._closed or section not in self._sections:
            return  # removed meanwhile, or another sheet was chosen
        if replace(sample, sample="", patient="") == replace(section.sample, sample="", patient=""):
            section.facts = replace(facts, sample=section.sample)
        self._settle()

    def _settle(self) -> None:
        """Bring the state in step with the sections, and have those checked that are not yet."""
        self._check_next()
        overview = self._overview()
        self.state.sheet = self._sheet_field()
        self.state.why_not = self._why_not(overview)
        self.state.overview = overview

    def _overview(self) -> Overview:
        checked = [section.facts for section in self._sections if section.facts is not None]
        facts: list[SectionFacts] = []
        stops: list[str] = []
        looks: list[str] = []
        if checked:
            from napari_nh2st.training.sections.section_check import check_together, named  # loaded by the check

            facts = named(checked)
            if len(checked) == len(self._sections):
                stops, looks = check_together(facts)
        judged = iter(facts)
        rows = tuple((s.sample, None if s.facts is None else next(judged)) for s in self._sections)
        note = self._sheet_error or self._summary(facts)
        return Overview(rows, tuple(facts), note, tuple(stops), tuple(looks))

    def _summary(self, facts: Sequence[SectionFacts]) -> str:
        if not facts:
            return ""
        from napari_nh2st.training.sections.section_check import shared_genes

        patients = {sample.patient for sample in self.samples} - {""}
        whose = f" of {count(len(patients), 'patient')}" if all(sample.patient for sample in self.samples) else ""
        measured = "measured" if len(facts) == 1 else "shared by all"
        return f"{count(len(facts), 'section')}{whose}, {count(len(shared_genes(facts)), 'gene')} {measured}"

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
        if not (self.state.sheet.path or self._sections or self._search):
            return NO_SECTIONS
        if self._unread or self._search or not overview.complete:
            return CHECKING
        if not self._sections:
            return "The sample sheet cannot be used: the reason is below it"
        return "\n".join(overview.stops)


def first_sentences(texts: Sequence[str], most: int = 4, more_words: str = "and {} more") -> str:
    """Join sentences, a line each, and count those after the first ones."""
    more = len(texts) - most
    return "\n".join([*texts[:most], more_words.format(more)] if more > 0 else texts)


def _check(sample: Sample, before: list[SectionFacts]) -> SectionFacts:
    """Check one section, and which genes it shares with those before. Slow: not on the GUI thread."""
    from napari_nh2st.training.sections.held_apart import same_warnings
    from napari_nh2st.training.sections.section_check import SectionFacts, check_section, shared_genes

    try:
        facts = check_section(sample)
    except Exception as error:  # whatever a file can do: its row says so, the others are checked
        return SectionFacts(sample, "stop", (f"it cannot be read: {error_words(error)}",))
    shared_genes([*before, facts])  # remembered, as the pairs are: asked again on the GUI thread
    same_warnings([other.named for other in (*before, facts)])
    return facts


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
