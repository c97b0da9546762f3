"""A pydantic model while a person edits it: fields that a form can show, and the changes that were made. No Qt.

The model keeps its limits, defaults and descriptions; nothing of it is written down here a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from math import floor, log10
from pathlib import Path
from types import NoneType, UnionType
from typing import Generic, Literal, TypeVar, Union, cast, get_args, get_origin

import yaml
from psygnal.containers import EventedDict
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from napari_nh2st.reading.documents import parse_yaml

M = TypeVar("M", bound=BaseModel)
Kind = Literal["switch", "whole number", "number", "choice", "file", "text", "list", "mapping"]
_KINDS: dict[object, Kind] = {bool: "switch", int: "whole number", float: "number", Path: "file", str: "text"}


@dataclass(frozen=True)
class FormField:
    """A field of a model, or of a model inside it.

    Attributes
    ----------
    name : str
        Dotted: "architecture.width".
    annotation : object
        Its type, without None.
    kind : str
        A number that may be None is a "text". A "mapping" is typed as YAML has it in a line.
    default : object
    optional : bool
        Whether it may be None.
    description : str
    low, high : float or None
        The least and the greatest value; for a number that must be more or less, the value that it must not reach.
    limits : str
        The same in words; empty where there are none.
    step : float
        Of a number: a hundredth to a tenth of the default.
    choices : tuple
    title : str
        What a person reads instead of its name; empty where the name says it.
    options : mapping
        More for the widget, from the field's `json_schema_extra`: {"mode": "w"} for a file to be written.
    """

    name: str
    annotation: object
    kind: Kind
    default: object
    optional: bool = False
    description: str = ""
    low: float | None = None
    high: float | None = None
    limits: str = ""
    step: float = 1
    choices: tuple[object, ...] = ()
    options: Mapping[str, object] = dataclass_field(default_factory=dict)
    title: str = ""

    @property
    def label(self) -> str:
        """The name as a person reads it: "learning rate"."""
        return self.title or self.name.rpartition(".")[2].replace("_", " ")

    def text(self, value: object) -> str:
        """Write a value as a person types it; None is empty."""
        if isinstance(value, dict):
            return yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False).strip()
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value)

    def value_of(self, text: str) -> object:
        """Return what was typed; the model turns it into a number where it should be one."""
        if self.kind == "mapping" and text.strip():
            try:
                return parse_yaml(text)
            except ValueError:
                return text.strip()  # the model says that it is none
        parts = [part.strip() for part in text.replace(";", ",").replace("\n", ",").split(",")]
        value: object = [part for part in parts if part] if self.kind == "list" else text.strip()
        return None if self.optional and not value else value


def fields_of(model: type[BaseModel]) -> dict[str, FormField]:
    """Return the fields of a model by their dotted names, in its order.

    Raises
    ------
    TypeError
        If a form cannot show a field of this type.
    """
    fields: dict[str, FormField] = {}
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            inner = info.get_default(call_default_factory=True)
            for part in fields_of(info.annotation).values():
                default = _looked_up(inner, part.name)
                fields[f"{name}.{part.name}"] = _replaced(part, f"{name}.{part.name}", default)
        else:
            fields[name] = _field(name, info)
    return fields


def _replaced(part: FormField, name: str, default: object) -> FormField:
    return FormField(**{**part.__dict__, "name": name, "default": default})


def _field(name: str, info: FieldInfo) -> FormField:
    annotation, optional = _without_none(info.annotation)
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    options = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    if annotation is str and not optional and "choices" in options:  # the rows of a table
        choices = tuple(cast(list[object], options["choices"]))
        annotation = Literal[choices]
    kind: Kind | None = "choice" if choices else "list" if annotation == list[str] else _KINDS.get(annotation)
    kind = "mapping" if get_origin(annotation) is dict else kind
    if kind is None:
        raise TypeError(f"{name}: a form has no widget for {annotation}")
    default = info.get_default(call_default_factory=True)
    step = _step(default) if kind == "number" else 1
    low, high, limits = _limits(info, whole=kind == "whole number")
    if optional and kind in ("whole number", "number"):
        kind = "text"  # a spin box has no None, and would turn it into its lowest value
    said = info.description or ""
    return FormField(
        name, annotation, kind, default, optional, said, low, high, limits, step, choices, options, info.title or ""
    )


def _without_none(annotation: object) -> tuple[object, bool]:
    """Return the other type of an optional one, and whether it was one."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    others = [part for part in parts if part is not NoneType]
    return others[0] if len(others) == 1 else annotation, len(others) < len(parts)


