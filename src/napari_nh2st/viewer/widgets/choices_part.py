"""What a run learns and from where it starts: its genes, its base model, what is trained, how long."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QPlainTextEdit, QSpinBox, QWidget

from napari_nh2st.expression.panels import PANELS
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.settings_file import settings_of
from napari_nh2st.viewer.panel_choice import LISTED, PanelChoice, chosen_by_list, chosen_by_rule, taken_over
from napari_nh2st.viewer.services import Services
from napari_nh2st.viewer.widgets.model_section import folder_name
from napari_nh2st.viewer.widgets.parts import NarrowCombo, Sentence, column, indented, row
from napari_nh2st.viewer.widgets.worker import Background
from napari_nh2st.viewer.words import error_words

if TYPE_CHECKING:
    from napari_nh2st.training.sections import SectionFacts

_TYPED_MS = 300
_FROM_BASE = "base"
_TRAIN = {
    "head": ("the head (quickest)", "The encoder stays as it is: tissue is looked at once, an epoch takes seconds"),
    "last-blocks": ("head and last blocks", "The encoder's last stage is trained as well: slower, for other stains"),
    "everything": ("everything (slowest)", "The encoder is trained from end to end: wants many spots and a GPU"),
}
# Settings that the dock shows, so that the settings file says so.
ELSEWHERE = {name: "in the dock, whatever stands here" for name in ("panel", "panel_kind", "genes", "train")}


class ChoicesPart(QWidget):
    """The choices between the sections and the start.

    Parameters
    ----------
    services : Services
    background : Background
    facts : callable
        Returns what is known of the sections.
    """

    changed = Signal()

    def __init__(self, services: Services, background: Background, facts: Callable[[], list[SectionFacts]]) -> None:
        super().__init__()
        self._services, self._background, self._facts = services, background, facts
        self._asked = 0
        self._pending = False
        self.choice = PanelChoice()
        self._settled = QTimer(self, interval=_TYPED_MS, singleShot=True)
        self._settled.timeout.connect(self._look_up)
        self._make_panel()
        self._make_rest()
        layout = column(self)
        layout.addLayout(row(self.kind, label="Panel", stretch=0))
        for part in (self.number, self.list, self.note):
            layout.addLayout(indented(part))
        for label, part in (("Start", self.base), ("Train", self.train), ("Seed", self.seed), ("Epochs", self.epochs)):
            layout.addLayout(row(part, label=label, stretch=0))
        self._base_changed()

    def _make_panel(self) -> None:
        self.kind = NarrowCombo("Which genes the model learns to predict")
        self.kind.currentIndexChanged.connect(self._kind_changed)
        self.number = QSpinBox(minimum=1, maximum=20_000, value=TrainingConfig().panel, singleStep=50, suffix=" genes")
        self.number.setToolTip("How many genes. More take little longer, but most genes can hardly be predicted")
        self.number.valueChanged.connect(self.look_up)
        self.list = QPlainTextEdit()
        self.list.setPlaceholderText("ERBB2, KRT8, CD3E …")
        self.list.setToolTip("Type or paste gene symbols, separated by spaces, commas or lines")
        self.list.setTabChangesFocus(True)
        self.list.setFixedHeight(64)
        self.list.setStyleSheet("QPlainTextEdit { border: 1px solid rgba(128, 128, 128, 160); border-radius: 2px; }")
        self.list.textChanged.connect(self.look_up)
        self.note = Sentence()

    def _make_rest(self) -> None:
        self.base = NarrowCombo("The model to start from. From scratch needs more sections and more time")
        self.base.addItem("from scratch", None)
        for name in self._services.models():
            self.base.addItem(name, name)
        self.base.addItem("model folder…", "?")
        self.base.activated.connect(self._ask_base)
        self.base.currentIndexChanged.connect(self._base_changed)
        self.train = NarrowCombo("Which part of the model is trained")
        for name, (label, tip) in _TRAIN.items():
            self.train.addItem(label, name)
            self.train.setItemData(self.train.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.seed = QSpinBox(minimum=0, maximum=999_999)
        self.seed.setToolTip("Every random choice follows from this number: the same seed repeats the run")
        self.epochs = QSpinBox(minimum=0, maximum=10_000, specialValueText="as recommended")
        self.epochs.setToolTip("How often the run goes over all sections; the best state on held-out parts is kept")

    @property
    def why_not(self) -> str:
        """Why no run can be made with these choices; empty where one can."""
        return "The genes are still being looked up" if self._pending else self.choice.why_not

    def config(self, run: Path) -> TrainingConfig:
        """Return the run's settings: what its settings file says, and what is chosen here.

        Raises
        ------
        Nh2stError
            If the file has a wrong setting.
        """
        config, kind = settings_of(run), self.kind.currentData()
        chosen: dict[str, Any] = {"train": self.train.currentData(), "genes": self.choice.genes or None}
        if kind in PANELS:
            chosen |= {"panel_kind": kind, "panel": self.number.value()}
        if config.name == TrainingConfig().name:
            chosen["name"] = run.name
        return config.model_copy(update=chosen)

    def look_up(self) -> None:
        """Compare the choice with the sections, soon."""
        self._asked += 1
        self._pending = True
        self._settled.start()
        self.changed.emit()

    def shut(self) -> None:
        """Look nothing up any more."""
        self._settled.stop()
        self._asked += 1

    def _look_up(self) -> None:
        asked, facts, base = self._asked, list(self._facts()), self.base.currentData()
        kind, number, text = self.kind.currentData(), self.number.value(), self.list.toPlainText()

        def choice() -> PanelChoice:
            if kind == LISTED:
                return chosen_by_list(facts, text)
            if kind == _FROM_BASE:
                return taken_over(facts, self._services.load_card(base))
            return chosen_by_rule(facts, number)

        self._background.call(choice, then=partial(self._found, asked), failed=partial(self._failed, asked))

    def _found(self, asked: int, choice: PanelChoice) -> None:
        if asked != self._asked:
            return  # another choice was made meanwhile
        self._pending, self.choice = False, choice
        self.note.say(choice.says)
        self.changed.emit()

    def _failed(self, asked: int, error: Exception) -> None:
        self._found(asked, PanelChoice(error_words(error), why_not=error_words(error)))

    def _kind_changed(self) -> None:
        self.number.setVisible(self.kind.currentData() in PANELS)
        self.list.setVisible(self.kind.currentData() == LISTED)
        self.look_up()

    def _base_changed(self) -> None:
        """Offer the genes that can be chosen: a model to start from brings its own."""
        if self.base.currentData() == "?":
            return
        before = self.kind.currentData()
        rules = {name: (name.replace("-", " "), panel.description) for name, panel in PANELS.items()}
        if self.base.currentData() is not None:
            rules = {_FROM_BASE: ("of the model to start from", "The genes that it predicts already")}
        rules[LISTED] = ("genes that I list", "Symbols that are typed or pasted")
        self.kind.blockSignals(True)
        self.kind.clear()
        for name, (label, tip) in rules.items():
            self.kind.addItem(label, name)
            self.kind.setItemData(self.kind.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.kind.setCurrentIndex(max(0, self.kind.findData(before)))
        self.kind.blockSignals(False)
        self._kind_changed()

    def _ask_base(self, index: int) -> None:
        if self.base.itemData(index) != "?":
            return
        path = QFileDialog.getExistingDirectory(self, "Model folder")
        self.base.setCurrentIndex(0)
        if path:
            self.base.insertItem(1, folder_name(path), path)
            self.base.setCurrentIndex(1)
