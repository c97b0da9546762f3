"""Which sections a run is made with: from a sample sheet, a folder or open layers; looked at in the background."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count as numbers
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QLineEdit, QProgressBar, QPushButton, QWidget

from napari_nh2st.errors import Nh2stError
from napari_nh2st.expression import Sample, read_sheet, write_sheet
from napari_nh2st.expression.find import SHEET, find_sections, patient_of
from napari_nh2st.viewer.finetune.open_sections import open_sections
from napari_nh2st.viewer.finetune.section_table import NAME, PATIENT, SheetTable
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.phrases import count, error_words
from napari_nh2st.viewer.kit.texts import Banner, Note, Sentence

if TYPE_CHECKING:
    from napari_nh2st.training.sections.section_check import SectionFacts

_TYPED_MS = 300
_SHOWN = 4  # sentences
_ADD_SHEET_TIP = "Add the sections that a sample sheet names"
_LAYERS_TIP = "Add the open slides that have a measurement in the NH2ST dock (Measured)"
_SHEET_TIP = "A table with one line per measured section: its slide, its expression, its patient"
_COMPOSED_TIP = (
    "These sections are not those of one sheet as it is: the run gets a sheet of its own, in its folder. "
    "To name a sheet here, remove the sections first"
)
_FOLDER_TIP = (
    "Add what is measured in a folder: its samples.csv, what Space Ranger left there, images with an .h5ad or a table "
    "of counts of the same name"
)
_NO_LAYERS = (
    "No open slide has a measurement: open a slide and drop its measurement on the NH2ST dock first (Measured)."
)


@dataclass(eq=False)
class _Line:
    """A section of the table: as it was added, as it is now, and what its files hold, None while that is not known."""

    added: Sample
    sample: Sample
    facts: SectionFacts | None = None


class SectionsPart(QWidget):
    """The sheet's field, buttons that add sections, a table of them, and what only shows when they are seen together.

    Parameters
    ----------
    background : Background
    viewer : Viewer, optional
        From whose layers sections can be taken.
    """

    changed = Signal()

    def __init__(self, background: Background, viewer: Any = None) -> None:
        super().__init__()
        self._background, self._viewer = background, viewer
        self._lines: list[_Line] = []
        self._read_from: tuple[str, list[Sample]] = ("", [])  # a sheet, and what it names
        self._adding: Event | None = None  # set: what is being read or searched is no longer wanted
        self._at_work: _Line | None = None
        self._wrong = ""  # with the sheet that the field names
        self._shut = False
        self.facts: list[SectionFacts] = []
        self.stops: list[str] = []
        self._typed = QTimer(self, interval=_TYPED_MS, singleShot=True)
        self._typed.timeout.connect(self._read)
        self._make()
        layout = column(self, spacing=4)
        layout.addLayout(row(self.sheet, label="Sheet", stretch=0))
        layout.addLayout(row(self.add_sheet, self.add_folder, self.add_layers, label="Add"))
        for part in (self.told, self.table, self.bar, self.note):
            layout.addWidget(part)
        buttons = row(self.remove, self.again)
        buttons.insertStretch(0, 1)
        layout.addLayout(buttons)
        for part in (self.stop, self.look):
            layout.addWidget(part)
        self._update_remove()

    def _make(self) -> None:
        self.sheet = QLineEdit(placeholderText=SHEET)
        self.sheet.setToolTip(_SHEET_TIP)
        self.sheet.textChanged.connect(self._sheet_changed)
        self.add_sheet = QPushButton("sheet…")
        self.add_sheet.clicked.connect(self._ask_sheet)
        self.add_folder = QPushButton("folder…")
        self.add_folder.clicked.connect(self._ask_folder)
        self.add_layers = QPushButton("from layers")
        self.add_layers.clicked.connect(self._take_layers)
        self.add_layers.setVisible(self._viewer is not None)
        self.table, self.told, self.note, self.stop, self.look = SheetTable(), Note(), Sentence(), Banner(), Note()
        self.table.edited.connect(self._edited)
        self.table.removing.connect(self._remove)
        self.table.itemSelectionChanged.connect(self._update_remove)
        self.remove = QPushButton("Remove")
        self.remove.clicked.connect(self._remove)
        self.again = QPushButton("Look again")
        self.again.setToolTip("Read the files again, after they were mended")
        self.again.clicked.connect(self._look_again)
        self.bar = QProgressBar()
        self.bar.setFormat("looking at section %v of %m")
        for part in (self.remove, self.again, self.bar):
            part.setVisible(False)
        self._show_adding(searching=False)

    @property
    def samples(self) -> list[Sample]:
        """The sections as they stand in the table."""
        return [line.sample for line in self._lines]

    @property
    def path(self) -> str:
        """The sheet's path as typed; empty where the sections are not those of one sheet as it is."""
        return self.sheet.text().strip()

    @property
    def good(self) -> bool:
        """Whether a run can be made with these sections."""
        return not self.why_not

    @property
    def why_not(self) -> str:
        """Why no run can be made with these sections; empty where one can."""
        if not (self.path or self._lines or self._adding):
            return "Add sections first"
        if self._typed.isActive() or self._adding or any(line.facts is None for line in self._lines):
            return "The sections are still being looked at"
        if not self._lines:
            return "The sample sheet cannot be used: what is wrong stands below it"
        return "\n".join(self.stops)

    def sheet_for(self, run: Path) -> Path:
        """Return the sheet of these sections: their own, or one that is written into a run's folder.

        Raises
        ------
        SampleError
            If a section has no name or no patient.
        OSError
            If the sheet cannot be written.
        """
        if self.path:
            return Path(self.path).expanduser().resolve()
        for n in numbers(1):
            path = run / (SHEET if n == 1 else SHEET.replace(".", f"-{n}."))
            if not path.exists():
                write_sheet(self.samples, path)
                return path.resolve()
            if _holds(path, self.samples):
                return path.resolve()
        raise AssertionError("there is always another name")

    def shut(self) -> None:
        """Look no further."""
        self._shut = True
        self._typed.stop()
        self._give_up()

    # what the person does

    def _ask_sheet(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Sample sheet", self.path, "Sample sheet (*.csv)")
        if path and not self._lines:
            self.sheet.setText(path)
        elif path:
            self._begin(lambda cancelled: (read_sheet(Path(path)), []), self._add, self._cannot_add)

    def _ask_folder(self) -> None:
        if self._adding is not None:  # the button says Stop
            self._give_up()
            self._settle()
            return
        folder = QFileDialog.getExistingDirectory(self, "Folder with measured sections")
        if folder:
            self._begin(partial(find_sections, folder), self._add, self._cannot_add)
            self.told.say(f"Looking through {folder}…")
            self._settle()

    def _take_layers(self) -> None:
        samples, lacking = open_sections(self._viewer)
        says = [f"{name} has no measurement: drop it on the NH2ST dock (Measured)" for name in lacking]
        if samples:
            self._begin(lambda cancelled: (_with_patients(samples), says), self._add, self._cannot_add)
        else:
            self.told.say(_NO_LAYERS)

    def _remove(self) -> None:
        chosen = set(self.table.chosen)
        self._lines = [line for at, line in enumerate(self._lines) if at not in chosen]
        self.table.clearSelection()
        self.told.say("")
        if not self._lines:
            self.sheet.setText("")
        self._settle()

    def _edited(self, at: int, what: int, text: str) -> None:
        line = self._lines[at]
        if what in (NAME, PATIENT):
            line.sample = replace(line.sample, **{"sample" if what == NAME else "patient": text})
            if line.facts is not None:
                line.facts = replace(line.facts, sample=line.sample)
        else:
            try:
                size = float(text.replace(",", ".")) if text else None
            except ValueError:
                self.told.say(f"{text!r} is no pixel size: type micrometres per pixel, as 0.5")
            else:
                line.sample, line.facts = replace(line.sample, mpp=size), None
                self.told.say("")
        self._settle()

    def _look_again(self) -> None:
        if self.path:
            self._sheet_changed()
            return
        for line in self._lines:
            line.facts = None
        self._settle()

    # where sections come from

    def _sheet_changed(self) -> None:
        """Drop what is known and what is still to come of other sections."""
        self._give_up()
        self._lines, self._read_from, self._wrong = [], ("", []), ""
        self.told.say("")
        self._typed.stop()
        if self.path:
            self._typed.start()
        self._settle()

    def _read(self) -> None:
        path = self.path
        self._begin(lambda cancelled: read_sheet(Path(path)), partial(self._sheet_read, path), self._cannot_read)
        self._settle()

    def _sheet_read(self, path: str, samples: list[Sample]) -> None:
        self._read_from = (path, samples)
        self._lines = [_Line(sample, sample) for sample in samples]
        self._settle()

    def _cannot_read(self, error: Exception) -> None:
        self._wrong = error_words(error)
        self._settle()

    def _add(self, found: tuple[list[Sample], list[str]]) -> None:
        """Put sections into the table that are not in it yet, and say what there is to say."""
        samples, says = found
        there = {_files(line.sample) for line in self._lines}
        names = {line.sample.sample for line in self._lines}
        new = [s for s in samples if _files(s) not in there]
        for sample in new:
            named = replace(sample, sample=_free(sample.sample, names))
            names.add(named.sample)
            self._lines.append(_Line(named, named))
        if len(new) < len(samples):
            says = [f"{count(len(samples) - len(new), 'section')} in the table already", *says]
        self.told.say(_sentences(says))
        self._settle()

    def _begin(
        self,
        function: Callable[[Callable[[], bool]], Any],
        then: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Read or search in the background; what was begun before is given up."""
        self._give_up()
        self._adding = given_up = Event()
        self.told.say("")
        self._show_adding(searching=True)

        def ended(call: Callable[[Any], None], outcome: Any) -> None:
            if not given_up.is_set():
                self._give_up()
                call(outcome)

        self._background.call(function, given_up.is_set, then=partial(ended, then), failed=partial(ended, failed))

    def _give_up(self) -> None:
        if self._adding is not None:
            self._adding.set()
            self._adding = None
            self.told.say("")
            self._show_adding(searching=False)

    def _show_adding(self, *, searching: bool) -> None:
        self.add_folder.setText("Stop" if searching else "folder…")
        self.add_folder.setToolTip("Look no further for sections" if searching else _FOLDER_TIP)
        for button, tip in ((self.add_sheet, _ADD_SHEET_TIP), (self.add_layers, _LAYERS_TIP)):
            button.setEnabled(not searching)
            button.setToolTip("Sections are being looked for: wait, or press Stop" if searching else tip)

    def _cannot_add(self, error: Exception) -> None:
        self.told.say(error_words(error))
        self._settle()

    # looking at them

    def _go_on(self) -> None:
        """Look at the next section, one at a time."""
        if self._shut or self._at_work in self._lines:
            return
        self._at_work = next((line for line in self._lines if line.facts is None), None)
        if self._at_work is not None:
            line, sample = self._at_work, self._at_work.sample
            before = [other.facts for other in self._lines if other.facts is not None]
            self._background.call(
                _looked_at, sample, before, then=partial(self._looked, line, sample), failed=self._cannot_add
            )

    def _looked(self, line: _Line, sample: Sample, found: SectionFacts) -> None:
        if self._at_work is line:
            self._at_work = None
        if self._shut or line not in self._lines:
            return  # removed meanwhile, or another sheet was chosen
        if replace(sample, sample="", patient="") == replace(line.sample, sample="", patient=""):
            line.facts = replace(found, sample=line.sample)
        self._settle()

    def _settle(self) -> None:
        """Show the sections as they are now, and look at those that have not been looked at."""
        self._go_on()
        looked = [line.facts for line in self._lines if line.facts is not None]
        self.facts, self.stops, look = looked, [], []
        if looked:
            from napari_nh2st.training.sections.section_check import check_together, named

            self.facts = named(looked)
            if len(looked) == len(self._lines):
                self.stops, look = check_together(self.facts)
        judged = iter(self.facts)
        self.table.show_sections([(line.sample, None if line.facts is None else next(judged)) for line in self._lines])
        done = len(looked) == len(self._lines)
        self.bar.setRange(0, len(self._lines))
        self.bar.setValue(min(len(looked) + 1, len(self._lines)))
        self.bar.setVisible(not done)
        self.note.say((self._wrong or self._words()) if done else "")
        self.stop.say(_sentences(self.stops, "and {} more: point at the rows marked stop") if done else "")
        self.look.say(_sentences([_upper(text) for text in look]) if done else "")
        self.remove.setVisible(bool(self._lines))
        self.again.setVisible(done and bool(self._lines or self._wrong))
        self._show_source()
        self._update_remove()
        self.changed.emit()

    def _words(self) -> str:
        from napari_nh2st.training.sections.section_check import shared_genes

        if not self._lines:
            return ""
        patients, shared = {s.patient for s in self.samples} - {""}, len(shared_genes(self.facts))
        whose = f" of {count(len(patients), 'patient')}" if all(s.patient for s in self.samples) else ""
        measured = "measured" if len(self.facts) == 1 else "shared by all"
        return f"{count(len(self.facts), 'section')}{whose}, {count(shared, 'gene')} {measured}"

    def _show_source(self) -> None:
        """Name the sheet where these are its sections as they are; otherwise say how many there are."""
        path, named = self._read_from
        composed = bool(self._lines) and self.samples != named
        edited = sum(line.sample != line.added for line in self._lines)
        if self._lines and self.path != ("" if composed else path):
            self.sheet.blockSignals(True)
            self.sheet.setText("" if composed else path)
            self.sheet.blockSignals(False)
        words = f"{count(len(self._lines), 'section')}{f', {edited} edited' if edited else ''}"
        self.sheet.setPlaceholderText(words if composed else SHEET)
        self.sheet.setReadOnly(composed)
        self.sheet.setToolTip(_COMPOSED_TIP if composed else _SHEET_TIP)

    def _update_remove(self) -> None:
        chosen = bool(self.table.chosen)
        self.remove.setEnabled(chosen)
        self.remove.setToolTip(
            "Take the chosen sections off the table (Delete); their files stay" if chosen else "Choose rows first"
        )


def _looked_at(sample: Sample, before: list[SectionFacts]) -> SectionFacts:
    """Look at one section, and which genes it shares with those before. Slow: not for the GUI thread."""
    from napari_nh2st.training.sections.section_check import SectionFacts, check_section, shared_genes

    try:
        found = check_section(sample)
    except Exception as error:  # whatever a file can do: its row says so, the others are looked at
        return SectionFacts(sample, "stop", (f"it cannot be read: {error_words(error)}",))
    shared_genes([*before, found])  # remembered: asked again on the GUI thread
    return found


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


def _upper(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _sentences(texts: list[str], more_words: str = "and {} more") -> str:
    more = len(texts) - _SHOWN
    return "\n".join([*texts[:_SHOWN], more_words.format(more)] if more > 0 else texts)
