"""A bar in napari's activity panel."""

from __future__ import annotations

from typing import Any

from napari.utils import cancelable_progress, progress


class Activity:
    """A bar of long work in napari's activity panel. Its calls let Qt process events, and so may come back here.

    Parameters
    ----------
    what : str
        What is being done: "NH2ST: predicting".
    stoppable : bool
        Whether it has *Cancel*; `cancelled` then tells.
    """

    def __init__(self, what: str, *, stoppable: bool = False) -> None:
        self._what, self._make = what, cancelable_progress if stoppable else progress
        self._bar: Any = None
        self._busy = False
        self._wanted = False

    @property
    def cancelled(self) -> bool:
        """True once *Cancel* was pressed; may be asked from any thread."""
        return bool(getattr(self._bar, "is_canceled", False))

    def show(self, done: int, total: int) -> None:
        """Show how far the work is."""
        if self._busy:
            return
        self._wanted = self._busy = True
        try:
            if self._bar is None:
                self._bar = self._make(total=total, desc=self._what)
            self._bar.update(max(0, done - self._bar.n))
        except RuntimeError:  # the window was closed while napari drew the bar
            self._bar, self._wanted = None, False
        finally:
            self._busy = False
        if not self._wanted:  # it ended meanwhile
            self.close()

    def close(self) -> None:
        """Take the bar away."""
        self._wanted = False
        if self._bar is not None and not self._busy:
            self._bar.close()
            self._bar = None


def open_activity_panel(viewer: Any) -> None:
    """Bring napari's activity panel into sight: a bar that can be stopped is of no use behind a button."""
    window: Any = getattr(getattr(viewer, "window", None), "_qt_window", None)
    panel = getattr(window, "_activity_dialog", None)
    item = getattr(window and window.statusBar(), "_activity_item", None)
    button = getattr(item, "_activityBtn", None)  # napari has no public way
    if panel is not None and button is not None and not panel.isVisible():
        button.click()
