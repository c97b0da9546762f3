"""The description of a prediction folder: what it is of, how large it is, and a checksum over all of that."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_nh2st.engine.tile_arrays import METADATA, ArraySpec, read_json, write_json
from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.card import SCHEMA_VERSION, Card
from napari_nh2st.model.decoder import Decoder, ValuesDecoder

SCHEMA = 2
KEY = "nh2st"
MOST_TILES = 1 << 27
MOST_BYTES = 1 << 28  # of zarr.json: the card of twenty thousand genes takes a hundredth
_SAME = 1e-6  # relative difference of two scales that are computed alike

Facts = dict[str, Any]


class DamagedResult(Nh2stError):
    """A prediction folder that cannot be believed."""

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"{path} is damaged: {reason}. Run the same nh2st predict again: it computes what is damaged once more"
        )


class NewerResult(Nh2stError):
    """A prediction folder that a newer version has written."""


@dataclass(frozen=True)
class Header:
    """The description of a prediction folder.

    Attributes
    ----------
    signature : dict
        Everything that the numbers depend on; it must match when a run goes on.
    lattice : dict
        ``scale``, ``pitch`` and ``patch``: where tile (row, column) lies.
    card, decoder, slide, provenance
        As in `Prediction`.
    """

    signature: Facts
    lattice: Facts
    card: Card
    decoder: Decoder
    slide: Facts
    provenance: Facts

    def meta(self, grid: tuple[int, int], chunk: int) -> Facts:
        """Return the group's attributes; the decoder has arrays of its own."""
        meta = {
            "schema": SCHEMA,
            "signature": self.signature,
            "lattice": {**self.lattice, "rows": grid[0], "columns": grid[1]},
            "arrays": {"chunk": chunk, "hidden": self.decoder.width, "decoder": digest_of(self.decoder)},
            "card": self.card.model_dump(mode="json"),
            "slide": self.slide,
            "provenance": self.provenance,
        }
        return checked(meta)


class Lattice(BaseModel):
    """Places of the tiles; lengths in model pixels, `scale` in level-0 pixels each."""

    scale: float = Field(gt=0, allow_inf_nan=False)
    pitch: int = Field(gt=0)
    patch: int = Field(gt=0)
    rows: int = Field(gt=0)
    columns: int = Field(gt=0)


class Arrays(BaseModel):
    """Sizes of the arrays, and the digest of the decoder's."""

    chunk: int = Field(gt=0, le=4096)
    hidden: int = Field(gt=0, le=1 << 16)
    decoder: str


class SlideShape(BaseModel):
    """The facts about a slide that the lattice must agree with; the others are only shown."""

    model_config = ConfigDict(extra="allow")

    shape: tuple[int, int] | None = None
    mpp: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Stored(BaseModel):
    """The content of a sound zarr.json."""

    signature: Facts
    lattice: Lattice
    arrays: Arrays
    card: Card
    slide: SlideShape
    provenance: Facts

    @property
    def specs(self) -> dict[str, ArraySpec]:
        """The arrays of the folder."""
        rows, columns = self.lattice.rows, self.lattice.columns
        chunk, width, genes = self.arrays.chunk, self.arrays.hidden, len(self.card.genes)
        chunks = (-(-rows // chunk), -(-columns // chunk))
        return {
            "hidden": ArraySpec((rows, columns, width), (chunk, chunk, width), "float16", math.nan),
            "seal": ArraySpec((rows, columns), (chunk, chunk), "uint64"),
            "state": ArraySpec((rows, columns), (chunk, chunk), "uint8"),
            "count": ArraySpec(chunks, chunks, "uint32"),
            **({} if self.direct else _decoder_specs(genes, width)),
        }

    @property
    def direct(self) -> bool:
        """True if the vectors are values of genes, and there is no decoder: of someone else's model."""
        return not self.arrays.decoder

    def contradiction(self) -> str | None:
        """Return how the parts disagree, None where they agree."""
        lattice, shape, mpp = self.lattice, self.slide.shape, self.slide.mpp
        if lattice.rows * lattice.columns > MOST_TILES:
            return f"it claims {lattice.rows} x {lattice.columns} tiles, more than any slide has"
        if self.direct and self.arrays.hidden != len(self.card.genes):
            return "its values and its model's genes disagree"
        if lattice.patch != self.card.patch:
            return "its tiles and its model's card disagree"
        if mpp is not None and not math.isclose(lattice.scale, self.card.scale_on(mpp), rel_tol=_SAME):
            return "its scale, the slide's pixel size and the model's disagree"
        if shape is not None:
            cell = lattice.scale * lattice.pitch
            if any(n > math.ceil(side / cell) for n, side in zip((lattice.rows, lattice.columns), shape, strict=True)):
                return "its lattice is larger than the slide"
        return None


def _decoder_specs(genes: int, width: int) -> dict[str, ArraySpec]:
    return {
        "weight": ArraySpec((genes, width), (genes, width), "float32"),
        "bias": ArraySpec((genes,), (genes,), "float32"),
    }


def digest_of(decoder: Decoder) -> str:
    """Return the SHA-256 of a decoder's numbers; nothing where it has none."""
    if isinstance(decoder, ValuesDecoder):
        return ""
    digest = hashlib.sha256()
    for values in (decoder.weight, decoder.bias):
        digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())
    return digest.hexdigest()


def _check(meta: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in meta.items() if name != "check"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def checked(meta: Facts) -> Facts:
    """Return a description with a checksum over itself."""
    return {**meta, "check": _check(meta)}


def write_header(folder: Path, meta: Facts) -> None:
    """Write the group's zarr.json."""
    write_json(folder / METADATA, {"zarr_format": 3, "node_type": "group", "attributes": {KEY: meta}})


def read_header(folder: Path) -> tuple[Facts, Stored]:
    """Read the group's zarr.json: its attributes, as they stand there and checked.

    Raises
    ------
    DamagedResult
        If it does not say of itself, bit for bit, what was written; or its parts contradict each other.
    NewerResult
        If a newer version has written it.
    """
    document = read_json(folder / METADATA, MOST_BYTES)
    if document is None:
        there = (folder / METADATA).exists()
        raise DamagedResult(folder, "its zarr.json cannot be read" if there else "its zarr.json is missing")
    meta = document.get("attributes") if isinstance(document, dict) else None
    meta = meta.get(KEY) if isinstance(meta, dict) else None
    if not isinstance(meta, dict):
        raise DamagedResult(folder, "its zarr.json describes no prediction")
    _refuse_newer(folder, meta)
    if document != {"zarr_format": 3, "node_type": "group", "attributes": {KEY: meta}} or meta.get("schema") != SCHEMA:
        raise DamagedResult(folder, "it was written by an older version, or not to its end")
    if meta.get("check") != _check(meta):
        raise DamagedResult(folder, "its zarr.json does not match its checksum")
    try:
        stored = Stored.model_validate(meta)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise DamagedResult(folder, f"its zarr.json has no usable {where}") from error
    reason = stored.contradiction()
    if reason is not None:
        raise DamagedResult(folder, reason)
    return meta, stored


def _refuse_newer(folder: Path, meta: Facts) -> None:
    card = meta.get("card")
    card_schema = card.get("schema_version") if isinstance(card, dict) else None
    for what, version, ours in (("form", meta.get("schema"), SCHEMA), ("card", card_schema, SCHEMA_VERSION)):
        if isinstance(version, int) and version > ours:
            raise NewerResult(
                f"{folder} was made by a newer version of napari-nh2st (its {what} is of version {version}, "
                f"this one reads up to {ours}): update napari-nh2st, or predict into another folder"
            )
