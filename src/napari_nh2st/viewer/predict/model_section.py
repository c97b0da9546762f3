"""The choice of the model, with one line about it."""

from __future__ import annotations

from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.layout import column, indented, row
from napari_nh2st.viewer.kit.texts import Sentence, paragraphs, plain_tip
from napari_nh2st.viewer.predict.messages import model_details, model_words
from napari_nh2st.viewer.predict.model_names import folder_name, model_names
from napari_nh2st.viewer.state.dock_state import ChosenModel, DockState
from napari_nh2st.viewer.state.preferences import Preferences
from napari_nh2st.viewer.state.services import Services

_TOOLTIP = "The model that predicts: a bundled one, or a folder that a fine-tuning run left."


class ModelSection(QWidget):
    """A combo box of the bundled models and of the folders used before, with one line about the chosen one."""

    def __init__(self, state: DockState, services: Services, preferences: Preferences) -> None:
        super().__init__()
        self._state, self._services, self._preferences = state, services, preferences
        self.combo = NarrowCombo(_TOOLTIP)
        self.folder = QPushButton("folder…")
        self.folder.setToolTip("Take a model from a folder (RUN/model of a fine-tuning run)")
        self.folder.clicked.connect(self._ask)
        self.line = Sentence()
        layout = column(self, spacing=2)
        layout.addLayout(row(self.combo, self.folder, label="Model", stretch=0))
        layout.addLayout(indented(self.line))
        for name in model_names(services, preferences):
            self._add(name)
        self._take_up(preferences.model)
        self.combo.currentIndexChanged.connect(self._chosen)
        self.combo.activated.connect(self._remember_choice)
        preferences.events.model.connect(self._take_up)
        self._chosen()

    @property
    def model(self) -> str | None:
        """Name or folder of the chosen model."""
        data = self.combo.currentData()
        return None if data is None else str(data)

    def use(self, model: str) -> None:
        """Choose a model by its name or folder, adding the folder to the list."""
        index = self.combo.findData(model)
        if index < 0:
            index = self._add(model)
        fresh = index != self.combo.currentIndex()
        self.combo.setCurrentIndex(index)
        if not fresh:
            self._chosen()  # trained anew in the same folder: its card may have changed

    def _take_up(self, model: str) -> None:
        """Choose the remembered model; one whose folder is gone is left alone."""
        index = self.combo.findData(model)
        if index >= 0:
            self.combo.setCurrentIndex(index)

    def _remember_choice(self) -> None:
        self._preferences.model = self.model or ""

    def _add(self, path: str) -> int:
        self.combo.addItem(path if path in self._services.models() else folder_name(path), path)
        return self.combo.count() - 1

    def _chosen(self, index: int = 0) -> None:
        model, card = self.model, None
        if model is None:
            self.line.say("")
        else:
            try:
                card = self._services.load_card(model)
                self.line.say(model_words(card))
                self._remember(model)
            except (Nh2stError, OSError) as error:
                self.line.say(str(error))
        about = paragraphs([_TOOLTIP, *(model_details(card) if card else [])])
        self.combo.setToolTip(plain_tip(about))
        self.line.setToolTip(plain_tip(about))
        self._state.choose_model(None if model is None else ChosenModel(model, card))

    def _ask(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Model folder")
        if path:
            self.use(path)
            self._remember_choice()

    def _remember(self, model: str) -> None:
        if model not in self._services.models():
            self._preferences.use_model_folder(model)
