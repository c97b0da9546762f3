"""The part of the slide to predict, and the detail."""

from __future__ import annotations

from qtpy.QtWidgets import QButtonGroup, QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.texts import plain_tip
from napari_nh2st.viewer.state.dock_state import DockState, Where
from napari_nh2st.viewer.state.preferences import Preferences

VIEW, SHAPE, WHOLE = "view", "shape", "whole"
_CHOICES: tuple[tuple[Where, str, str], ...] = (
    ("view", "what I see", "Predict the part of the slide that the window shows, and go on wherever you move it"),
    ("shape", "shape", "Predict inside the shapes of a shapes layer: the selected ones, or else all of them"),
    ("whole", "whole slide", "Predict all tissue of the slide"),
)
_DETAIL = (
    "How close together the predictions lie. Fine has seven times as many each way and takes about twice "
    "as long; each of them still looks at the same piece of tissue"
)
_COARSE_ONLY = (
    "This model looks at each piece of tissue by itself: it has coarse detail only. Models of the kind “context” "
    "have both"
)


class RegionSection(QWidget):
    """Buttons for *what I see*, *shape* and *whole slide*; coarse or fine detail."""

    def __init__(self, state: DockState, preferences: Preferences) -> None:
        super().__init__()
        self._state, self._preferences = state, preferences
        self._use_where(preferences.where)
        self._use_detail(preferences.detail)
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        for name, text, tip in _CHOICES:
            button = QPushButton(text)  # segments: three radio buttons do not fit in 320 px
            button.setStyleSheet("QPushButton { padding: 4px 2px; }")
            button.setCheckable(True)
            button.setToolTip(plain_tip(tip))
            self.buttons[name] = button
            self._group.addButton(button)
        self.detail = NarrowCombo(_DETAIL)
        self.detail.addItems(["coarse", "fine"])
        layout, segments, parts = column(self), row(*self.buttons.values()), QWidget()
        segments.setSpacing(2)
        parts.setLayout(segments)
        layout.addLayout(row(parts, label="Where", stretch=0))
        layout.addLayout(row(self.detail, label="Detail", stretch=0))
        self._show_where()
        self._show_detail()
        self._group.buttonToggled.connect(self._chosen)
        self._group.buttonClicked.connect(self._remember_where)
        self.detail.currentIndexChanged.connect(self._detail_chosen)
        self.detail.activated.connect(self._remember_detail)
        preferences.events.where.connect(self._use_where)
        preferences.events.detail.connect(self._use_detail)
        state.events.where.connect(self._show_where)
        state.events.fine.connect(self._show_detail)
        state.events.model.connect(self._show_detail)

    def _chosen(self, button: QPushButton, on: bool) -> None:
        if on:
            self._state.where = next(name for name, *_ in _CHOICES if self.buttons[name] is button)

    def _detail_chosen(self, index: int) -> None:
        self._state.fine = index == 1

    def _use_where(self, where: Where) -> None:
        self._state.where = where

    def _use_detail(self, detail: str) -> None:
        self._state.fine = detail == "fine"

    def _remember_where(self) -> None:
        self._preferences.where = self._state.where

    def _remember_detail(self) -> None:
        self._preferences.detail = "fine" if self._state.fine else "coarse"

    def _show_where(self) -> None:
        self.buttons[self._state.where].setChecked(True)

    def _show_detail(self) -> None:
        """Offer the detail that the model has."""
        card = self._state.card
        both = card is None or card.fine_detail
        with signals_blocked(self.detail):
            self.detail.setItemText(0, "coarse" if both else "coarse (this model has no fine detail)")
            self.detail.setCurrentIndex(1 if both and self._state.fine else 0)
        self.detail.setEnabled(both)
        self.detail.setToolTip(_DETAIL if both else _COARSE_ONLY)
