"""Buttons that say what they change and, while they are off, why."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QPushButton

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
        self._tooltip = tooltip
        self.set_reason_off(reason_off)

    @property
    def reason_off(self) -> str:
        """Why the button is off; empty while it is on."""
        return "" if self.isEnabled() else self.toolTip()

    def set_reason_off(self, reason: str) -> None:
        """Turn the button off and say why; an empty reason turns it on."""
        self.setEnabled(not reason)
        self.setToolTip(plain_tip(reason or self._tooltip))

    def set_action(self, text: str, tooltip: str) -> None:
        """Give the button another meaning: *Pause* becomes *Go on*."""
        self._tooltip = tooltip
        self.setText(text)
        if self.isEnabled():
            self.setToolTip(plain_tip(tooltip))


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
