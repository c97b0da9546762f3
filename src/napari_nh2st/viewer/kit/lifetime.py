"""The end of a dock, whichever way it comes: closed, gone with its window, or deleted without a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any
from weakref import ref

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget
from superqt.utils import qdebounced

from napari_nh2st.viewer.kit.garbage import thaw


class Ends:
    """Makes the last calls of a dock, once, in their order; an error in one does not leave out the others."""

    def __init__(self) -> None:
        self._calls: Sequence[Callable[[], object]] = ()

    def hold(self, *calls: Callable[[], object]) -> None:
        """Make these calls at the end."""
        self._calls = calls

    def call(self) -> None:
        """Make them now."""
        calls, self._calls = self._calls, ()
        with ExitStack() as stack:
            stack.callback(thaw)
            for call in reversed(calls):
                stack.callback(call)

    def gone(self, *_: object) -> None:
        """Make them for a dock that was deleted without being closed: its widgets cannot be told any more."""
        with suppress(RuntimeError):
            self.call()


class Lifetime(QObject):
    """Ends a dock when napari takes it out of its window, when the window closes, or when it is deleted.

    The window matters: its widgets are deleted later, or never where the process ends at once, and are half gone by
    then.

    Parameters
    ----------
    dock : QWidget
    viewer : Viewer
        Without a window, in tests, only the other two ways are left.
    """

    def __init__(self, dock: QWidget, viewer: Any) -> None:
        super().__init__(dock)
        self.ends = Ends()
        self._dock, self._was_docked, self._window_asked = dock, False, False
        window = getattr(getattr(viewer, "window", None), "_qt_window", None)
        self._window = None if window is None else ref(window)  # else it would stay as long as this does
        dock.installEventFilter(self)
        if window is not None:
            window.installEventFilter(self)
        self._forget_close = qdebounced(self._forget, timeout=0)
        dock.destroyed.connect(self.ends.gone)  # of no widget: the dock is half gone when this comes

    def end(self) -> None:
        """End the dock now."""
        self._forget_close.cancel()
        self._window = None
        self.ends.call()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """See the dock leave its parent, and the window be closed: it hides then, unless somebody said no."""
        kind = event.type()
        if watched is self._dock and kind == QEvent.Type.ParentChange:
            if self._dock.parent() is not None:
                self._was_docked = True
            elif self._was_docked:
                self.end()
                self._dock.deleteLater()  # napari lets go of it; what Qt calls of it would hold it for ever
        elif self._window is not None and watched is self._window():
            self._window_event(kind, in_sight=watched.isVisible())
        return False

    def _window_event(self, kind: QEvent.Type, *, in_sight: bool) -> None:
        if kind == QEvent.Type.Close and in_sight:
            self._window_asked = True
            self._forget_close()
        elif kind == QEvent.Type.Close or (kind == QEvent.Type.Hide and self._window_asked):
            self.end()

    def _forget(self) -> None:
        self._window_asked = False
