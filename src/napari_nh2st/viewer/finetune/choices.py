"""What a run learns and from where it starts: its genes, its base model, what is trained and held out, how long."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QPlainTextEdit, QPushButton, QSpinBox, QWidget

from napari_nh2st.errors import Nh2stError
from napari_nh2st.expression.panels import PANELS
from napari_nh2st.training.config import TrainingConfig, read_config
from napari_nh2st.training.run.run_process import RunProcess
from napari_nh2st.training.run.settings_file import FILE as SETTINGS
from napari_nh2st.training.run.settings_file import settings_of
from napari_nh2st.viewer.finetune.hold_out import HoldOut, Kind, choices_words, patients
from napari_nh2st.viewer.finetune.panel_choice import LISTED, PanelChoice, chosen_by_list, chosen_by_rule, taken_over
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.layout import column, indented, row
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.predict.model_names import folder_name
from napari_nh2st.viewer.state.services import Services

if TYPE_CHECKING:
    from napari_nh2st.training.sections.section_check import SectionFacts

_TYPED_MS = 300
_FROM_BASE = "base"
_WIDE = 17  # capital letters: no choice is cut off, in a larger font the dock grows with it
_TRAIN = {
    "head": ("the head (quickest)", "The encoder stays as it is: tissue is looked at once, an epoch takes seconds"),
    "last-blocks": ("head and last blocks", "The encoder's last stage is trained as well: slower, for other stains"),
    "everything": ("everything (slowest)", "The encoder is trained from end to end: wants many spots and a GPU"),
}
# Settings that the dock shows, so that the settings file says so.
ELSEWHERE = {
    name: "in the dock, whatever stands here"
    for name in ("panel", "panel_kind", "genes", "train", "hold_out_sections", "hold_out_patients")
}
_HELD_OUT_TIP = "Which spots are not learnt from, so that they can say how good the model is"
_HOLD_OUT: dict[Kind, tuple[str, str]] = {
    "blocks": ("a block of each section", "A part of every section: how large is a setting, inner_validation"),
    "section": ("one section", "A whole section is only scored: nothing is learnt or chosen from it"),
    "patient": ("one patient", "All sections of a patient are only scored: what the model does on new patients"),
}


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
        self._folded: tuple[bool, Path | None] = (False, None)
        self.choice = PanelChoice()
        self.hold_out = HoldOut()
        self._known: frozenset[str] = frozenset()  # patients of the model to start from
        self._settled = QTimer(self, interval=_TYPED_MS, singleShot=True)
        self._settled.timeout.connect(self._look_up)
        self._make_panel()
        self._make_rest()
        self._make_hold_out()
        self._lay_out()
        self._base_changed()

    def _lay_out(self) -> None:
        self._open = QWidget()
        layout = column(self._open)
        layout.addLayout(row(self.kind, label="Panel", stretch=0))
        for part in (self.number, self.list, self.note):
            layout.addLayout(indented(part))
        for label, part in (("Start", self.base), ("Train", self.train), ("Hold out", self.held_out)):
            layout.addLayout(row(part, label=label, stretch=0))
        for part in (self.which, self.guard):
            layout.addLayout(indented(part))
        for label, part in (("Seed", self.seed), ("Epochs", self.epochs)):
            layout.addLayout(row(part, label=label, stretch=0))
        self._line = QWidget()
        self.summed_up, self.change = Sentence(), QPushButton("Change…")
        self.change.setToolTip("Show the choices, to make others for the next run")
        self.change.clicked.connect(lambda: self._fold(False))
        self._line.setLayout(row(self.summed_up, self.change, stretch=0))
        self._line.setVisible(False)
        outer = column(self)
        outer.addWidget(self._line)
        outer.addWidget(self._open)

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

    def _make_hold_out(self) -> None:
        self.held_out = NarrowCombo(_HELD_OUT_TIP)
        for name, (label, _) in _HOLD_OUT.items():
            self.held_out.addItem(label, name)
        for combo in (self.train, self.held_out):
            combo.setMinimumContentsLength(_WIDE)
        self.which = NarrowCombo("The one that is held out")
        self.which.setVisible(False)
        self.guard = Sentence()
        self.held_out.activated.connect(self._hold_out_changed)
        self.which.activated.connect(self._which_changed)

    @property
    def why_not(self) -> str:
        """Why no run can be made with these choices; empty where one can."""
        if why_not := self.hold_out.why_not(self._facts()):
            return why_not
        return "The genes are still being looked up" if self._pending else self.choice.why_not

    def summary(self) -> str:
        """Say in a line what is chosen: "250 genes, highest mean; head; holds out C5"."""
        base = None if self.base.currentData() is None else self.base.currentText()
        return choices_words(TrainingConfig().model_copy(update=self._chosen()), base)

    def collapse(self, on: bool, run: Path | None = None) -> None:
        """Fold the choices to one line, or open them; what a person opened stays so until the next change.

        Parameters
        ----------
        on : bool
        run : Path, optional
            The line says what this run was started with, where its folder tells.
        """
        if (on, run) != self._folded:
            self._folded = on, run
            self._fold(on)

    def _fold(self, on: bool) -> None:
        self._sum_up()
        self._line.setVisible(on)
        self._open.setVisible(not on)

    def _sum_up(self) -> None:
        on, run = self._folded
        self.summed_up.say((run and _recorded(run)) or self.summary() if on else "")

    def config(self, run: Path) -> TrainingConfig:
        """Return the run's settings: what its settings file says, and what is chosen here.

        Raises
        ------
        Nh2stError
            If the file has a wrong setting.
        """
        config, chosen = settings_of(run), self._chosen()
        if config.name == TrainingConfig().name:
            chosen["name"] = run.name
        return config.model_copy(update=chosen)

    def _chosen(self) -> dict[str, Any]:
        chosen: dict[str, Any] = {"train": self.train.currentData(), "genes": self.choice.genes or None}
        if self.kind.currentData() in PANELS:
            chosen |= {"panel_kind": self.kind.currentData(), "panel": self.number.value()}
        return chosen | self.hold_out.settings()

    def look_up(self) -> None:
        """Compare the choice with the sections, soon."""
        self._offer_hold_out()
        self._asked += 1
        self._pending = True
        self._settled.start()
        self.changed.emit()

    def shut(self) -> None:
        """Look nothing up any more."""
        self._settled.stop()
        self._asked += 1

    def _look_up(self) -> None:
        everything, base = list(self._facts()), self.base.currentData()
        asked, facts = self._asked, self.hold_out.training(everything)
        kind, number, text = self.kind.currentData(), self.number.value(), self.list.toPlainText()

        def choice() -> tuple[PanelChoice, frozenset[str]]:
            card = None if base is None else self._services.load_card(base)
            known = frozenset() if card is None else frozenset(t.patient for t in card.training)
            if kind == LISTED:
                return chosen_by_list(facts, text), known
            if kind == _FROM_BASE:
                return taken_over(facts, card), known
            return chosen_by_rule(facts, number, all_of_them=len(facts) == len(everything)), known

        self._background.call(choice, then=partial(self._found, asked), failed=partial(self._failed, asked))

    def _found(self, asked: int, found: tuple[PanelChoice, frozenset[str]]) -> None:
        if asked != self._asked:
            return  # another choice was made meanwhile
        self._pending = False
        self.choice, self._known = found
        self.note.say(self.choice.says)
        self._say_guard()
        self._sum_up()
        self.changed.emit()

    def _failed(self, asked: int, error: Exception) -> None:
        self._found(asked, (PanelChoice(error_words(error), why_not=error_words(error)), frozenset()))

    def _offer_hold_out(self) -> None:
        """Offer what the sections allow; what was chosen stays, and says so where it cannot be."""
        facts = self._facts()
        few = {
            "section": "There is one section only: hold out a block of it" if len(facts) == 1 else "",
            "patient": "Wants sections of two patients at least" if len(patients(facts)) == 1 else "",
        }
        for at, (name, (_, tip)) in enumerate(_HOLD_OUT.items()):
            why_not = "" if name == "blocks" else few[name] if facts else "Add sections first"
            self.held_out.model().item(at).setEnabled(not why_not)
            self.held_out.setItemData(at, why_not or tip, Qt.ItemDataRole.ToolTipRole)
        self.held_out.setToolTip(_HELD_OUT_TIP + (f". One patient: {few['patient']}" if few["patient"] else ""))
        kind = self.hold_out.kind
        names = patients(facts) if kind == "patient" else [f.sample.sample for f in facts] if kind == "section" else []
        if names != [self.which.itemText(i) for i in range(self.which.count())]:
            self.which.clear()
            self.which.addItems(names)
        if names and not self.hold_out.name:  # a name that is not there (yet) stays: sections come one by one
            self.hold_out = HoldOut(kind, names[0])
        self.which.setCurrentIndex(self.which.findText(self.hold_out.name))
        self.which.setVisible(kind != "blocks")
        self._say_guard()

    def _say_guard(self) -> None:
        self.guard.say(self.hold_out.says(self._facts(), self._known))

    def _hold_out_changed(self) -> None:
        self.hold_out = HoldOut(self.held_out.currentData())
        self.look_up()

    def _which_changed(self) -> None:
        self.hold_out = HoldOut(self.hold_out.kind, self.which.currentText())
        self.look_up()

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


def _recorded(run: Path) -> str:
    """Say what a run was started with; empty where its folder does not tell."""
    file = next((run / name for name in ("config.yaml", SETTINGS) if (run / name).is_file()), None)
    if file is None:
        return ""
    words = [str(word) for word in RunProcess(run).record().get("argv", ())]
    base = folder_name(words[words.index("--model") + 1]) if "--model" in words[:-1] else None
    try:
        return choices_words(read_config(file), base)
    except Nh2stError:
        return ""
