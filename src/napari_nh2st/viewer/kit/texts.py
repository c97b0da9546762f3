"""Text in a dock: sentences, notes, banners."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy


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
        if dim:
            self.setStyleSheet("QLabel { font-size: 11px; }")
        self.setVisible(bool(text))

    def say(self, text: str) -> None:
        """Show a text, or nothing."""
        if text == self.text():
            return
        self.setText(text)
        self.setVisible(bool(text))


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
        super().__init__()
        self.setStyleSheet("QLabel { border-left: 3px solid #f2c14e; padding: 0px 0px 0px 6px; font-size: 11px; }")


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
