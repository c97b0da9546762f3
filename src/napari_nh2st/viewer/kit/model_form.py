"""A form for the fields of a pydantic model, with the widgets that magicgui has for their types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from magicgui.widgets import LineEdit, create_widget
from magicgui.widgets.bases import ValueWidget
from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QGridLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from napari_nh2st.viewer.kit.layout import rule
from napari_nh2st.viewer.kit.model_draft import Draft, FormField
from napari_nh2st.viewer.kit.texts import Label, paragraphs, plain_tip

AUTOMATIC = "automatic"
_MOST = 10**9
_DIGITS = 10  # after the point, at most
_OTHERS = "Other"


class Row:
    """A field: its label, its widget and a button that gives it its default again.

    Parameters
    ----------
    field : FormField
    draft : Draft
        Takes what is chosen.
    reason_off : str
        Why the field cannot be changed; empty where it can.
    words : mapping, optional
        What a person reads for its choices.
    """

    def __init__(
        self, field: FormField, draft: Draft[Any], reason_off: str = "", words: Mapping[str, str] | None = None
    ) -> None:
        self.field, self._draft, self._reason_off = field, draft, reason_off
        self.label = Label(field.label)
        self.widget = _widget(field, draft.value(field.name), words or {})
        self.reset = QToolButton()
        self.reset.setText("↺")
        self.reset.setAutoRaise(True)
        self.reset.clicked.connect(lambda: draft.reset(field.name))
        self.native.setEnabled(not reason_off)
        for part in (self.label, self.native):
            part.setToolTip(paragraphs(_explained(field, reason_off)))
        self.widget.changed.connect(self._changed)
        self.update()

    @property
    def native(self) -> QWidget:
        """The Qt widget."""
        return self.widget.native

    def update(self) -> None:
        """Show the value that the draft has."""
        value = self._draft.value(self.field.name)
        if value != self._chosen():
            _show(self.widget, self.field, value)
        default = self._draft.is_default(self.field.name)
        font = self.label.font()
        font.setBold(not default)
        self.label.setFont(font)
        self.reset.setEnabled(not default and not self._reason_off)
        self.reset.setToolTip(
            plain_tip("This is the default" if default else f"Back to the default: {_default(self.field)}")
        )

    def _chosen(self) -> object:
        value = self.widget.value
        return self.field.value_of(value) if isinstance(self.widget, LineEdit) else value

    def _changed(self) -> None:
        self._draft.change(self.field.name, self._chosen())


class ModelForm(QScrollArea):
    """All fields of a model, in groups, one below the other.

    Parameters
    ----------
    draft : Draft
        What is chosen goes there; what changes there is shown.
    groups : mapping of str to sequence of str
        Titles and the names of their fields. A model inside the model is one name. What is in no group comes last.
    reasons_off : mapping, optional
        Names of fields that cannot be changed -> why.
    words : mapping, optional
        Names of fields -> what a person reads for each of their choices.

    Attributes
    ----------
    rows : dict of Row
    """

    def __init__(
        self,
        draft: Draft[Any],
        groups: Mapping[str, Sequence[str]],
        reasons_off: Mapping[str, str] | None = None,
        words: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__()
        self._draft = draft
        reasons, words = reasons_off or {}, words or {}
        self.rows = {
            name: Row(field, draft, reasons.get(name, reasons.get(name.partition(".")[0], "")), words.get(name))
            for name, field in draft.fields.items()
        }
        self._wheel = _NoWheel(self)
        body = QWidget()
        self._grid = QGridLayout(body)
        self._grid.setContentsMargins(8, 8, 8, 8)
        self._grid.setSpacing(6)
        self._grid.setColumnStretch(1, 1)
        self._lay_out(groups)
        self.setWidget(body)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        draft.touched.events.connect(self._refresh)
        self.destroyed.connect(partial(draft.touched.events.disconnect, self._refresh, missing_ok=True))

    def sizeHint(self) -> QSize:
        """Return the width of the rows, and a height that a small screen has."""
        body = self.widget().sizeHint()
        return QSize(body.width() + self.verticalScrollBar().sizeHint().width(), min(body.height(), 520))

    def show_field(self, name: str) -> None:
        """Bring a field into sight."""
        self.ensureWidgetVisible(self.rows[name].native)

    def _lay_out(self, groups: Mapping[str, Sequence[str]]) -> None:
        placed: set[str] = set()
        for title, names in groups.items():
            members = [name for top in names for name in self.rows if name == top or name.startswith(f"{top}.")]
            self._add_group(title, members)
            placed |= set(members)
        left = [name for name in self.rows if name not in placed]
        if left:
            self._add_group(_OTHERS, left)
        self._grid.setRowStretch(self._grid.rowCount(), 1)

    def _add_group(self, title: str, names: Sequence[str]) -> None:
        at = self._grid.rowCount()
        if self.rows and at > 1:
            self._grid.addWidget(rule(), at, 0, 1, 3)
            at += 1
        heading = Label(title)
        heading.setStyleSheet("QLabel { font-weight: 600; }")
        self._grid.addWidget(heading, at, 0, 1, 3)
        for line, name in enumerate(names, at + 1):
            row = self.rows[name]
            for part in (row.native, *row.native.findChildren(QWidget)):
                if isinstance(part, QAbstractSpinBox | QComboBox):
                    part.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                    part.installEventFilter(self._wheel)
            for column, part in enumerate((row.label, row.native, row.reset)):
                self._grid.addWidget(part, line, column)

    def _refresh(self) -> None:
        for row in self.rows.values():
            row.update()


class _NoWheel(QObject):
    """Keeps a turn of the wheel, which scrolls the form, from changing what happens to lie under the mouse."""

    def eventFilter(self, widget: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return False


def _widget(field: FormField, value: object, words: Mapping[str, str]) -> ValueWidget[Any]:
    """Return the widget that magicgui has for a type; one for text where it has none that fits."""
    if field.kind in ("text", "list", "mapping"):
        made = LineEdit(name=field.name)
        empty = _default(field) if field.optional else ""
        made.native.setPlaceholderText(str(field.options.get("placeholder", empty)))
    else:
        options = {"nullable": True, **field.options} if field.kind == "file" else _options(field)
        if field.kind == "choice":
            spoken = [(words.get(str(choice), str(choice).replace("-", " ")), choice) for choice in field.choices]
            options = {**options, "choices": spoken}
        made = create_widget(annotation=field.annotation, name=field.name, options=options)
        if field.kind == "switch":
            made.native.setText("")  # its name stands before it
    _show(made, field, value)
    for part in (made.native, *made.native.findChildren(QWidget)):
        if isinstance(part, QPushButton):
            part.setAutoDefault(False)  # Enter in another field of a dialog would press it
        if isinstance(part, QAbstractSpinBox):
            part.setKeyboardTracking(False)  # the first digit of a number is no number yet
        if isinstance(part, QLineEdit | QComboBox | QAbstractSpinBox):
            part.setMinimumWidth(120)
            part.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return made


def _show(widget: ValueWidget[Any], field: FormField, value: object) -> None:
    """Give a widget a value, and a number all its digits, without a word to its listeners."""
    with widget.changed.blocked():
        if isinstance(widget.native, QDoubleSpinBox):
            digits = max(-Decimal(str(number)).as_tuple().exponent for number in (field.step / 10, value))
            widget.native.setDecimals(min(digits, _DIGITS))
        widget.value = field.text(value) if isinstance(widget, LineEdit) else value


def _options(field: FormField) -> dict[str, Any]:
    if field.kind not in ("whole number", "number"):
        return {}
    low, high = -_MOST if field.low is None else field.low, _MOST if field.high is None else field.high
    return {"min": low, "max": high, "step": field.step}


def _default(field: FormField) -> str:
    if field.kind == "switch":
        return "on" if field.default else "off"
    nothing = AUTOMATIC if field.annotation in (int, float) else "none"
    return field.text(field.default) or nothing


def _explained(field: FormField, reason_off: str) -> list[str]:
    about = f"{field.description[:1].upper()}{field.description[1:]}"
    facts = [f"Setting {field.name}", field.limits, f"default: {_default(field)}"]
    if field.kind == "list":
        facts.insert(1, "separated by commas")
    return [text for text in (reason_off, about, "; ".join(fact for fact in facts if fact)) if text]
