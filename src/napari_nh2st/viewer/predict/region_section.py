"""Where to predict, and how finely."""

from __future__ import annotations

from typing import Any

from napari.layers import Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QPushButton, QWidget

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.card import Card
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.predict.region import Region, drawn_region, visible_box

VIEW, SHAPE, WHOLE = "view", "shape", "whole"
_CHOICES = (
    (VIEW, "what I see", "Predict the part of the slide that the window shows, and go on wherever you move it"),
    (SHAPE, "shape", "Predict inside the shapes of a shapes layer: the selected ones, or else all of them"),
    (WHOLE, "whole slide", "Predict all tissue of the slide"),
)
_DETAIL = (
    "How close together the predictions lie. Fine has seven times as many each way and takes about twice "
    "as long; each of them still looks at the same piece of tissue"
)
_COARSE_ONLY = (
    "This model looks at each piece of tissue by itself: it has coarse detail only. Models of the kind “context” "
    "have both"
)


class WhereSection(QWidget):
    """What I see, drawn shape, or whole slide; coarse or fine."""

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        for name, text, tip in _CHOICES:
            button = QPushButton(text)  # segments: three radio buttons do not fit in 320 px
            button.setCheckable(True)
            button.setToolTip(tip)
            self.buttons[name] = button
            self._group.addButton(button)
        self.buttons[VIEW].setChecked(True)
        self._group.buttonClicked.connect(lambda button: self.changed.emit())
        self._card: Card | None = None
        self.detail = NarrowCombo(_DETAIL)
        self.detail.addItems(["coarse", "fine"])
        self.detail.currentIndexChanged.connect(lambda index: self.changed.emit())
        layout, segments = column(self), row(*self.buttons.values(), label="Where")
        segments.setSpacing(2)
        layout.addLayout(segments)
        layout.addLayout(row(self.detail, label="Detail", stretch=0))

    def set_card(self, card: Card | None) -> None:
        """Offer the detail that a model has."""
        self._card = card
        both = card is None or card.architecture.variant != "paper"
        self.detail.blockSignals(True)
        self.detail.setItemText(0, "coarse" if both else "coarse (this model has no fine detail)")
        self.detail.setEnabled(both)
        if not both:
            self.detail.setCurrentIndex(0)
        self.detail.blockSignals(False)
        self.detail.setToolTip(_DETAIL if both else _COARSE_ONLY)

    @property
    def pitch(self) -> int | None:
        """Distance between predictions in model pixels at fine detail; None is the model's own, coarse."""
        fine = self._card is not None and self.detail.currentIndex() == 1
        return self._card.architecture.stride if fine else None

    @property
    def choice(self) -> str:
        """One of `VIEW`, `SHAPE` and `WHOLE`."""
        return next(name for name, button in self.buttons.items() if button.isChecked())

    def region(self, layer: Any) -> Region:
        """Return the chosen region of a slide layer.

        Raises
        ------
        Nh2stError
            If nothing was drawn, or the slide is out of sight.
        """
        if self.choice == WHOLE:
            return Region()
        if self.choice == VIEW:
            return Region(visible_box(self._viewer, layer))
        shapes = [item for item in self._viewer.layers if isinstance(item, Shapes)]
        if not shapes:
            raise Nh2stError("draw a shape first: press the polygon button above the layer list, then draw")
        active = self._viewer.layers.selection.active
        return drawn_region(active if active in shapes else shapes[-1], layer)
