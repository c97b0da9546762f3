"""The choice of the model, with one line about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox, QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.layout import column, indented, row
from napari_nh2st.viewer.kit.phrases import error_words, sentence
from napari_nh2st.viewer.kit.texts import Sentence, paragraphs, plain_tip
from napari_nh2st.viewer.predict.messages import (
    ADD_FILE_WARNING,
    broken_words,
    model_details,
    model_words,
    suited_words,
)
from napari_nh2st.viewer.predict.model_names import fitting_model, folder_name, model_names
from napari_nh2st.viewer.state.dock_state import ChosenModel, DockState
from napari_nh2st.viewer.state.preferences import Preferences
from napari_nh2st.viewer.state.services import Services

if TYPE_CHECKING:
    from napari_nh2st.model.predictors import ListedPredictor

_TOOLTIP = (
    "The model that predicts: a bundled one, someone else's that is installed, or a folder that a fine-tuning run left."
)


class ModelSection(QWidget):
    """A combo box of bundled models, other people's and folders used before, with one line about the chosen one.

    Until somebody chooses a model, the slide decides which one it is, and the line says so.
    """

    file_chosen = Signal(str)  # the Python file of a model, to be added

    def __init__(self, state: DockState, services: Services, preferences: Preferences) -> None:
        super().__init__()
        self._state, self._services, self._preferences = state, services, preferences
        self.combo = NarrowCombo(_TOOLTIP)
        self.add = QPushButton("add…")
        self.add.setToolTip("Take a model from a folder (RUN/model of a fine-tuning run), or from a Python file")
        menu = QMenu(self.add)
        self.add_folder = menu.addAction("A model’s folder…", self._ask)
        self.add_file = menu.addAction("A model’s Python file…", self.ask_file)
        self.add.setMenu(menu)
        self.line, self.broken = Sentence(), Sentence(dim=True)
        layout = column(self, spacing=2)
        layout.addLayout(row(self.combo, self.add, label="Model", stretch=0))
        layout.addLayout(indented(self.line))
        layout.addLayout(indented(self.broken))
        for name in model_names(services, preferences):
            self._add(name)
        self._by_slide, self._trouble, self._refused = True, "", ""
        with signals_blocked(self.combo):
            self._take_up(preferences.model)
            self._suit_slide()
        self.combo.currentIndexChanged.connect(self._chosen)
        self.combo.activated.connect(self._remember_choice)
        preferences.events.model.connect(self._take_up)
        state.events.slide.connect(self._suit_slide)
        self._chosen()

    @property
    def model(self) -> str | None:
        """Name or folder of the chosen model."""
        data = self.combo.currentData()
        return None if data is None else str(data)

    def use(self, model: str) -> None:
        """Choose a model by its name or folder, adding the folder to the list."""
        self._by_slide = False
        index = self.combo.findData(model)
        if index < 0:
            index = self._add(model)
        fresh = index != self.combo.currentIndex()
        self.combo.setCurrentIndex(index)
        if not fresh:
            self._chosen()  # trained anew in the same folder: its card may have changed

    def list_others(self, broken: list[ListedPredictor]) -> None:
        """List other people's models, which have been looked for by now, and say which ones do not work."""
        with signals_blocked(self.combo):
            for place, name in enumerate(self._services.others(), len(self._services.models())):
                if self.combo.findData(name) < 0:
                    self.combo.insertItem(place, name, name)
        if not self._refused:  # the file that was chosen just now is what one waits for
            self.broken.say(broken_words(broken))
        self.broken.setToolTip(plain_tip(paragraphs([sentence(one.trouble) for one in broken])))
        if self._by_slide and self._preferences.model:
            self._take_up(self._preferences.model)

    def added(self, name: str) -> None:
        """List a model whose Python file was added, and choose it."""
        self._refused = ""
        self.list_others([])
        self.use(name)
        self._remember_choice()

    def not_added(self, file: str, error: Exception) -> None:
        """Say why a Python file was not added."""
        self._refused = f"{Path(file).name} was not added: {error_words(error)}"
        self.broken.say(self._refused)

    def leave_to_slide(self) -> None:
        """Let the next slide decide again, where the model in use is the one that suits this slide."""
        slide = self._state.slide
        if not self._preferences.model and slide is not None:
            self._by_slide = self.model == fitting_model(self._services, synthetic=slide.synthetic)
            self._show_line()

    def _take_up(self, model: str) -> None:
        """Choose the remembered model, or leave it to the slide; a model whose folder is gone is left alone."""
        index = self.combo.findData(model)
        if index >= 0:
            self._by_slide = False
            self.combo.setCurrentIndex(index)
        elif not model:
            self._by_slide = True
            self._suit_slide()

    def _suit_slide(self) -> None:
        """Choose the model that suits the slide, real tissue or the demo's, unless somebody has chosen one."""
        if not self._by_slide:
            return
        slide = self._state.slide
        name = fitting_model(self._services, synthetic=slide is not None and slide.synthetic)
        if name is not None:
            self.combo.setCurrentIndex(self.combo.findData(name))
        self._show_line()

    def _remember_choice(self) -> None:
        self._by_slide = False
        self._show_line()
        self._preferences.model = self.model or ""

    def _add(self, path: str) -> int:
        named = path in (*self._services.models(), *self._services.others())
        self.combo.addItem(path if named else folder_name(path), path)
        return self.combo.count() - 1

    def _chosen(self, index: int = 0) -> None:
        model, card, self._trouble = self.model, None, ""
        if model is not None:
            try:
                card = self._services.load_card(model)
                self._remember(model)
            except (Nh2stError, OSError) as error:
                self._trouble = str(error)
        about = paragraphs([_TOOLTIP, *(model_details(card) if card else [])])
        self.combo.setToolTip(plain_tip(about))
        self.line.setToolTip(plain_tip(about))
        self._state.choose_model(None if model is None else ChosenModel(model, card))
        self._show_line()

    def _show_line(self) -> None:
        """Say what the chosen model is, and why it is chosen where nobody has chosen it."""
        card, slide = self._state.card, self._state.slide
        if card is None:
            self.line.say(self._trouble)
            return
        why = "" if not self._by_slide or slide is None else suited_words(slide.synthetic)
        self.line.say(model_words(card) + why)

    def _ask(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Model folder")
        if path:
            self.use(path)
            self._remember_choice()

    def ask_file(self) -> QMessageBox:
        """Ask for the Python file of a model, after a warning."""
        box = QMessageBox(QMessageBox.Icon.Warning, "Add a model", ADD_FILE_WARNING, parent=self)
        self.choose_file = box.addButton("Choose a file…", QMessageBox.ButtonRole.AcceptRole)
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.choose_file.clicked.connect(self._ask_file)
        box.open()
        return box

    def _ask_file(self) -> None:
        file, _ = QFileDialog.getOpenFileName(self, "A model’s Python file", "", "Python (*.py)")
        if file:
            self._refused = ""
            self.broken.say("")
            self.file_chosen.emit(file)

    def _remember(self, model: str) -> None:
        if Path(model).is_dir() and model not in self._services.models():
            self._preferences.use_model_folder(model)
