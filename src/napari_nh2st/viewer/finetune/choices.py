"""The choices for a run: its genes, its base model, what is trained and held out, how long."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QPlainTextEdit, QSpinBox, QWidget
from superqt.utils import qdebounced, signals_blocked

from napari_nh2st.expression.panels import PANELS
from napari_nh2st.viewer.finetune.choices_presenter import ChoicesPresenter
from napari_nh2st.viewer.finetune.choices_state import Offer
from napari_nh2st.viewer.finetune.hold_out import HoldOut
from napari_nh2st.viewer.finetune.panel_choice import LISTED, PanelChoice
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.layout import column, indented, row
from napari_nh2st.viewer.kit.texts import Sentence, plain_tip
from napari_nh2st.viewer.predict.model_names import folder_name

_TYPED_MS = 300
_WIDE = 15  # capital letters: no choice is cut off, in a larger font the dock grows with it
_FOLDER = "?"
_TRAIN = (
    Offer(
        "head", "the head (quickest)", "The encoder stays as it is. Tissue is encoded once, and an epoch takes seconds"
    ),
    Offer(
        "last-blocks", "head and last blocks", "The encoder's last stage is trained as well. Slower; for other stains"
    ),
    Offer("everything", "everything (slowest)", "The whole encoder is trained. Needs many spots and a GPU"),
)
_HOLD_OUT_TIP = "Held-out spots: the run does not learn from them, so they show how good the model is"


class ChoicesForm(QWidget):
    """Shows the choices, or the line that they fold to, and hands what a person does to the presenter.

    Parameters
    ----------
    presenter : ChoicesPresenter
    models : sequence of str
        Names of base models.
    """

    def __init__(self, presenter: ChoicesPresenter, models: Sequence[str]) -> None:
        super().__init__()
        self.presenter = presenter
        self._make_panel()
        self._make_base(models)
        self._make_rest()
        self._make_hold_out()
        self._lay_out()
        self._look_up_soon = qdebounced(presenter.look_up_now, timeout=_TYPED_MS, parent=self)
        self._connect()

    def close_down(self) -> None:
        """Look nothing up any more."""
        self._look_up_soon.cancel()

    # the widgets

    def _make_panel(self) -> None:
        choices = self.presenter.choices
        self.panel = NarrowCombo("Which genes the model learns to predict")
        self.panel.currentIndexChanged.connect(self._panel_chosen)
        self.number = QSpinBox(minimum=1, maximum=20_000, value=choices.number, singleStep=50, suffix=" genes")
        self.number.setToolTip("How many genes. More genes take little longer, but most can hardly be predicted")
        self.number.valueChanged.connect(self._set("number"))
        self.list = QPlainTextEdit()
        self.list.setPlaceholderText("ERBB2, KRT8, CD3E …")
        self.list.setToolTip("Type or paste gene symbols, separated by spaces, commas or lines")
        self.list.setTabChangesFocus(True)
        self.list.setFixedHeight(64)
        self.list.setStyleSheet("QPlainTextEdit { border: 1px solid rgba(128, 128, 128, 160); border-radius: 2px; }")
        self.list.textChanged.connect(lambda: self._set("gene_list")(self.list.toPlainText()))
        self.note = Sentence()

    def _make_base(self, models: Sequence[str]) -> None:
        self.base = NarrowCombo("The model that the run starts from. From scratch needs more sections and more time")
        self.base.addItem("from scratch", None)
        for name in models:
            self.base.addItem(name, name)
        self.base.addItem("model folder…", _FOLDER)
        self.base.activated.connect(self._ask_base)
        self.base.currentIndexChanged.connect(self._base_chosen)

    def _make_rest(self) -> None:
        self.head = NarrowCombo("What looks at a place and at what is round it")
        self.head.currentIndexChanged.connect(lambda: self._set("head")(self.head.currentData()))
        self.labels = NarrowCombo("The values that the model learns to predict")
        self.labels.currentIndexChanged.connect(lambda: self._set("labels")(self.labels.currentData()))
        self.train = NarrowCombo("Which part of the model is trained")
        _offer(self.train, _TRAIN, self.presenter.choices.train)
        self.train.currentIndexChanged.connect(lambda: self._set("train")(self.train.currentData()))
        self.seed = QSpinBox(minimum=0, maximum=999_999)
        self.seed.setToolTip("Every random choice follows from this number. The same seed repeats the run")
        self.seed.valueChanged.connect(self._set("seed"))
        self.epochs = QSpinBox(minimum=0, maximum=10_000, specialValueText="as in the settings")
        self.epochs.setToolTip(
            "How often the run goes through all sections. The epoch that does best on held-out spots is kept"
        )
        self.epochs.valueChanged.connect(self._set("epochs"))

    def _make_hold_out(self) -> None:
        self.held_out = NarrowCombo(_HOLD_OUT_TIP)
        self.which = NarrowCombo("The one that is held out")
        for combo in (self.labels, self.head, self.train, self.held_out):
            combo.setMinimumContentsLength(_WIDE)
        self.guard = Sentence()
        self.held_out.activated.connect(lambda: self.presenter.choose_hold_out(self.held_out.currentData()))
        self.which.activated.connect(self._name_chosen)

    def _lay_out(self) -> None:
        self._open = QWidget()
        layout = column(self._open)
        layout.addLayout(row(self.panel, label="Genes", stretch=0))
        for part in (self.number, self.list, self.note):
            layout.addLayout(indented(part))
        listed = (
            ("Base model", self.base),
            ("Values", self.labels),
            ("Head", self.head),
            ("Train", self.train),
            ("Hold out", self.held_out),
        )
        for label, part in listed:
            layout.addLayout(row(part, label=label, stretch=0))
        for part in (self.which, self.guard):
            layout.addLayout(indented(part))
        for label, part in (("Seed", self.seed), ("Epochs", self.epochs)):
            layout.addLayout(row(part, label=label, stretch=0))
        self._line = QWidget()
        self.summed_up = Sentence()
        self.change = action_button(
            "Change…", "Show sections and choices, to set up the next run", self.presenter.unfold
        )
        self._line.setLayout(row(self.summed_up, self.change, stretch=0))
        outer = column(self)
        outer.addWidget(self._line)
        outer.addWidget(self._open)

    def _connect(self) -> None:
        events, chosen = self.presenter.state.events, self.presenter.choices.events
        events.panels.connect(self._show_panels)
        events.targets.connect(self._show_targets)
        events.heads.connect(self._show_heads)
        events.hold_outs.connect(self._show_hold_out)
        events.names.connect(self._show_names)
        events.question.connect(self._look_up_soon)
        events.panel_choice.connect(self._show_panel_choice)
        events.guard.connect(self.guard.say)
        events.folded.connect(self._show_folded)
        chosen.panel.connect(self._show_panel)
        chosen.number.connect(self._show_number)
        chosen.gene_list.connect(self._show_list)
        chosen.labels.connect(self._show_targets)
        chosen.head.connect(self._show_heads)
        chosen.train.connect(self._show_train)
        chosen.epochs.connect(self._show_epochs)
        chosen.hold_out.connect(self._show_hold_out)
        self._show_panels()
        self._show_targets()
        self._show_heads()
        self._show_hold_out()
        self._show_folded("")
        self._look_up_soon()

    # what the person does

    def _set(self, name: str):
        return lambda value: setattr(self.presenter.choices, name, value)

    def _panel_chosen(self) -> None:
        self.presenter.choices.panel = self.panel.currentData()

    def _base_chosen(self) -> None:
        if self.base.currentData() != _FOLDER:
            self.presenter.choices.base = self.base.currentData()

    def _ask_base(self, index: int) -> None:
        if self.base.itemData(index) != _FOLDER:
            return
        path = QFileDialog.getExistingDirectory(self, "Model folder")
        self.base.setCurrentIndex(0)
        if path:
            self.base.insertItem(1, folder_name(path), path)
            self.base.setCurrentIndex(1)

    def _name_chosen(self) -> None:
        choices = self.presenter.choices
        choices.hold_out = HoldOut(choices.hold_out.kind, tuple(self.which.currentData()))

    # what changes

    def _show_panels(self) -> None:
        _offer(self.panel, self.presenter.state.panels, self.presenter.choices.panel)
        self._show_panel()

    def _show_panel(self) -> None:
        panel = self.presenter.choices.panel
        with signals_blocked(self.panel):
            self.panel.setCurrentIndex(self.panel.findData(panel))
        self.number.setVisible(panel in PANELS)
        self.list.setVisible(panel == LISTED)

    def _show_heads(self) -> None:
        offers, chosen = self.presenter.state.heads, self.presenter.choices.head
        _offer(self.head, offers, chosen)
        self.head.setToolTip(plain_tip(next((offer.tip for offer in offers if offer.value == chosen), "")))

    def _show_targets(self) -> None:
        offers, chosen = self.presenter.state.targets, self.presenter.choices.labels
        _offer(self.labels, offers, chosen)
        self.labels.setToolTip(plain_tip(next((offer.tip for offer in offers if offer.value == chosen), "")))

    def _show_number(self, number: int) -> None:
        self.number.setValue(number)

    def _show_list(self, text: str) -> None:
        if text != self.list.toPlainText():
            self.list.setPlainText(text)

    def _show_train(self, train: str) -> None:
        self.train.setCurrentIndex(self.train.findData(train))

    def _show_epochs(self, epochs: int) -> None:
        self.epochs.setValue(epochs)

    def _show_hold_out(self) -> None:
        kind, offers = self.presenter.choices.hold_out.kind, self.presenter.state.hold_outs
        _offer(self.held_out, offers, kind)
        reason = next((offer.reason_off for offer in offers if offer.value == "patient"), "")
        self.held_out.setToolTip(plain_tip(f"{_HOLD_OUT_TIP}. One patient: {reason}" if reason else _HOLD_OUT_TIP))
        self._show_names()

    def _show_names(self) -> None:
        hold_out, names = self.presenter.choices.hold_out, self.presenter.state.names
        groups = [(name,) for name in names]
        if len(hold_out.names) > 1:  # of a settings file, or of the form
            groups.append(hold_out.names)
        with signals_blocked(self.which):
            self.which.clear()
            for group in groups:
                self.which.addItem(", ".join(group), group)
            self.which.setCurrentIndex(groups.index(hold_out.names) if hold_out.names in groups else -1)
        self.which.setVisible(hold_out.kind != "blocks")

    def _show_panel_choice(self, choice: PanelChoice) -> None:
        self.note.say(choice.sentence)

    def _show_folded(self, line: str) -> None:
        self.summed_up.say(line)
        self._line.setVisible(bool(line))
        self._open.setVisible(not line)


def _offer(combo: QComboBox, offers: Sequence[Offer], chosen: str) -> None:
    """Offer these in a list, those that cannot be chosen in grey, without a word to its listeners."""
    with signals_blocked(combo):
        if [offer.value for offer in offers] != [combo.itemData(at) for at in range(combo.count())]:
            combo.clear()
            for offer in offers:
                combo.addItem(offer.label, offer.value)
        for at, offer in enumerate(offers):
            combo.model().item(at).setEnabled(not offer.reason_off)
            combo.setItemData(at, plain_tip(offer.reason_off or offer.tip), Qt.ItemDataRole.ToolTipRole)
        combo.setCurrentIndex(combo.findData(chosen))
