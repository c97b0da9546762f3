"""Whether a person waits for the window, or a script for its answer."""

from __future__ import annotations

import threading

from qtpy.QtCore import QCoreApplication, QThread


def window_is_live() -> bool:
    """Return True on the GUI thread while its event loop is at work: a person then waits, and not a script."""
    application = QCoreApplication.instance()
    if application is None or threading.current_thread() is not threading.main_thread():
        return False
    return bool(QThread.currentThread().loopLevel() > 0)
