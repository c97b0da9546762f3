"""The limits of a gene's colours, and the other colours of heatmaps: what is chosen and what is said of it. No Qt."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.state.dock_state import ShownLimits
from napari_nh2st.viewer.state.style import PERCENTILES, Style

NOT_BY_HAND = "Nothing to reset: the limits were not set by hand for this gene, with napari's contrast slider"
LOCKED = "The limits are locked: take the lock off to choose them"
TAKE_LOCK_OFF, PRESS_RESET = "untick lock", "press reset"
TOO_LARGE = "Too many tiles to smooth: they are drawn as they are"


class LimitsView(Protocol):
    """Shows the limits of the gene and the colours of the heatmap."""

    def show_style(self, style: Style) -> None:
        """Show the percentiles, the lock, the colours and whether the heatmap is smooth."""

    def turn_percentiles(self, reason_off: str) -> None:
        """Turn the choice of percentiles off for a reason; empty turns it on."""

    def turn_reset(self, reason_off: str) -> None:
        """Turn the button off that resets the limits; empty turns it on."""

    def say_limits(self, text: str) -> None:
        """Say what the two ends of the colours stand for."""


class GeneLimits:
    """Hands choices on to the style of heatmaps and remembers them, and says which limits follow.

    Parameters
    ----------
    workspace : Workspace
    view : LimitsView
    """

    def __init__(self, workspace: Workspace, view: LimitsView) -> None:
        self._workspace, self._view = workspace, view
        self._state, self._style, self._preferences = workspace.state, workspace.state.style, workspace.preferences
        self._take_up()
        self._style.when_restyled(self._show)
        self._state.events.limits.connect(self._show_limits)
        self._show()

    # what the person does

    def choose_percentiles(self, name: str) -> None:
        """Choose which part of the values the colours span, by its name in `PERCENTILES`."""
        self._preferences.percentiles = name
        self._use_percentiles(name)

    def choose_colormap(self, name: str) -> None:
        """Choose the colours."""
        self._preferences.colormap = self._style.colormap = name

    def lock(self, on: bool) -> None:
        """Keep the limits as they are, or let them follow the gene again."""
        self._preferences.locked = self._style.locked = on

    def smooth(self, on: bool) -> None:
        """Let the colours run from tile to tile."""
        self._preferences.smooth = self._style.smooth = on

    def reset(self) -> None:
        """Let the limits of this gene follow its values again."""
        self._workspace.maps.forget_limits()

    # what follows

    def _take_up(self) -> None:
        """Use what is remembered, and what is changed in napari's Preferences."""
        for name in ("colormap", "locked", "smooth"):
            setattr(self._style, name, getattr(self._preferences, name))
            self._preferences.events[name].connect(partial(setattr, self._style, name))
        self._use_percentiles(self._preferences.percentiles)
        self._preferences.events.percentiles.connect(self._use_percentiles)

    def _use_percentiles(self, name: str) -> None:
        if PERCENTILES[name] != self._style.percentiles:
            self._workspace.maps.forget_limits()  # of this gene: else they would stay
            self._style.percentiles = PERCENTILES[name]

    def _show(self) -> None:
        self._view.show_style(self._style)
        self._view.turn_percentiles(LOCKED if self._style.locked else "")
        self._show_limits()

    def _show_limits(self) -> None:
        limits = self._state.limits
        self._view.turn_reset("" if limits is not None and limits.by_hand else NOT_BY_HAND)
        self._view.say_limits("" if limits is None else limits_words(limits, smooth=self._style.smooth))


def limits_words(limits: ShownLimits, *, smooth: bool = False) -> str:
    """Say what the two ends of the colours stand for, in the unit of the values.

    Parameters
    ----------
    smooth : bool
        Smoothing was asked for.
    """
    ends = f"{limits.low:z.2f} to {limits.high:z.2f} {limits.unit}"
    said = [f"{ends}, set by hand" if limits.by_hand else ends]
    if limits.beyond:
        said.insert(0, f"{limits.beyond}: {TAKE_LOCK_OFF if limits.locked else PRESS_RESET}.")
    if limits.note.startswith("the same"):
        said.append(f"{limits.gene} is {limits.note}")
    if smooth and limits.too_large:
        said.append(TOO_LARGE)
    return "\n".join(said)
