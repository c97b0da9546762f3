"""Buttons that say what they change and, while they are off, why; and how something else presses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QAbstractButton, QCheckBox, QPushButton, QWidget

from napari_nh2st.viewer.kit.texts import plain_tip


class ActionButton(QPushButton):
    """A push button whose tooltip says what it changes or, while it is off, why it is off.

    Parameters
    ----------
    text, tooltip : str
    reason_off : str
        Turns the button off; empty leaves it on.
    """

    def __init__(self, text: str, tooltip: str, reason_off: str = "") -> None:
        super().__init__(text)
        self._tooltip, self._keys = tooltip, ""
        self.set_reason_off(reason_off)

    @property
    def reason_off(self) -> str:
        """Why the button is off; empty while it is on."""
        return "" if self.isEnabled() else self.toolTip()

    def set_reason_off(self, reason: str) -> None:
        """Turn the button off and say why; an empty reason turns it on."""
        self.setEnabled(not reason)
        self.setToolTip(plain_tip(reason or self._tooltip + self._keys))

    def set_action(self, text: str, tooltip: str) -> None:
        """Give the button another meaning: *Pause* becomes *Go on*."""
        self._tooltip = tooltip
        self.setText(text)
        if self.isEnabled():
            self.setToolTip(plain_tip(tooltip + self._keys))

    def tell_keys(self, keys: str) -> None:
        """Name the shortcut in the tooltip."""
        before, self._keys = self._tooltip + self._keys, f" ({keys})"
        if self.toolTip() == plain_tip(before):
            self.setToolTip(plain_tip(self._tooltip + self._keys))


class ActionBox(QCheckBox):
    """A box to tick whose tooltip says what it changes or, while it cannot be ticked, why not.

    Parameters
    ----------
    text, tooltip : str
    """

    def __init__(self, text: str, tooltip: str) -> None:
        super().__init__(text)
        self._tooltip = tooltip
        self.set_reason_off("")

    def set_reason_off(self, reason: str, *, can_be_cleared: bool = False) -> None:
        """Turn the box off and say why, unless it can still be cleared; an empty reason turns it on."""
        self.setEnabled(not reason or can_be_cleared)
        self.setToolTip(plain_tip(reason or self._tooltip))


def action_button(
    text: str, tooltip: str, on_click: Callable[[], object], *, reason_off: str = "", visible: bool = True
) -> ActionButton:
    """Return a button that calls a function without arguments.

    Parameters
    ----------
    text, tooltip : str
    on_click : callable
    reason_off : str
        Why the button is off at first; empty where it is on. `ActionButton.set_reason_off` changes it.
    visible : bool
        Whether the button takes room at first.
    """
    button = ActionButton(text, tooltip, reason_off)
    button.clicked.connect(lambda: on_click())  # Qt would hand over whether the button is checked
    if not visible:
        button.setVisible(False)
    return button


def follow(owner: Any, path: Sequence[str]) -> Any:
    """Return what a path of attributes, or of keys of a dictionary, leads to."""
    for part in path:
        owner = owner[part] if isinstance(owner, dict) else getattr(owner, part)
    return owner


def press(target: Any) -> str:
    """Press a button or a menu's entry, or call a function; a mere widget is only looked at.

    Returns
    -------
    str
        Why it cannot be pressed now, empty where it was.
    """
    if isinstance(target, QAbstractButton | QAction):
        if not target.isEnabled():
            return target.toolTip()
        target.trigger() if isinstance(target, QAction) else target.click()
    elif not isinstance(target, QWidget):
        target()
    return ""


def tell_keys(target: Any, keys: str) -> None:
    """Name a shortcut in the tooltip of what it presses."""
    if isinstance(target, ActionButton):
        target.tell_keys(keys)
    elif isinstance(target, QAbstractButton) and target.toolTip():
        target.setToolTip(plain_tip(f"{target.toolTip()} ({keys})"))
