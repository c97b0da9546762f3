"""The spread in the section *Trust*: a choice of views or models, and a button that draws how far they differ."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QFileDialog,
    QListWidget,
    QListWidgetItem,
    QRadioButton,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_nh2st.analysis.spread import VIEWS
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Sentence, plain_tip
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.trust.messages import SHOW_SPREAD, SPREAD_IS, SPREAD_TIP
from napari_nh2st.viewer.trust.presenter import ModelChoice, Offer, SpreadPresenter

_SHOWN_MODELS = 4


class SpreadPart(QWidget):
    """Views of this model, or several models; then the spread of the gene in sight."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.task = self.work = Task(workspace)
        self.sentence = Sentence()
        self.button = action_button(SHOW_SPREAD, SPREAD_TIP, lambda: self.presenter.toggle())
        self.more = action_button(
            "Go on", "Work it out for the tiles that were predicted since", lambda: self.presenter.compute()
        )
        self._make_choice()
        self._lay_out()
        self.presenter = SpreadPresenter(workspace, self)
        self._by_models.toggled.connect(lambda on: self.presenter.show_state())
        self.models.itemChanged.connect(lambda item: self.presenter.show_state())
        self.presenter.list_models()

    def _make_choice(self) -> None:
        self.by_views = QRadioButton(f"{len(VIEWS)} views of this model")
        self.by_views.setToolTip("The model is asked about the tissue as it lies and turned by 90, 180 and 270 degrees")
        self._by_models = QRadioButton("several models")
        self._by_models.setToolTip("This model and those that are ticked are asked about the same places")
        self.by_views.setChecked(True)
        group = QButtonGroup(self)
        for button in (self.by_views, self._by_models):
            group.addButton(button)
        self.models = QListWidget()
        self.models.setToolTip("Models that predict some of the same genes in the same unit")
        self.models.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.models.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.models.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.add = action_button("folder…", "Add a model from a folder (RUN/model of a fine-tuning run)", self._ask)

    def _lay_out(self) -> None:
        layout = column(self, spacing=4)
        layout.addWidget(Sentence(SPREAD_IS, dim=True))
        layout.addWidget(self.by_views)
        choice = row(self._by_models, self.add)
        choice.insertStretch(1, 1)
        layout.addLayout(choice)
        layout.addWidget(self.models)
        buttons = row(self.button, self.more)
        buttons.addStretch(1)
        layout.addLayout(buttons)
        layout.addWidget(self.task)
        layout.addWidget(self.sentence)

    @property
    def by_models(self) -> bool:
        """True if models are compared, not views."""
        return bool(self._by_models.isChecked())

    @property
    def ticked(self) -> tuple[str, ...]:
        """Models that are ticked."""
        items = (self.models.item(i) for i in range(self.models.count()))
        return tuple(i.data(Qt.ItemDataRole.UserRole) for i in items if i.checkState() == Qt.CheckState.Checked)

    def list_models(self, choices: list[ModelChoice]) -> None:
        """List the models, keeping what was ticked."""
        ticked = set(self.ticked)
        with signals_blocked(self.models):
            self.models.clear()
            for choice in choices:
                self.models.addItem(_item(choice, choice.model in ticked))

    def _ask(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Model folder")
        if path:
            self.add_model(path)

    def add_model(self, folder: str) -> None:
        """List the model of a folder, ticked."""
        self.presenter.add_model(folder)
        for i in range(self.models.count()):
            item = self.models.item(i)
            if item.data(Qt.ItemDataRole.UserRole) == folder and item.flags() & Qt.ItemFlag.ItemIsEnabled:
                item.setCheckState(Qt.CheckState.Checked)

    def show_spread(self, offer: Offer, sentence: str) -> None:
        """Offer the spread, and say how large it is."""
        for widget in (self.models, self.add):
            widget.setVisible(self.by_models)
        line = max(20, self.models.sizeHintForRow(0))
        self.models.setFixedHeight(line * min(_SHOWN_MODELS, max(1, self.models.count())) + 8)
        self.button.set_action(offer.text, offer.tip)
        self.button.set_reason_off("" if offer.on else offer.tip)
        self.more.setVisible(bool(offer.more))
        self.more.setText(offer.more)
        self.sentence.say(sentence)


def _item(choice: ModelChoice, ticked: bool) -> QListWidgetItem:
    item = QListWidgetItem(choice.name)
    item.setData(Qt.ItemDataRole.UserRole, choice.model)
    item.setToolTip(plain_tip(choice.why_not or choice.model))
    usable = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable
    item.setFlags(Qt.ItemFlag.NoItemFlags if choice.why_not else usable)
    item.setCheckState(Qt.CheckState.Checked if ticked and not choice.why_not else Qt.CheckState.Unchecked)
    return item
