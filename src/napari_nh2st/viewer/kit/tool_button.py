"""A button for a tool: down as long as the tool is in hand."""

from __future__ import annotations

from qtpy.QtGui import QHideEvent

from napari_nh2st.viewer.kit.buttons import ActionButton
from napari_nh2st.viewer.kit.tool_in_hand import Tool, ToolInHand


class ToolButton(ActionButton):
    """A push button that stays down while its tool is in hand; out of sight, it puts the tool down.

    Parameters
    ----------
    text, tooltip : str
        While the tool is not in hand.
    done : str
        Its text while the tool is in hand.
    """

    def __init__(self, text: str, tooltip: str, done: str, tool: Tool, tools: ToolInHand) -> None:
        super().__init__(text, tooltip)
        self._text, self._done = text, done
        self._tool, self._tools = tool, tools
        self.setCheckable(True)
        self.clicked.connect(lambda: tools.toggle(tool))
        tools.changed.connect(self._show)

    def hideEvent(self, event: QHideEvent) -> None:
        """Put the tool down when its fold or dock is closed, but not when the window is put away for a while."""
        super().hideEvent(event)
        if not event.spontaneous():
            self._tools.put_down(self._tool)

    def _show(self) -> None:
        down = self._tools.tool is self._tool
        self.setChecked(down)
        self.setText(self._done if down else self._text)
