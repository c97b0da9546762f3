"""Where to predict."""

from __future__ import annotations

from typing import Any

from napari.layers import Shapes
from qtpy.QtWidgets import QButtonGroup, QPushButton, QWidget

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.where import Region, drawn_region, visible_box
from napari_nh2st.viewer.widgets.parts import row

VIEW, SHAPE, WHOLE = "view", "shape", "whole"
_CHOICES = (
    (VIEW, "what I see", "Predict the part of the slide that the window shows"),
    (SHAPE, "shape", "Predict inside the shapes of a shapes layer: the selected ones, or else all of them"),
    (WHOLE, "whole slide", "Predict all tissue of the slide"),
)


class WhereSection(QWidget):
    """What I see, drawn shape, or whole slide."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        for name, text, tip in _CHOICES:
            button = QPushButton(text)  # segments: three radio buttons do not fit in 320 px
            button.setCheckable(True)
            button.setMinimumWidth(30)
            button.setToolTip(tip)
            self.buttons[name] = button
            self._group.addButton(button)
        self.buttons[VIEW].setChecked(True)
        layout = row(*self.buttons.values(), label="Where")
        layout.setSpacing(2)
        self.setLayout(layout)

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
