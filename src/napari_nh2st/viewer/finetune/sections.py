"""The sections of a run: the sheet's field, buttons that add sections, their table, and what they say together."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QFileDialog, QLineEdit, QProgressBar, QWidget
from superqt.utils import qdebounced, signals_blocked

from napari_nh2st.viewer.finetune.open_sections import open_sections
from napari_nh2st.viewer.finetune.sections_presenter import SectionsPresenter, first_sentences
from napari_nh2st.viewer.finetune.sections_state import Overview, SheetField
from napari_nh2st.viewer.finetune.sections_table import SectionsTable
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.texts import Banner, Note, Sentence

_TYPED_MS = 300
_SHEET_TIP = "A table with one line for each measured section: its slide, its counts, its patient"
_COMPOSED_TIP = (
    "These sections do not come from one unchanged sheet, so the run gets its own sheet, in its folder. To name a "
    "sheet here, remove the sections first"
)
_FOLDER_TIP = (
    "Add what is measured in a folder: its samples.csv, the folders of assays, images with an .h5ad or a table "
    "of counts of the same name"
)
_SEARCHING = "Still searching for sections. Wait, or press Stop"
_EMPTY = "Drop a sample sheet, a folder, or slides with their counts anywhere on this dock."
_MORE = "and {} more. Point at the rows marked stop"


class Sections(QWidget):
    """Shows the sections and hands what a person does to the presenter.

    Parameters
    ----------
    presenter : SectionsPresenter
    viewer : Viewer, optional
        From whose layers sections can be taken.
    """

    def __init__(self, presenter: SectionsPresenter, viewer: Any = None) -> None:
        super().__init__()
        self.presenter, self._viewer = presenter, viewer
        self._make()
        layout = column(self, spacing=4)
        layout.addLayout(row(self.sheet, label="Sheet", stretch=0))
        layout.addLayout(row(self.add_sheet, self.add_folder, self.add_layers))
        for part in (self.told, self.table, self.bar, self.note):
            layout.addWidget(part)
        buttons = row(self.remove, self.again)
        buttons.insertStretch(0, 1)
        layout.addLayout(buttons)
        for part in (self.stop, self.look):
            layout.addWidget(part)
        self._read_soon = qdebounced(presenter.read_sheet, timeout=_TYPED_MS, parent=self)
        events = presenter.state.events
        events.sheet.connect(self._show_sheet)
        events.searching.connect(self._show_searching)
        events.told.connect(self.told.say)
        events.overview.connect(self._show)
        self._show(presenter.state.overview)
        self._show_sheet(presenter.state.sheet)

    def _make(self) -> None:
        self.sheet = QLineEdit()
        self.sheet.textChanged.connect(self._typed)
        self.add_sheet = action_button("Add sheet…", "Add the sections that a sample sheet names", self._ask_sheet)
        self.add_folder = action_button("Add folder…", _FOLDER_TIP, self._ask_folder)
        self.add_layers = action_button(
            "Add layers", "Add the open slides that have a measurement in the NH2ST dock (Measured)", self._take_layers
        )
        self.add_layers.setVisible(self._viewer is not None)
        self.table, self.told, self.note, self.stop, self.look = SectionsTable(), Note(), Sentence(), Banner(), Note()
        self.table.edited.connect(self._edited)
        self.table.removing.connect(self._remove)
        self.table.itemSelectionChanged.connect(self._update_remove)
        self.remove = action_button(
            "Remove", "Remove the selected sections from the table (Delete). Their files stay", self._remove
        )
        self.again = action_button("Recheck", "Read the files again, once you have corrected them", self._check_again)
        self.bar = QProgressBar()
        self.bar.setFormat("checking section %v of %m")

    def close_down(self) -> None:
        """Read nothing any more."""
        self._read_soon.cancel()

    # what the person does

    def _typed(self, text: str) -> None:
        self.presenter.type_sheet(text)
        self._read_soon()

    def _ask_sheet(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Sample sheet", self.presenter.state.sheet.path, "Sample sheet (*.csv)"
        )
        if path:
            self.presenter.add_sheet(path)
            self._read_soon()

    def _ask_folder(self) -> None:
        if self.presenter.state.searching:  # the button says Stop
            self.presenter.stop_search()
            return
        folder = QFileDialog.getExistingDirectory(self, "Folder with measured sections")
        if folder:
            self.presenter.add_folder(folder)

    def _take_layers(self) -> None:
        self.presenter.add_open(*open_sections(self._viewer))

    def _remove(self) -> None:
        rows = set(self.table.chosen)
        self.table.clearSelection()
        self.presenter.remove(rows)

    def _edited(self, at: int, field: str, text: str) -> None:
        self.presenter.edit(at, field, text)
        self.table.show_sections(self.presenter.state.overview.rows)  # what could not be taken over is given up

    def _check_again(self) -> None:
        self.presenter.check_again()
        self._read_soon()

    # what changes

    def _show_sheet(self, field: SheetField) -> None:
        with signals_blocked(self.sheet):
            if field.path != self.sheet.text().strip():
                self.sheet.setText(field.path)
        self.sheet.setPlaceholderText(field.placeholder)
        self.sheet.setReadOnly(field.composed)
        self.sheet.setToolTip(_COMPOSED_TIP if field.composed else _SHEET_TIP)

    def _show_searching(self, searching: bool) -> None:
        if searching:
            self.add_folder.set_action("Stop", "Stop the search for sections")
        else:
            self.add_folder.set_action("Add folder…", _FOLDER_TIP)
        for button in (self.add_sheet, self.add_layers):
            button.set_reason_off(_SEARCHING if searching else "")

    def _show(self, overview: Overview) -> None:
        self.table.show_sections(overview.rows)
        complete = overview.complete
        self.bar.setRange(0, len(overview.rows))
        self.bar.setValue(min(len(overview.facts) + 1, len(overview.rows)))
        self.bar.setVisible(not complete)
        self.note.say((overview.note or (_EMPTY if not overview.rows else "")) if complete else "")
        self.stop.say(first_sentences(overview.stops, more_words=_MORE) if complete else "")
        self.look.say(first_sentences([f"{text[:1].upper()}{text[1:]}" for text in overview.looks]) if complete else "")
        self.remove.setVisible(bool(overview.rows))
        self.again.setVisible(complete and bool(overview.rows or overview.note))
        self._update_remove()

    def _update_remove(self) -> None:
        self.remove.set_reason_off("" if self.table.chosen else "Select rows first")