def _limits(info: FieldInfo, *, whole: bool) -> tuple[float | None, float | None, str]:
    """Return the limits of a number, and the same in words."""
    given: dict[str, float] = {}
    for limit in info.metadata:
        for name in ("ge", "gt", "le", "lt"):
            value = getattr(limit, name, None)
            if isinstance(value, int | float):
                given[name] = value
    if whole:  # what it must be more than is not one of them
        given |= {"ge": given.pop("gt") + 1} if "gt" in given else {}
        given |= {"le": given.pop("lt") - 1} if "lt" in given else {}
    low, high = given.get("ge", given.get("gt")), given.get("le", given.get("lt"))
    if "ge" in given and "le" in given:
        return low, high, f"{low:g} to {high:g}"
    forms = {"ge": "{:g} or more", "gt": "more than {:g}", "le": "{:g} or less", "lt": "less than {:g}"}
    return low, high, ", ".join(form.format(given[name]) for name, form in forms.items() if name in given)


def _step(default: object) -> float:
    """Return a hundredth to a tenth of a number: 0.0001 for 0.001, 0.01 for 0.8."""
    size = abs(default) if isinstance(default, int | float) else 0
    return float(10.0 ** (floor(log10(size)) - 1)) if size else 0.1


def _looked_up(model: object, name: str) -> object:
    for part in name.split("."):
        model = getattr(model, part)
    return model


class Draft(Generic[M]):
    """Changes to a model that is not changed itself: a wrong value stays in sight until it is mended.

    Parameters
    ----------
    base : BaseModel
        Values that nobody has touched are its own, to the last digit.

    Attributes
    ----------
    fields : dict of FormField
    touched : EventedDict
        Dotted names of fields -> values as they were chosen or typed; it tells its listeners (`events`).
    """

    def __init__(self, base: M) -> None:
        self.base = base
        self.fields = fields_of(type(base))
        self.touched: EventedDict[str, object] = EventedDict()

    def value(self, name: str) -> object:
        """Return the value of a field, right or wrong."""
        return self.touched[name] if name in self.touched else _looked_up(self.base, name)

    def change(self, name: str, value: object) -> None:
        """Take a value over; that of the base counts as untouched."""
        before, field = _looked_up(self.base, name), self.fields[name]
        if value == before or (isinstance(value, str) and value == field.text(before)):
            self.touched.pop(name, None)
        elif name not in self.touched or value != self.touched[name]:
            self.touched[name] = value

    def reset(self, name: str) -> None:
        """Give a field the default of its model."""
        self.change(name, self.fields[name].default)

    def is_default(self, name: str) -> bool:
        """Return True if a field has the default of its model."""
        field, value = self.fields[name], self.value(name)
        return value == field.default or (isinstance(value, str) and value == field.text(field.default))

    @property
    def problem(self) -> str:
        """Say in a line why these values cannot be used; empty where they can."""
        try:
            self.result()
        except ValidationError as error:
            return _problem(error, self.fields)
        return ""

    def result(self) -> M:
        """Return the model with its changes.

        Raises
        ------
        pydantic.ValidationError
            If a value or a combination of values is wrong.
        """
        return type(self.base).model_validate(_updated(self.base.model_dump(), self.touched))

    def explicit(self) -> dict[str, object]:
        """Return the values that are not the defaults, models inside the model as dictionaries, for a file.

        Raises
        ------
        pydantic.ValidationError
            If a value or a combination of values is wrong.
        """
        return self.result().model_dump(mode="json", exclude_defaults=True)


def _updated(values: dict[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    for name, value in changes.items():
        inner = values
        *path, last = name.split(".")
        for part in path:
            inner = cast(dict[str, object], inner[part])
        inner[last] = value
    return values


def _problem(error: ValidationError, fields: Mapping[str, FormField]) -> str:
    said = []
    for each in error.errors():
        name = ".".join(part for part in map(str, each["loc"]) if not part.isdigit())
        message = each["msg"].removeprefix("Value error, ").removeprefix("Input ").partition(", unable to parse")[0]
        said.append(f"{fields[name].label} {message}" if name in fields else message)
    return "; ".join(said)
