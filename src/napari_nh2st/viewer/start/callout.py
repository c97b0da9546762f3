"""A small card that points at a part of the dock, from beside the dock."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt, QTimer
from qtpy.QtGui import QColor, QKeySequence, QPainter, QPaintEvent, QPolygon, QShortcut
from qtpy.QtWidgets import QFrame, QScrollArea, QWidget

from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.texts import Label, Sentence
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.start.beginning import Beginning
from napari_nh2st.viewer.start.tour import Step, Tour

_WIDTH, _ARROW, _GAP = 290, 12, 4  # pixels
_PAPER, _INK, _ACCENT = "#fdfcf7", "#1d2129", "#2f6fed"
_LOOK = (
    f"QLabel {{ color: {_INK}; background: transparent; }}"
    f"QPushButton {{ color: white; background: {_ACCENT}; border: none; border-radius: 4px; padding: 5px 12px; }}"
    f"QPushButton[quiet=true] {{ color: {_ACCENT}; background: transparent; }}"
)


class Callout(QWidget):
    """A card with a few words and the buttons of the tour. It blocks nothing and takes no focus.

    Parameters
    ----------
    dock : QWidget
        Whose parts it points at.
    scroll : QScrollArea
        In which the dock's column scrolls.
    parts : dict of str to sequence of QWidget
        The part of each step, one widget or some that stand under one another.
    """

    def __init__(self, dock: QWidget, scroll: QScrollArea, parts: dict[str, tuple[QWidget, ...]]) -> None:
        super().__init__()
        self._dock, self._scroll, self._parts = dock, scroll, parts
        self._pointed: tuple[QWidget, ...] = ()
        self._side, self._tip = 1, 0  # where the dock is, right (1) or left (-1), and the arrow's height
        self.setStyleSheet(_LOOK)
        self.setVisible(False)
        self.title, self.text, self.count = Label(), Sentence(), Label()
        self.title.setStyleSheet("font-weight: 700;")
        self.back = action_button("Back", "The step before", lambda: self.go_back())
        self.next = action_button("Next", "The next step", lambda: self.go_on())
        self.end = action_button("End tour", "End the tour (Esc). “More…” has it again", lambda: self.leave())
        for button in (self.back, self.next, self.end):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for button in (self.back, self.end):
            button.setProperty("quiet", True)
        layout = column(self)
        layout.setContentsMargins(14 + _ARROW, 12, 14 + _ARROW, 10)
        layout.addLayout(row(self.title, self.count, stretch=0))
        layout.addWidget(self.text)
        buttons = row(self.end)
        buttons.addStretch(1)
        buttons.addWidget(self.back)
        buttons.addWidget(self.next)
        layout.addLayout(buttons)
        self.frame = _Outline()
        self.go_on: Callable[[], object] = lambda: None
        self.go_back: Callable[[], object] = lambda: None
        self.leave: Callable[[], object] = lambda: None
        self._escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self)
        self._escape.activated.connect(lambda: self.leave())
        self._place_soon = QTimer(self, singleShot=True, interval=0)
        self._place_soon.timeout.connect(self._place)

    def show_step(self, step: Step, number: int, of: int) -> None:
        """Point at a part, with words and the buttons to go on."""
        self._pointed = self._parts[step.part]
        self.title.setText(step.title)
        self.text.say(step.text)
        self.count.setText(f"{number} of {of}")
        self.back.setVisible(number > 1)
        self.next.setText("Done" if number == of else "Next")
        if self._scroll.isAncestorOf(self._pointed[-1]):  # the foot is always in sight
            self._scroll.ensureWidgetVisible(self._pointed[-1])
        window = self._dock.window()
        if self.parent() is not window:
            for part in (self.frame, self):
                part.setParent(window)
            for watched in (window, self._dock, self._scroll.widget()):
                watched.installEventFilter(self)
            self._scroll.verticalScrollBar().valueChanged.connect(self._place_soon.start)
        self._place()
        for part in (self.frame, self):
            part.show()
            part.raise_()
        self._place_soon.start()  # the dock may have to scroll first

    def hide_steps(self) -> None:
        """Point at nothing any more."""
        self.hide()
        self.frame.hide()

    def leave_window(self) -> None:
        """Go for good: the card lies in a window that stays."""
        for part in (self.frame, self):
            part.hide()
            part.deleteLater()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay beside the part when the window or the dock changes."""
        if self.isVisible() and event.type() in (QEvent.Type.Resize, QEvent.Type.LayoutRequest, QEvent.Type.Move):
            self._place_soon.start()
        return False

    def _place(self) -> None:
        window = self.parentWidget()
        if window is None or not self._pointed:
            return
        spot = _around(self._pointed, window)
        dock = QRect(self._dock.mapTo(window, QPoint(0, 0)), self._dock.size())
        spot = spot.intersected(dock)
        self.frame.setGeometry(spot.adjusted(-3, -3, 3, 3))
        width = self.fontMetrics().horizontalAdvance("m" * 24) + 2 * (14 + _ARROW)
        width = max(_WIDTH, width)
        height = self.layout().heightForWidth(width) if self.layout().hasHeightForWidth() else self.sizeHint().height()
        left, right = dock.left() - width - _GAP, dock.right() + _GAP
        x, y = left, spot.center().y() - height // 2
        self._side = 1
        if left < 0:
            x, self._side = right, -1
        if left < 0 and right + width > window.width():  # the dock is a window of its own: below the part, or above
            x, self._side = max(0, (window.width() - width) // 2), 0
            below = spot.bottom() + 8
            y = below if below + height <= window.height() else spot.top() - 8 - height
        y = max(0 if not self._side else dock.top(), min(y, window.height() - height))
        self._tip = spot.center().y() - y
        self.setGeometry(x, y, width, height)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the card and its arrow."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(_ACCENT))
        painter.setBrush(QColor(_PAPER))
        card = self.rect().adjusted(_ARROW, 1, -_ARROW, -1)
        painter.drawRoundedRect(card, 6, 6)
        if self._side:
            self._paint_arrow(painter, card)
        painter.end()

    def _paint_arrow(self, painter: QPainter, card: QRect) -> None:
        tip = max(card.top() + 16, min(self._tip, card.bottom() - 16))
        edge, end = (card.right(), self.width() - 1) if self._side > 0 else (card.left(), 0)
        arrow = QPolygon([QPoint(edge, tip - 9), QPoint(end, tip), QPoint(edge, tip + 9)])
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(_ACCENT))
        painter.drawPolygon(arrow)


def tour_of(callout: Callout, workspace: Workspace, beginning: Beginning) -> Tour:
    """Return the tour of a dock, which ends with the dock."""
    tour = Tour(workspace, beginning, callout)
    callout.go_on, callout.go_back, callout.leave = tour.go_on, tour.go_back, tour.end
    workspace.when_closing(callout.leave_window)
    return tour


class _Outline(QFrame):
    """A frame around a part; the mouse goes through it."""

    def __init__(self) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setStyleSheet(f"QFrame {{ border: 2px solid {_ACCENT}; border-radius: 5px; background: transparent; }}")
        self.setVisible(False)


def _around(parts: tuple[QWidget, ...], window: QWidget) -> QRect:
    """Return the rectangle around widgets in the frame of their window."""
    out = QRect()
    for part in parts:
        out = out.united(QRect(part.mapTo(window, QPoint(0, 0)), part.size()))
    return out
