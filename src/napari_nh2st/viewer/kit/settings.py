"""Where the docks keep what a person chose, between sessions."""

from __future__ import annotations

from qtpy.QtCore import QSettings


def settings() -> QSettings:
    """Return where the docks remember what was chosen last."""
    return QSettings(QSettings.defaultFormat(), QSettings.Scope.UserScope, "napari-nh2st", "napari-nh2st")
