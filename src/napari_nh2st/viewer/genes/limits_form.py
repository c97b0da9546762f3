"""The two rows of limits and colours, by magicgui's widgets."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import CheckBox, ComboBox
from napari.utils.colormaps import AVAILABLE_COLORMAPS
from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.genes.limits import GeneLimits
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.combo import make_narrow
from napari_nh2st.viewer.kit.layout import column, indented, row
from napari_nh2st.viewer.kit.texts import FixedSentence, plain_tip
from napari_nh2st.viewer.layers.heatmap import COLORMAPS, SMOOTHED
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.state.style import PERCENTILES, Style

_PERCENTILES = "Which part of the values the colours span; the rest takes the end colours"
_SHORT = ("1–99 %", "5–95 %", "all")  # whatever is chosen is read whole in a narrow dock
_LOCK = "Keep the limits as they are when another gene or slide is shown, or more is predicted"
_RESET = "Let the limits follow the values of this gene again"
_COLOURS = "Colours of the heatmap; all of them stand out on stained tissue and keep their order for colour-blind eyes"
_SMOOTH = (
    "Let the colours run from the middle of one tile to the next. For the eye alone: exported values stay "
    f"as they are. Maps of more than {SMOOTHED:,} tiles are drawn as they are"
)


class LimitsForm(QWidget):
    """Percentiles, lock and reset, colours and smoothing, and a sentence that says which limits follow."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        colours = [(getattr(AVAILABLE_COLORMAPS.get(name), "_display_name", name), name) for name in COLORMAPS]
        self.percentiles = _combo("percentiles", list(zip(_SHORT, PERCENTILES, strict=True)), _PERCENTILES, letters=2)
        self.lock = CheckBox(name="locked", text="lock", tooltip=_LOCK)
        self.colormap = _combo("colormap", colours, _COLOURS, letters=3)
        self.smooth = CheckBox(name="smooth", text="smooth", tooltip=_SMOOTH)
        self.reset = action_button("reset", _RESET, lambda: self.presenter.reset())
        self.sentence = FixedSentence(about="What the two ends of the colour bar stand for")
        layout = column(self)
        parts = QWidget()
        inner = row(self.percentiles.native, self.lock.native, self.reset, stretch=0)
        inner.setSpacing(3)  # all of it fits in 320 px
        parts.setLayout(inner)
        limits = row(parts, label="Limits", stretch=0)
        self.reset.setStyleSheet("QPushButton { padding: 4px 2px; }")
        layout.addLayout(limits)
        layout.addLayout(row(self.colormap.native, self.smooth.native, label="Colours", stretch=0))
        layout.addLayout(indented(self.sentence))
        self.presenter = GeneLimits(workspace, self)
        self.percentiles.changed.connect(self.presenter.choose_percentiles)
        self.lock.changed.connect(self.presenter.lock)
        self.colormap.changed.connect(self.presenter.choose_colormap)
        self.smooth.changed.connect(self.presenter.smooth)

    def show_style(self, style: Style) -> None:
        """Show the percentiles, the lock, the colours and whether the heatmap is smooth."""
        percentiles = next(name for name, ends in PERCENTILES.items() if ends == style.percentiles)
        for widget, value in (
            (self.percentiles, percentiles),
            (self.lock, style.locked),
            (self.colormap, style.colormap),
            (self.smooth, style.smooth),
        ):
            with widget.changed.blocked():  # what a person chooses is remembered, what is shown is not
                widget.value = value

    def turn_percentiles(self, reason_off: str) -> None:
        """Turn the choice of percentiles off for a reason; empty turns it on."""
        self.percentiles.enabled = not reason_off
        self.percentiles.native.setToolTip(plain_tip(reason_off or _PERCENTILES))

    def turn_reset(self, reason_off: str) -> None:
        """Turn the button off that resets the limits; empty turns it on."""
        self.reset.set_reason_off(reason_off)

    def say_limits(self, text: str) -> None:
        """Say what the two ends of the colours stand for."""
        self.sentence.say(text)


def _combo(name: str, choices: list[Any], tooltip: str, letters: int) -> ComboBox:
    made = ComboBox(name=name, choices=choices, tooltip=tooltip)
    make_narrow(made.native, letters)
    return made
