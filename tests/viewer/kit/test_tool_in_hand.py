"""One tool in hand: what takes it up and what ends it, on napari's models without a window."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.key_bindings import KeymapHandler

from napari_nh2st.viewer.kit.tool_in_hand import Tool, ToolInHand


class Hand:
    """A viewer with a shapes layer and a labels layer, and two tools."""

    def __init__(self) -> None:
        self.viewer = ViewerModel()
        self.labels = self.viewer.add_labels(np.zeros((9, 9), int))
        self.shapes = self.viewer.add_shapes(ndim=2)
        self.tools = ToolInHand(self.viewer)
        self.told: list[Tool | None] = []
        self.tools.changed.connect(lambda: self.told.append(self.tools.tool))
        self.ended: list[str] = []
        self.picker = Tool(lambda: True, lambda: self.ended.append("picker"))
        self.pen = Tool(self._draw, lambda: self.ended.append("pen"), frozenset({"add_polygon", "add_ellipse"}))

    def _draw(self) -> bool:
        self.viewer.layers.selection.active = self.shapes
        self.shapes.mode = "add_polygon"
        return True

    def press_escape(self) -> None:
        """Press Esc on the canvas."""
        keys = KeymapHandler()
        active = self.viewer.layers.selection.active
        keys.keymap_providers = [active, self.viewer] if active is not None else [self.viewer]
        keys.press_key("Escape")


@pytest.fixture
def hand() -> Hand:
    return Hand()


def test_a_second_press_another_tool_and_esc_end_a_tool(hand: Hand) -> None:
    hand.tools.toggle(hand.picker)
    hand.tools.toggle(hand.picker)
    hand.tools.toggle(hand.picker)
    hand.tools.toggle(hand.pen)
    assert hand.told[:3] == [hand.picker, None, hand.picker]
    assert (hand.tools.tool, hand.ended) == (hand.pen, ["picker", "picker"])
    hand.press_escape()
    assert (hand.tools.tool, hand.ended[-1]) == (None, "pen")
    for active in (hand.labels, hand.shapes, None):
        hand.viewer.layers.selection.active = active
        hand.tools.take(hand.picker)
        hand.press_escape()
        assert hand.tools.tool is None
    assert not hand.shapes.keymap


def test_a_tool_of_napari_ends_ours_and_keeps_the_mouse(hand: Hand) -> None:
    hand.shapes.mode = "add_rectangle"
    hand.tools.take(hand.picker)
    assert hand.shapes.mode == "pan_zoom"
    hand.viewer.layers.selection.active = hand.labels
    assert hand.tools.tool is hand.picker  # the mouse still moves the view
    hand.labels.mode = "paint"
    assert (hand.tools.tool, hand.labels.mode) == (None, "paint")
    hand.tools.take(hand.pen)
    hand.shapes.mode = "add_ellipse"
    assert hand.tools.tool is hand.pen
    hand.viewer.layers.selection.active = hand.labels
    assert hand.tools.tool is None
    hand.tools.take(hand.pen)
    hand.viewer.layers.remove(hand.shapes)
    assert hand.tools.tool is None


def test_a_tool_that_cannot_begin_is_not_in_hand(hand: Hand) -> None:
    hand.tools.take(Tool(lambda: False))
    assert (hand.tools.tool, hand.told) == (None, [None])
    hand.tools.take(hand.picker)
    hand.tools.put_down(hand.pen)
    assert hand.tools.tool is hand.picker
    hand.tools.close()
    assert hand.tools.tool is None
