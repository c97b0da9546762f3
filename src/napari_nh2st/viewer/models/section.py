"""The section *Several models*: which have predicted this slide, side by side, where they disagree, which is right."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QWidget
from superqt.utils import qdebounced, signals_blocked

from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.layout import column, rule
from napari_nh2st.viewer.kit.texts import Sentence, plain_tip
from napari_nh2st.viewer.models.agreement_part import AgreementPart
from napari_nh2st.viewer.models.messages import LIST_TIP
from napari_nh2st.viewer.models.right_part import RightPart
from napari_nh2st.viewer.models.selection import Selection
from napari_nh2st.viewer.models.side_part import SidePart
from napari_nh2st.viewer.predict.workspace import Workspace

_SHOWN = 4  # models in sight


class ModelsSection(QWidget):
    """A list of models to tick, and three parts below it once there are two."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.selection = Selection(workspace)
        self.hint = Sentence()
        self._make_list()
        self.side = SidePart(workspace, self.selection)
        self.agreement = AgreementPart(workspace, self.selection, before_drawing=self.side.presenter.leave)
        self.right = RightPart(workspace, self.selection, before_drawing=self.side.presenter.leave)
        self._parts = QWidget()
        parts = column(self._parts, spacing=8)
        for part in (self.side, rule(), self.agreement, rule(), self.right):
            parts.addWidget(part)
        layout = column(self, spacing=4)
        for part in (self.list, self.hint, self._parts):
            layout.addWidget(part)
        self.selection.changed.connect(self.show_models)
        self._settled = qdebounced(self._look, timeout=0, parent=self)
        workspace.when_closing(self._settled.cancel)
        self._events = Connections()
        for changed in (workspace.viewer.layers.events.inserted, workspace.viewer.layers.events.removed):
            self._events.add(changed, lambda event: self._settled())
        workspace.when_closing(self._events.close)
        self.show_models()

    def _make_list(self) -> None:
        self.list = QListWidget()
        self.list.setToolTip(plain_tip(LIST_TIP))
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.itemChanged.connect(self._ticked)

    def showEvent(self, event: QShowEvent) -> None:
        """See what has changed while the section was closed."""
        super().showEvent(event)
        self.selection.look()
        self._look()
        self._fit_list()

    def show_models(self) -> None:
        """List the models that have predicted the chosen slide."""
        with signals_blocked(self.list):
            self.list.clear()
            for each in self.selection.maps:
                item = QListWidgetItem(each.words)
                item.setData(Qt.ItemDataRole.UserRole, each.name)
                item.setToolTip(plain_tip(each.words))
                item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
                ticked = self.selection.is_ticked(each)
                item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
                self.list.addItem(item)
        self.list.setVisible(len(self.selection.maps) > 1)
        self._parts.setVisible(len(self.selection.maps) > 1)
        self.hint.say(self.selection.words)
        self._fit_list()

    def _fit_list(self) -> None:
        shown = min(_SHOWN, self.list.count())
        self.list.setFixedHeight(self.list.sizeHintForRow(0) * shown + 2 * self.list.frameWidth() + 4)

    def _ticked(self, item: QListWidgetItem) -> None:
        name, on = str(item.data(Qt.ItemDataRole.UserRole)), item.checkState() == Qt.CheckState.Checked
        self.selection.tick(name, on)

    def _look(self) -> None:
        """See what has become of the layers, and of the slide's measurement."""
        self.side.presenter.look()
        self.agreement.presenter.update()
        self.right.presenter.update()
