"""A button says what it changes or why it is off, and hands nothing to what it calls."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_nh2st.viewer.kit.buttons import ActionBox, action_button

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


def test_a_button_says_what_it_changes_or_why_it_is_off(qtbot) -> None:
    calls: list[tuple[object, ...]] = []
    button = action_button("Remove", "Take the row away", lambda *given: calls.append(given), reason_off="Choose rows")
    qtbot.addWidget(button)
    qtbot.mouseClick(button, LEFT)
    assert (button.toolTip(), button.reason_off, calls) == ("Choose rows", "Choose rows", [])
    button.set_action("Forget", "Take the run off the list")
    assert (button.text(), button.toolTip()) == ("Forget", "Choose rows")
    button.set_reason_off("")
    qtbot.mouseClick(button, LEFT)
    assert (button.toolTip(), button.reason_off, calls) == ("Take the run off the list", "", [()])


def test_a_box_says_what_it_changes_or_why_it_cannot_be_ticked(qtbot) -> None:
    box = ActionBox("Layers", "Draw them")
    qtbot.addWidget(box)
    for reason, clearable, on, tip in (("No <gene>", False, False, "No &lt;gene&gt;"), ("None", True, True, "None")):
        box.set_reason_off(reason, can_be_cleared=clearable)
        assert (box.isEnabled(), tip in box.toolTip()) == (on, True)
    box.set_reason_off("")
    assert (box.isEnabled(), box.toolTip()) == (True, "Draw them")
