"""The tool in hand: at most one tool of ours decides what the mouse does on the canvas. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal

from napari_nh2st.viewer.kit.connections import Connections

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

PAN = "pan_zoom"  # the mode of a layer in which the mouse moves the view
_ESCAPE = "Escape"


@dataclass(frozen=True, eq=False)
class Tool:
    """A use of the mouse that goes on until it is ended.

    Attributes
    ----------
    begin : callable
        Called when the tool is taken up; false if that cannot be, which it has said by then.
    end : callable
        Called when it is put down.
    modes : frozenset of str
        Modes of napari's active layer in which the tool works. In any other mode a tool of napari has the mouse.
    """

    begin: Callable[[], bool]
    end: Callable[[], None] = lambda: None
    modes: frozenset[str] = frozenset({PAN})


class ToolInHand:
    """Holds one tool, or none. Esc, another tool of ours or one of napari's ends it."""

    changed: ClassVar[Signal] = Signal()
    """Another tool is in hand, or none."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.tool: Tool | None = None
        self._selection, self._active = Connections(), Connections()
        self._keys: list[Any] = []  # where Esc is bound

    def toggle(self, tool: Tool) -> None:
        """Take a tool up, or put it down where it is in hand."""
        if self.tool is tool:
            self.put_down()
        else:
            self.take(tool)

    def take(self, tool: Tool) -> None:
        """Put down what is in hand and take up another tool; the mouse then is in no mode of napari's."""
        self.put_down()
        layer = self._viewer.layers.selection.active
        if layer is not None:
            rest(layer)
        if tool.begin():
            self.tool = tool
            self._selection.add(self._viewer.layers.selection.events.active, self._watch)
            self._watch()
        self.changed.emit()

    def put_down(self, tool: Tool | None = None) -> None:
        """Put down what is in hand; with a tool, only if it is that one."""
        if self.tool is None or tool not in (None, self.tool):
            return
        ended, self.tool = self.tool, None
        for connections in (self._selection, self._active):
            connections.close()
        self._bind_escape([])
        ended.end()
        self.changed.emit()

    def close(self) -> None:
        """Put down what is in hand and tell nobody any more."""
        self.put_down()
        self.changed.disconnect()

    def _watch(self, event: object = None) -> None:
        """Follow the active layer: a mode that is none of the tool's ends it."""
        layer = self._viewer.layers.selection.active
        self._active.close()
        self._bind_escape([self._viewer, *([] if layer is None else [layer])])
        if layer is not None:
            self._active.add(layer.events.mode, self._mode_changed)
        self._mode_changed()

    def _mode_changed(self, event: object = None) -> None:
        layer = self._viewer.layers.selection.active
        mode = PAN if layer is None else str(layer.mode)
        if self.tool is not None and mode not in self.tool.modes:
            self.put_down()

    def _bind_escape(self, holders: list[Any]) -> None:
        # a layer's own keys come before the viewer's, and a shapes layer has Esc: bound on the active layer itself too
        for holder in self._keys:
            holder.bind_key(_ESCAPE, None)
        self._keys = holders
        for holder in holders:
            holder.bind_key(_ESCAPE, lambda _: self.put_down(), overwrite=True)


def rest(layer: Layer) -> None:
    """End what is being drawn on a layer, and let the mouse move the view."""
    from napari.layers import Shapes

    if str(layer.mode) == PAN:
        return
    if isinstance(layer, Shapes):
        layer.remove([])  # ends a shape as Esc does: else the mode's change would leave half a polygon
    layer.mode = PAN
