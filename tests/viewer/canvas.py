"""A real window on whose canvas a person drops files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KINDS = (".jpg", ".svs", ".tif", ".png", ".nh2st", ".csv", ".zarr", ".xml")


class Canvas:
    """A window with the dock, and a person who drops files on its canvas."""

    def __init__(self, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from napari.settings import get_settings
        from napari.utils.notifications import notification_manager

        self.viewer, self._qtbot = viewer, qtbot
        chosen = {f"*{kind}{end}": "napari-nh2st" for kind in KINDS for end in ("", "/")}
        monkeypatch.setattr(get_settings().plugins, "extension2reader", chosen)
        self.dock = viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST")[1]
        self.notes: list[tuple[str, str]] = []
        notification_manager.notification_ready.connect(self._noted)
        qtbot.waitExposed(viewer.window._qt_window)

    def _noted(self, note: Any) -> None:
        self.notes.append((str(note.severity), note.message))

    def drop(self, *paths: Path) -> None:
        """Drop files from a file manager; return when the window has taken them."""
        from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
        from qtpy.QtGui import QDragEnterEvent, QDropEvent
        from qtpy.QtWidgets import QApplication

        mime, taken = QMimeData(), []
        mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        how = Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        canvas = self.viewer.window._qt_viewer.canvas.native

        def drop() -> None:
            QApplication.sendEvent(canvas, QDragEnterEvent(QPoint(99, 99), *how))
            QApplication.sendEvent(canvas, QDropEvent(QPointF(99, 99), *how))
            taken.append(True)

        QTimer.singleShot(0, drop)
        self.until(lambda: bool(taken))

    def until(self, holds: Callable[[], bool]) -> None:
        self._qtbot.waitUntil(holds, timeout=90_000)  # the first prediction loads torch and tries the encoder

    def rest(self, seconds: float) -> None:
        self._qtbot.wait(int(seconds * 1000))

    @property
    def sentence(self) -> str:
        return str(self.dock.job.sentence.text())

    @property
    def names(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]
