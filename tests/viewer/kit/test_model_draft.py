"""Changes to a model that is being edited: nothing is lost, nothing is invented."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from napari_nh2st.viewer.kit.model_draft import Draft, FormField, fields_of


class Engine(BaseModel):
    cylinders: int = Field(default=4, ge=1, le=12)
    fuel: Literal["petrol", "diesel"] = "petrol"


class Car(BaseModel):
    name: str = "car"
    owner: str | None = None
    engine: Engine = Engine(cylinders=6)
    seats: int = Field(default=5, gt=0, lt=9, description="of the car")
    doors: int | None = Field(default=None, ge=2)
    weight: float = Field(default=0.001, gt=0)
    width: float | None = Field(default=None, gt=0.5, lt=3)
    extras: list[str] | None = Field(default=None, min_length=1)
    picture: Path | None = None
    roof: bool = True

    @model_validator(mode="after")
    def _room(self) -> Car:
        if self.seats > 4 and not self.roof:
            raise ValueError("an open car has four seats at most")
        return self


FIELDS = fields_of(Car)


def test_a_field_has_the_limits_and_the_words_of_the_model() -> None:
    assert list(FIELDS)[2:4] == ["engine.cylinders", "engine.fuel"]
    assert FIELDS["engine.cylinders"].default == 6
    seats = FIELDS["seats"]
    assert (seats.low, seats.high, seats.limits, seats.description) == (1, 8, "1 to 8", "of the car")
    assert FIELDS["weight"].limits == "more than 0"
    assert FIELDS["width"].limits == "more than 0.5, less than 3"
    assert FIELDS["engine.fuel"].choices == ("petrol", "diesel")
    assert {name: field.kind for name, field in FIELDS.items() if field.optional} == {
        "owner": "text",
        "doors": "text",
        "width": "text",
        "extras": "list",
        "picture": "file",
    }


def test_a_step_goes_with_the_size_of_the_default() -> None:
    assert FIELDS["weight"].step == pytest.approx(1e-4)
    assert FIELDS["seats"].step == 1


def test_a_type_without_a_widget_is_an_error() -> None:
    class Odd(BaseModel):
        table: tuple[int, int] = (1, 2)

    with pytest.raises(TypeError, match="table"):
        fields_of(Odd)


def test_a_mapping_is_typed_as_yaml() -> None:
    class Losses(BaseModel):
        losses: dict[str, dict[str, float]] | None = None

    draft = Draft(Losses())
    field = draft.fields["losses"]
    assert field.kind == "mapping"
    assert field.value_of("") is None
    draft.change("losses", field.value_of("{contrast: {spot: 0.2}}"))
    assert draft.result().losses == {"contrast": {"spot": 0.2}}
    assert field.value_of(field.text(draft.result().losses)) == draft.result().losses
    draft.change("losses", field.value_of("{contrast"))
    assert "losses" in draft.problem


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("doors", " 3 ", "3"),
        ("doors", "", None),
        ("extras", "radio; heated seats,\n", ["radio", "heated seats"]),
        ("extras", " , ", None),
        ("name", "", ""),
    ],
)
def test_what_is_typed_becomes_a_value(name: str, text: str, value: object) -> None:
    assert FIELDS[name].value_of(text) == value


def test_a_list_is_written_as_it_is_typed() -> None:
    field: FormField = FIELDS["extras"]
    assert field.text(["radio", "heated seats"]) == "radio, heated seats"
    assert field.text(None) == ""


def test_what_nobody_touched_stays_to_the_last_digit() -> None:
    draft = Draft(Car(weight=3.3e-6, doors=None))
    assert draft.result() == Car(weight=3.3e-6)
    assert draft.explicit() == {"weight": 3.3e-6}
    draft.change("doors", "4")
    draft.change("engine.fuel", "diesel")
    assert draft.result() == Car(weight=3.3e-6, doors=4, engine=Engine(cylinders=6, fuel="diesel"))
    assert draft.explicit() == {"weight": 3.3e-6, "doors": 4, "engine": {"cylinders": 6, "fuel": "diesel"}}


def test_a_change_back_is_no_change() -> None:
    told: list[Any] = []
    draft = Draft(Car(doors=4))
    draft.touched.events.connect(told.append)
    draft.change("doors", "4")
    draft.change("seats", 5)
    assert (dict(draft.touched), told) == ({}, [])
    draft.change("seats", 2)
    assert told
    draft.change("seats", 5)
    assert dict(draft.touched) == {}


def test_a_field_goes_back_to_its_default_and_not_to_what_was_set() -> None:
    draft = Draft(Car(seats=2))
    assert not draft.is_default("seats")
    draft.reset("seats")
    assert draft.value("seats") == 5
    assert draft.is_default("seats")
    assert draft.explicit() == {}


def test_what_is_wrong_is_a_line_and_is_kept_until_it_is_mended() -> None:
    draft = Draft(Car())
    draft.change("roof", False)
    assert draft.problem == "an open car has four seats at most"
    draft.change("seats", 4)
    assert draft.problem == ""
    draft.change("doors", "many")
    draft.change("engine.cylinders", 20)
    assert draft.problem == "cylinders should be less than or equal to 12; doors should be a valid integer"
    assert draft.value("doors") == "many"
    with pytest.raises(ValidationError):
        draft.result()
    assert draft.base == Car()
