"""Text in a window that is wider than its widget."""

from __future__ import annotations

from collections.abc import Iterator

from qtpy.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QComboBox,
    QLabel,
    QPushButton,
    QRadioButton,
    QStyle,
    QStyleOptionButton,
    QStyleOptionComboBox,
    QWidget,
)

_SLACK = 1  # pixel, of rounding


def cut_texts(body: QWidget) -> Iterator[str]:
    """Yield what is cut off of the labels, buttons and lists in sight; a combo box has room for what it shows now."""
    for widget in body.findChildren(QWidget):
        if not widget.isVisible():
            continue
        text, room = _text_and_room(widget)
        wide = max((widget.fontMetrics().horizontalAdvance(line) for line in text.split("\n")), default=0)
        if text and wide > room + _SLACK:
            yield f"{type(widget).__name__} {text!r}: {wide} > {room}"
        right = widget.mapTo(body, widget.rect().topRight()).x()
        if right > body.width():
            yield f"{type(widget).__name__} {text!r} ends at {right} of {body.width()}"


def _text_and_room(widget: QWidget) -> tuple[str, int]:
    style = widget.style()
    if isinstance(widget, QComboBox):
        option = QStyleOptionComboBox()
        widget.initStyleOption(option)
        field = QStyle.SubControl.SC_ComboBoxEditField
        return widget.currentText(), style.subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, field, widget
        ).width()
    if isinstance(widget, QPushButton | QCheckBox | QRadioButton):
        option = QStyleOptionButton()
        widget.initStyleOption(option)
        part = {QPushButton: "SE_PushButtonContents", QCheckBox: "SE_CheckBoxContents"}
        name = next((n for kind, n in part.items() if isinstance(widget, kind)), "SE_RadioButtonContents")
        return widget.text().replace("&&", "&"), style.subElementRect(
            getattr(QStyle.SubElement, name), option, widget
        ).width()
    if isinstance(widget, QAbstractButton):
        return widget.text(), widget.width()
    if (
        isinstance(widget, QLabel)
        and not widget.wordWrap()
        and not widget.pixmap().width()
        and not hasattr(widget, "shown")
    ):
        return widget.text(), widget.contentsRect().width()
    return "", 0
