"""A form of a model: what a person changes, and only that, reaches the draft."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from magicgui.widgets import FileEdit
from pydantic import BaseModel, Field
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_nh2st.viewer.kit.model_draft import Draft
from napari_nh2st.viewer.kit.model_form import ModelForm

pytestmark = pytest.mark.viewer
KEY, LEFT = Qt.Key, Qt.MouseButton.LeftButton


class Wheels(BaseModel):
    number: int = Field(default=4, ge=2, le=8)


class Car(BaseModel):
    rate: float = Field(default=1e-3, gt=0, description="how fast it learns")
    window: int = Field(default=384, ge=256)
    doors: int | None = Field(default=None, ge=2)
    width: float | None = None
    fuel: Literal["petrol", "diesel"] = "petrol"
    roof: bool = True
    extras: list[str] | None = None
    picture: Path | None = None
    wheels: Wheels = Wheels()
    maker: str | None = None


GROUPS = {"Body": ["doors", "roof", "wheels"], "Engine": ["fuel", "rate"]}


@pytest.fixture
def draft() -> Draft[Car]:
    return Draft(Car(rate=3.3e-6))


@pytest.fixture
def form(qtbot, draft) -> ModelForm:
    made = ModelForm(draft, GROUPS, {"maker": "The maker is chosen in the dock"})
    qtbot.addWidget(made)
    with qtbot.waitExposed(made):
        made.show()
    return made


def type_in(qtbot, widget, text: str) -> None:
    widget.setFocus()
    widget.selectAll()
    qtbot.keyClicks(widget, text)
    qtbot.keyClick(widget, KEY.Key_Return)


def test_a_look_changes_nothing(form, draft) -> None:
    assert dict(draft.touched) == {}
    assert draft.explicit() == {"rate": 3.3e-6}
    assert form.rows["rate"].widget.value == 3.3e-6  # all digits are in sight
    assert form.rows["doors"].widget.value == form.rows["width"].widget.value == ""
    assert form.rows["doors"].native.placeholderText() == "automatic"


def test_groups_come_in_order_and_what_is_in_none_comes_last(form) -> None:
    order = sorted(form.rows, key=lambda name: form.rows[name].native.mapTo(form.widget(), QPoint()).y())
    assert order == ["doors", "roof", "wheels.number", "fuel", "rate", "window", "width", "extras", "picture", "maker"]


def test_what_is_chosen_and_typed_reaches_the_draft(form, draft, qtbot) -> None:
    rows = form.rows
    type_in(qtbot, rows["window"].native, "512")  # its first digit alone is less than the least value
    type_in(qtbot, rows["doors"].native, "3")
    type_in(qtbot, rows["extras"].native, "radio, hook")
    qtbot.keyClick(rows["fuel"].native, KEY.Key_Down)
    qtbot.mouseClick(rows["roof"].native, LEFT, pos=QPoint(8, rows["roof"].native.height() // 2))
    picture = rows["picture"].widget
    assert isinstance(picture, FileEdit)
    type_in(qtbot, picture.line_edit.native, "/tmp/car.png")
    assert draft.result() == Car(
        rate=3.3e-6, window=512, doors=3, extras=["radio", "hook"], fuel="diesel", roof=False, picture="/tmp/car.png"
    )
    for name in ("doors", "extras"):
        type_in(qtbot, rows[name].native, " ")
    type_in(qtbot, picture.line_edit.native, " ")
    assert not draft.touched.keys() & {"doors", "extras"}


def test_a_rate_has_a_step_of_its_own_size(form, draft, qtbot) -> None:
    draft.reset("rate")
    assert form.rows["rate"].widget.value == 1e-3
    qtbot.keyClick(form.rows["rate"].native, KEY.Key_Up)
    assert draft.value("rate") == pytest.approx(1.1e-3)
    type_in(qtbot, form.rows["rate"].native, form.rows["rate"].native.locale().toString(0.00025, "f", 5))
    assert draft.value("rate") == 0.00025


def test_a_field_is_marked_and_goes_back_to_its_default(form, draft, qtbot) -> None:
    row = form.rows["wheels.number"]
    assert not row.reset.isEnabled()
    assert not row.label.font().bold()
    qtbot.keyClick(row.native, KEY.Key_Up)
    assert draft.result().wheels.number == 5
    assert row.label.font().bold()
    assert row.reset.toolTip() == "Back to the default: 4"
    qtbot.mouseClick(row.reset, LEFT)
    assert row.widget.value == 4
    assert not row.label.font().bold()


def test_what_is_wrong_stays_as_it_was_typed(form, draft, qtbot) -> None:
    type_in(qtbot, form.rows["doors"].native, "many")
    assert draft.problem == "doors should be a valid integer"
    draft.change("roof", False)  # everything is shown anew
    assert form.rows["doors"].widget.value == "many"
    assert form.rows["roof"].widget.value is False


def test_a_field_says_what_it_is_or_why_it_is_off(form) -> None:
    tip = form.rows["rate"].native.toolTip()
    assert "How fast it learns" in tip
    assert "more than 0" in tip
    assert "default: 0.001" in tip
    assert not form.rows["maker"].native.isEnabled()
    assert "The maker is chosen in the dock" in form.rows["maker"].label.toolTip()


def test_the_wheel_scrolls_the_form_and_changes_no_number(form, draft) -> None:
    at = QPointF(5, 5)
    for name in ("window", "fuel"):
        wheel = QWheelEvent(
            at, at, QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(form.rows[name].native, wheel)
        assert not wheel.isAccepted()
    assert dict(draft.touched) == {}
