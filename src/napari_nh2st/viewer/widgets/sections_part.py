"""Which sections a run is made with: the sample sheet, and what is found of its sections in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QLineEdit, QProgressBar, QPushButton, QWidget

from napari_nh2st.viewer.widgets.parts import Banner, Note, Sentence, column, row
from napari_nh2st.viewer.widgets.sheet_table import SheetTable
from napari_nh2st.viewer.widgets.worker import Background
from napari_nh2st.viewer.words import count, error_words

if TYPE_CHECKING:
    from napari_nh2st.training.sections import SectionFacts

_TYPED_MS = 300
_SHOWN = 4  # sentences


def looked_at(path: str, cancelled: Callable[[], bool]) -> Iterator[Any]:
    """Read a sheet and look at its sections, one after the other. Slow: not for the GUI thread.

    Yields
    ------
    list of Sample
        What the sheet names.
    SectionFacts
        Of each of them.
    Exception
        Instead, where the sheet cannot be used.
    """
    from napari_nh2st.errors import Nh2stError
    from napari_nh2st.expression import read_sheet

    try:
        samples = read_sheet(Path(path))
    except Nh2stError as error:
        yield error
        return
    yield samples
    from napari_nh2st.training.sections import SectionFacts, look_at

    for sample in samples:
        if cancelled():
            return
        try:
            yield look_at(sample)
        except Exception as error:  # whatever a file can do: its row says so, the others are looked at
            yield SectionFacts(sample, "stop", (f"it cannot be read: {error_words(error)}",))


class SectionsPart(QWidget):
    """The sheet's field, a table of its sections, and below it what only shows when they are seen together.

    Parameters
    ----------
    background : Background
    """

    changed = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._cancel = Event()
        self._samples: list[Any] = []
        self.facts: list[SectionFacts] = []
        self.stops: list[str] = []
        self._typed = QTimer(self, interval=_TYPED_MS, singleShot=True)
        self._typed.timeout.connect(self._read)
        self._make()
        layout = column(self, spacing=4)
        layout.addLayout(row(self.sheet, self.choose, label="Sheet", stretch=0))
        for part in (self.table, self.bar):
            layout.addWidget(part)
        layout.addLayout(row(self.note, self.again, stretch=0))
        for part in (self.stop, self.look):
            layout.addWidget(part)

    def _make(self) -> None:
        self.sheet = QLineEdit(placeholderText="samples.csv")
        self.sheet.setToolTip("A table with one line per measured section: its slide, its expression, its patient")
        self.sheet.textChanged.connect(self._sheet_changed)
        self.choose = QPushButton("choose…")
        self.choose.setToolTip("Choose the sample sheet")
        self.choose.clicked.connect(self._ask)
        self.table, self.note, self.stop, self.look = SheetTable(), Sentence(), Banner(), Note()
        self.again = QPushButton("Look again")
        self.again.setToolTip("Read the sheet and its files again, after they were mended")
        self.again.clicked.connect(self._sheet_changed)
        self.again.setVisible(False)
        self.bar = QProgressBar()
        self.bar.setFormat("looking at section %v of %m")
        self.bar.setVisible(False)

    @property
    def path(self) -> str:
        """The sheet's path as typed."""
        return self.sheet.text().strip()

    @property
    def good(self) -> bool:
        """Whether a run can be made with these sections."""
        return not self.why_not

    @property
    def why_not(self) -> str:
        """Why no run can be made with these sections; empty where one can."""
        if not self.path:
            return "Choose a sample sheet first"
        if self._typed.isActive() or (self._samples and len(self.facts) < len(self._samples)):
            return "The sections are still being looked at"
        if not self.facts:
            return "The sample sheet cannot be used: what is wrong stands below it"
        return "\n".join(self.stops)

    def shut(self) -> None:
        """Look no further."""
        self._typed.stop()
        self._cancel.set()

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Sample sheet", self.path, "Sample sheet (*.csv)")
        if path:
            self.sheet.setText(path)

    def _sheet_changed(self) -> None:
        """Drop what is known and what is still to come of another sheet."""
        self._cancel.set()
        self._samples, self.facts, self.stops = [], [], []
        for part in (self.note, self.stop, self.look):
            part.say("")
        self.again.setVisible(False)
        self.bar.setVisible(False)
        if self.path:
            self._typed.start()
        else:
            self._typed.stop()
            self.table.show_samples([])
        self.changed.emit()

    def _read(self) -> None:
        self._cancel = cancel = Event()
        self._background.iterate(looked_at(self.path, cancel.is_set), partial(self._found, cancel))
        self.changed.emit()

    def _found(self, cancel: Event, found: Any) -> None:
        if cancel.is_set():
            return  # typed on meanwhile
        if isinstance(found, Exception):
            self.table.show_samples([])
            self.note.say(error_words(found))
            self.again.setVisible(True)
        elif isinstance(found, list):
            self._samples = found
            self.table.show_samples(found)
            self.bar.setRange(0, len(found))
            self.bar.setValue(1)
            self.bar.setVisible(True)
        else:
            self.table.show_facts(len(self.facts), found)
            self.facts.append(found)
            self.bar.setValue(min(len(self.facts) + 1, len(self._samples)))
            if len(self.facts) == len(self._samples):
                self._sum_up()
        self.changed.emit()

    def _sum_up(self) -> None:
        from napari_nh2st.training.sections import about_all, shared_genes

        self.stops, look = about_all(self.facts)
        patients, shared = len({f.sample.patient for f in self.facts}), len(shared_genes(self.facts))
        self.note.say(
            f"{count(len(self.facts), 'section')} of {count(patients, 'patient')}, "
            f"{count(shared, 'gene')} {'measured' if len(self.facts) == 1 else 'shared by all'}"
        )
        self.stop.say(_sentences(self.stops))
        self.look.say(_sentences([f"{text[:1].upper()}{text[1:]}" for text in look]))
        self.bar.setVisible(False)
        self.again.setVisible(True)


def _sentences(texts: list[str]) -> str:
    more = len(texts) - _SHOWN
    return "\n".join([*texts[:_SHOWN], f"and {more} more: point at the rows marked stop"] if more > 0 else texts)
