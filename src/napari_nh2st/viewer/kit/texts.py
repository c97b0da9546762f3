"""Text in a dock: sentences, notes, banners."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qtpy.QtCore import QEvent, QPointF, QRect, QSize, Qt
from qtpy.QtGui import QFontInfo, QPainter, QPaintEvent, QResizeEvent, QShowEvent, QTextLayout
from qtpy.QtWidgets import QLabel, QSizePolicy

_SMALL = 0.92
_INDENT = 4  # pixels: that of a text that can be selected


class Label(QLabel):
    """Text that is only text: a label of Qt's own takes anything with tags in it, such as a gene's name, for HTML."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText(text)


class Sentence(Label):
    """Text that wraps and takes no room while it is empty."""

    def __init__(self, text: str = "", *, dim: bool = False) -> None:
        super().__init__(text)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        # a long word (a path) must not widen the dock
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self._small = dim
        self._look = ""
        self.setVisible(bool(text))

    def say(self, text: str) -> None:
        """Show a text, or nothing."""
        if text == self.text():
            return
        self.setText(text)
        self.setVisible(bool(text))

    def showEvent(self, event: QShowEvent) -> None:
        """Take the window's font."""
        super().showEvent(event)
        self._make_small()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the window's font."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self.isVisible():
            self._make_small()

    def _make_small(self) -> None:
        """Write a little smaller than the window, whatever font that has."""
        parent = self.parentWidget()
        if not self._small or parent is None:
            return
        sheet = f"QLabel {{ font-size: {round(_SMALL * QFontInfo(parent.font()).pixelSize())}px; {self._look} }}"
        if sheet != self.styleSheet():
            self.setStyleSheet(sheet)


class SteadySentence(Sentence):
    """A sentence that changes with what a person does: it takes two lines at least, and what is below mostly stays."""

    def __init__(self) -> None:
        super().__init__()
        self.setAlignment(Qt.AlignmentFlag.AlignTop)

    def heightForWidth(self, width: int) -> int:
        """Return the height of the text, or of two lines."""
        return max(super().heightForWidth(width), self._two_lines())

    def sizeHint(self) -> QSize:
        """Return a size that holds two lines."""
        return super().sizeHint().expandedTo(QSize(0, self._two_lines()))

    def minimumSizeHint(self) -> QSize:
        """Return a size that holds two lines."""
        return super().minimumSizeHint().expandedTo(QSize(0, self._two_lines()))

    def _two_lines(self) -> int:
        return 2 * self.fontMetrics().lineSpacing()


class FixedSentence(Label):
    """Text that changes while a person works and never moves what is below it: always so many lines high.

    The last line ends in an ellipsis where the text is longer; the tooltip then has all of it.

    Parameters
    ----------
    lines : int
    about : str
        What the text is about, in the tooltip.
    """

    def __init__(self, lines: int = 2, about: str = "") -> None:
        super().__init__()
        self._lines, self._about = lines, [about] if about else []
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._set_tip()

    def explain(self, about: Sequence[str]) -> None:
        """Say in the tooltip what the text means, a paragraph each."""
        self._about = list(about)
        self._set_tip()

    def say(self, text: str) -> None:
        """Show a text, or nothing."""
        if text != self.text():
            self.setText(text)
            self._set_tip()

    def shown(self) -> list[str]:
        """Return the lines in sight, the last one shortened where there is more."""
        lines = self._broken()
        if len(lines) <= self._lines:
            return lines
        rest = " ".join(lines[self._lines - 1 :])
        return [
            *lines[: self._lines - 1],
            self.fontMetrics().elidedText(rest, Qt.TextElideMode.ElideRight, self._area().width()),
        ]

    def sizeHint(self) -> QSize:
        """Return the size that it has with any text."""
        return QSize(
            0, self._lines * self.fontMetrics().lineSpacing() + 2
        )  # spacings are rounded: no tail of a y is cut

    minimumSizeHint = sizeHint

    def changeEvent(self, event: QEvent) -> None:
        """Follow the window's font: a layout asks for the height only once."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self.updateGeometry()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Say in the tooltip what no longer fits."""
        super().resizeEvent(event)
        self._set_tip()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the lines in sight."""
        painter, metrics = QPainter(self), self.fontMetrics()
        area = self._area()
        for i, line in enumerate(self.shown()):
            painter.drawText(QPointF(area.left(), area.top() + metrics.ascent() + i * metrics.lineSpacing()), line)
        painter.end()

    def _area(self) -> QRect:
        return self.contentsRect().adjusted(_INDENT, 0, -_INDENT, 0)

    def _set_tip(self) -> None:
        whole = len(self._broken()) <= self._lines
        told = self._about if whole else [*self.text().split("\n"), *self._about]
        self.setToolTip(paragraphs(told) if told else "")

    def _broken(self) -> list[str]:
        """Break the text into lines of the label's width."""
        width = self._area().width()
        broken = []
        for part in self.text().split("\n") if self.text() else []:
            layout = QTextLayout(part, self.font())
            layout.beginLayout()
            while (line := layout.createLine()).isValid():
                line.setLineWidth(width)
                broken.append(part[line.textStart() : line.textStart() + line.textLength()].strip())
            layout.endLayout()
        return broken


class Banner(Sentence):
    """A warning that cannot be overlooked; the same colours in the dark and the light theme."""

    def __init__(self) -> None:
        super().__init__()
        self.setStyleSheet(
            "QLabel { background: #f2c14e; color: #201a05; border-radius: 4px; padding: 6px; font-weight: 600; }"
        )


class Note(Sentence):
    """A note that stays in sight and is no alarm: quieter than a banner."""

    def __init__(self) -> None:
        super().__init__(dim=True)
        self._look = "border-left: 3px solid #f2c14e; padding: 0px 0px 0px 6px;"


class _Markup(str):
    """Markup that `paragraphs` made."""


def paragraphs(texts: list[str]) -> str:
    """Write texts as a tooltip that wraps: Qt lays plain text out on one endless line."""
    return _Markup("<qt>" + "".join(f"<p>{escape(text)}</p>" for text in texts) + "</qt>")


def plain_tip(text: str) -> str:
    """Return a text for a tooltip, which Qt must not take for HTML; what `paragraphs` made stays as it is."""
    if isinstance(text, _Markup) or "<" not in text:
        return text
    return paragraphs(text.split("\n"))
