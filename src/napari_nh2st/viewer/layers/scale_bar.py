"""napari's scale bar, on the canvas wherever a length in micrometres is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.viewer.layers.roles import slide_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_nh2st.viewer.kit.connections import Connections
    from napari_nh2st.viewer.state.dock_state import DockState
    from napari_nh2st.viewer.state.preferences import Preferences

# White writing on a dark plate: it is read over glass, over tissue and in either theme.
_LOOK = {"box": True, "box_color": (0.09, 0.09, 0.11, 0.85), "colored": True, "color": "white", "ticks": True}


NO_SCALE = "No scale bar: this slide's pixel size is unknown. Enter it in the dock, beside the slide."


class ScaleBar:
    """Shows the scale bar while the chosen slide's pixel size is known.

    A user who switches it off keeps it off, on the next slides and at the next start. A bar that was there before the
    dock keeps its looks, and goes only for slides of unknown pixel size: napari would write micrometres on it.
    """

    def __init__(
        self, viewer: ViewerModel, state: DockState, preferences: Preferences, connections: Connections
    ) -> None:
        self._viewer, self._state, self._preferences = viewer, state, preferences
        self._bar = viewer.canvas.overlays.scale_bar
        self._own = not self._bar.visible
        self._before = {name: getattr(self._bar, name) for name in _LOOK}
        self._users = not self._own  # a bar of the user's is switched on
        self._showing = False  # it is this class that shows or hides it
        if self._own:
            for name, value in _LOOK.items():
                setattr(self._bar, name, value)
        connections.add(self._bar.events.visible, self._switched)
        for changed in (viewer.canvas.grid.events.enabled, viewer.layers.events.inserted, viewer.layers.events.removed):
            connections.add(changed, self.refresh)
        state.events.slide.connect(self.refresh)
        state.events.map.connect(self.refresh)
        preferences.events.scale_bar.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the bar, or hide it, as it is right now."""
        wanted = self._preferences.scale_bar and self._in_micrometres()
        on = wanted if self._own else self._users and not self._unknown
        if on == self._bar.visible:
            return
        self._showing = True
        try:
            self._bar.visible = on
        finally:
            self._showing = False

    def close(self) -> None:
        """Leave the bar as it was before the dock was opened."""
        self._showing = True
        self._bar.visible = self._users
        if not self._own:
            return
        for name, value in self._before.items():
            setattr(self._bar, name, value)

    def _switched(self) -> None:
        if self._showing:
            return
        if self._own:
            self._preferences.scale_bar = bool(self._bar.visible)
        else:
            self._users = bool(self._bar.visible)
        if self._bar.visible and self._unknown:
            self._viewer.status = NO_SCALE
            self.refresh()

    @property
    def _unknown(self) -> bool:
        return self._state.slide is not None and self._state.slide.mpp is None

    def _in_micrometres(self) -> bool:
        slide, units = self._state.slide, self._viewer.layers.units
        known = self._state.map is not None if slide is None else slide.mpp is not None
        if self._viewer.canvas.grid.enabled:  # one bar for all cells, which zoom together
            slides = [slide_of(layer) for layer in self._viewer.layers if layer.visible]
            known = known and all(each.mpp is not None for each in slides if each is not None)
        return known and bool(units) and str(units[-1]) == "micrometer"
