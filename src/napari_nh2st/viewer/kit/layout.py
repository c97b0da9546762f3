"""The one column of a dock, its rows and captions."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_nh2st.viewer.kit.texts import Label

_AROUND = 16  # pixels that the style puts around the text of a label
_GAP = 6
_DOCK, _DOCK_MOST = 320, 460  # pixels; a large font may take more than the first


class Caption(Label):
    """A label in front of a control: as wide as the widest one in its dock, in any font.

    Parameters
    ----------
    text : str
    beside : QWidget, optional
        It is hidden where this one is, so that both leave no gap.
    """

    def __init__(self, text: str = "", beside: QWidget | None = None) -> None:
        super().__init__(text)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        if beside is not None:
            self.setHidden(beside.isHidden())
            beside.installEventFilter(self)

    def showEvent(self, event: QShowEvent) -> None:
        """Take the width of the dock in which it stands by now."""
        super().showEvent(event)
        self.updateGeometry()

    def eventFilter(self, beside: QObject, event: QEvent) -> bool:
        """Come and go with the other one."""
        if event.type() in (QEvent.Type.ShowToParent, QEvent.Type.HideToParent):
            self.setVisible(event.type() == QEvent.Type.ShowToParent)
        return False

    def sizeHint(self) -> QSize:
        """Return the size that all captions of a dock have: the controls of all rows begin at one line."""
        captions = _dock_of(self).findChildren(Caption) or [self]
        widest = max(self.fontMetrics().horizontalAdvance(caption.text()) for caption in captions)
        return QSize(widest + _AROUND, super().sizeHint().height())

    minimumSizeHint = sizeHint


def _dock_of(widget: QWidget) -> QWidget:
    """Return what scrolls around a widget, else the outermost one."""
    around = widget.parentWidget()
    while around is not None and not isinstance(around, QScrollArea) and around.parentWidget() is not None:
        around = around.parentWidget()
    return around or widget


def row(*widgets: QWidget, label: str = "", stretch: int | None = None) -> QHBoxLayout:
    """Lay widgets side by side, behind a label of the width that all labels have."""
    line = QHBoxLayout()
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(_GAP)
    if label:
        caption = Caption(label)
        caption.setToolTip(widgets[0].toolTip() if widgets else "")
        line.addWidget(caption)
    for i, widget in enumerate(widgets):
        line.addWidget(widget, 1 if i == stretch else 0)
    return line


def indented(widget: QWidget) -> QHBoxLayout:
    """Lay a widget under the control of the row above it."""
    line = QHBoxLayout()
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(_GAP)
    line.addWidget(Caption(beside=widget))
    line.addWidget(widget, 1)
    return line


def rule() -> QFrame:
    """Return a thin line between sections."""
    line = QFrame()
    line.setFixedHeight(1)
    line.setStyleSheet("QFrame { background: rgba(128, 128, 128, 90); border: none; }")
    return line


def column(parent: QWidget, *, spacing: int = 6) -> QVBoxLayout:
    """Give a widget the one column that docks have."""
    layout = QVBoxLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    return layout


def scrolled(area: QScrollArea) -> QVBoxLayout:
    """Make a scroll area a dock of one column, 320 px wide or what a larger font needs, and return the column."""
    body = QWidget()
    layout = QVBoxLayout(body)
    layout.setContentsMargins(8, 8, 6, 8)
    layout.setSpacing(8)
    area.setWidget(body)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setMinimumWidth(_DOCK)
    body.installEventFilter(_Widener(area))
    return layout


class _Widener(QObject):
    """Lets a dock grow with what is in it: napari's font can be made larger at any time."""

    def __init__(self, area: QScrollArea) -> None:
        super().__init__(area)
        self._area = area

    def eventFilter(self, body: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Show):
            bar = self._area.verticalScrollBar()
            beside = self._area.width() - self._area.viewport().width() if bar.isVisible() else bar.sizeHint().width()
            needed = self._area.widget().minimumSizeHint().width() + beside
            wanted = min(max(_DOCK, needed), _DOCK_MOST)
            if wanted != self._area.minimumWidth():
                self._area.setMinimumWidth(wanted)
        return False
