"""Files that are dropped anywhere on a dock."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QEvent, QMimeData, QObject, Qt, Signal
from qtpy.QtWidgets import QAbstractScrollArea, QLineEdit, QPlainTextEdit, QScrollArea

from napari_nh2st.viewer.kit.texts import Label

_LOOK = (
    "QLabel { background: rgba(0, 92, 150, 225); color: white; border: 3px dashed white; border-radius: 6px; "
    "font-weight: 600; padding: 16px; }"
)
_DRAGGED = (QEvent.Type.DragEnter, QEvent.Type.DragMove)


class DropArea(Label):
    """A sheet that lies over a dock while files are dragged over it, and says what may be dropped.

    Make it when the dock has all its fields: they would take files for text.

    Parameters
    ----------
    dock : QScrollArea
    text : str
    """

    dropped = Signal(list)  # of Path

    def __init__(self, dock: QScrollArea, text: str) -> None:
        super().__init__(text)
        self.setParent(dock.viewport())
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setStyleSheet(_LOOK)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()
        body = dock.widget()
        for field in (*body.findChildren(QLineEdit), *body.findChildren(QPlainTextEdit)):
            field.setAcceptDrops(False)
            if isinstance(field, QAbstractScrollArea):
                field.viewport().setAcceptDrops(False)
        body.setAcceptDrops(True)
        body.installEventFilter(self)

    def eventFilter(self, body: QObject, event: QEvent) -> bool:
        """Show what may be dropped while files are over the dock, and hand them over."""
        if event.type() in _DRAGGED and _files(event.mimeData()):
            event.acceptProposedAction()
            self.setGeometry(self.parentWidget().rect())
            self.show()
            self.raise_()
            return True
        if event.type() == QEvent.Type.DragLeave:
            self.hide()
        elif event.type() == QEvent.Type.Drop:
            self.hide()
            if paths := _files(event.mimeData()):
                event.acceptProposedAction()
                self.dropped.emit(paths)
                return True
        return False


def _files(dragged: QMimeData) -> list[Path]:
    return [Path(url.toLocalFile()) for url in dragged.urls() if url.isLocalFile()]
