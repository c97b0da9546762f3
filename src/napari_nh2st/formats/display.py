"""The view on screen as a file: genes, colours, limits and part of the slide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_nh2st.atomic import finished_file
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import Box
from napari_nh2st.reading import contents, parse_json, reason

VERSION: Literal[1] = 1
_LIMIT = 10**7  # bytes

Finite = Annotated[float, Field(allow_inf_nan=False)]
Pair = tuple[Finite, Finite]


class _Strict(BaseModel):
    """A strict model: it takes no text for a number and refuses unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Subject(_Strict):
    """The subject of a picture: slide, model and detail.

    Attributes
    ----------
    slide, fingerprint : str or None
        The slide's file, and its identity whatever the file's name.
    mpp : float or None
        Micrometres per level-0 pixel at which it was predicted.
    model, model_hash : str
        The model's name or folder, and the identity of its weights.
    pitch : int
        Distance between places, model pixels.
    """

    slide: str | None = None
    fingerprint: str | None = None
    mpp: Finite | None = None
    model: str
    model_hash: str | None = None
    pitch: int


class Display(_Strict):
    """Display settings of a prediction.

    Attributes
    ----------
    nh2st_display : int
        Version of the file.
    genes : tuple of str
        At least one; the first is the main one.
    colormap : str
        A name that matplotlib and napari share.
    percentiles : (low, high)
        The part of a gene's values that the colours span if `limits` does not name the gene.
    limits : dict of (low, high)
        By gene, in the model's unit.
    locked : bool
        Every gene has the limits of the main one.
    opacity : float
        Of the heatmap over the tissue, 0 to 1.
    smooth : bool
        Interpolate between places for the eye; the values are the same.
    region : (x, y, width, height) or None
        Level-0 pixels; None is all that is predicted.
    of : Subject or None
    """

    nh2st_display: Literal[1] = VERSION
    genes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    colormap: str = "viridis"
    percentiles: Pair = (1.0, 99.0)
    limits: dict[str, Pair] = Field(default_factory=dict)
    locked: bool = False
    opacity: Annotated[float, Field(ge=0, le=1)] = 0.7
    smooth: bool = False
    region: tuple[Finite, Finite, Finite, Finite] | None = None
    of: Subject | None = None

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, fields: Any) -> Any:
        """Take lists for tuples, and one text for one gene."""
        if not isinstance(fields, dict):
            return fields
        taken: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        if isinstance(taken.get("genes"), str):
            taken["genes"] = (taken["genes"],)
        if isinstance(taken.get("limits"), dict):
            pairs = taken["limits"].items()
            taken["limits"] = {gene: tuple(pair) if isinstance(pair, list) else pair for gene, pair in pairs}
        return taken

    @model_validator(mode="after")
    def _in_order(self) -> Display:
        twice = sorted({gene for gene in self.genes if self.genes.count(gene) > 1})
        wrong = (
            (bool(twice), f"{', '.join(twice)} is named twice"),
            (not 0 <= self.percentiles[0] < self.percentiles[1] <= 100, "percentiles go from 0 to 100, lower first"),
            (any(low >= high for low, high in self.limits.values()), "of two limits the lower comes first"),
            (self.region is not None and min(self.region[2:]) <= 0, "a region is X,Y,WIDTH,HEIGHT and has an area"),
        )
        for holds, says in wrong:
            if holds:
                raise ValueError(says)
        return self

    @property
    def box(self) -> Box | None:
        """The region as a box, level-0 pixels."""
        return None if self.region is None else Box.from_xywh(*self.region)

    def limits_for(self, gene: str) -> tuple[float, float] | None:
        """Return the limits set for a gene, None if its values decide."""
        return self.limits.get(gene, self.limits.get(self.genes[0]) if self.locked else None)

    def changed(self, **fields: Any) -> Display:
        """Return a copy with other fields.

        Raises
        ------
        Nh2stError
            It names the field that is wrong.
        """
        return display_of(**{**self.model_dump(), **fields})


def display_of(**fields: Any) -> Display:
    """Make display settings from a person's choices.

    Raises
    ------
    Nh2stError
        It names the field that is wrong.
    """
    try:
        return Display.model_validate(fields)
    except ValidationError as error:
        raise Nh2stError(_first(error)) from error


def same_slide(display: Display, fingerprint: str | None) -> bool:
    """Return True if a display was made on the slide with this fingerprint, or names no slide."""
    return display.of is None or display.of.fingerprint is None or display.of.fingerprint == fingerprint


def save_display(display: Display, path: str | Path) -> Path:
    """Write display settings as JSON; the file appears when it is complete."""
    with finished_file(path) as draft:
        draft.write_text(display.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return Path(path)


def load_display(path: str | Path) -> Display:
    """Read display settings.

    Raises
    ------
    Nh2stError
        If the file is missing, is no saved view, was written by another version, or has a wrong field.
    """
    try:
        document = parse_json(contents(path, _LIMIT))
    except OSError as error:
        raise Nh2stError(f"{path} cannot be read: {reason(error)}") from error
    except ValueError:  # neither text nor JSON
        document = None
    if not isinstance(document, dict) or "nh2st_display" not in document:
        raise Nh2stError(f"{path} is not a saved view: give a file that “Save view…” wrote")
    if document["nh2st_display"] != VERSION:
        version = document["nh2st_display"]
        raise Nh2stError(f"{path} is a view of another version of napari-nh2st (format {version}, here {VERSION})")
    try:
        return Display.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise Nh2stError(f"{path}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    """Describe the first wrong field in one line."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    says = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {says}" if where else says
