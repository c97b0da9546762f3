"""One line of the table of readers: files that we wrote, back as predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.display import Display
from napari_nh2st.formats.table import CARD, DISPLAY, FACTS
from napari_nh2st.geometry import FloatArray, IntArray, TileSet
from napari_nh2st.model.card import Card
from napari_nh2st.model.decoder import Decoder

MOST_GENES = 5_000  # values are kept as a vector a tile, and decoded by a square matrix
_OFF = 0.5  # level-0 pixels that a tile may lie off its place on the lattice


@dataclass(frozen=True)
class Importer:
    """One format that predictions are read from.

    Attributes
    ----------
    name : str
        Its key in `EXPORTERS`.
    read : callable
        ``read(path)`` returns what a file holds, or the prediction itself. It may raise anything where the file is
        another one.
    """

    name: str
    read: Callable[[Path], Contents | Prediction]


@dataclass(frozen=True, eq=False)
class Contents:
    """The content of a file that `export` wrote.

    Attributes
    ----------
    record : dict
        The provenance, with the model's card.
    genes : sequence of str
    values : (n, G) float32
    grid : (n, 2) int64, optional
        Lattice index (row, column) of each tile.
    centres : (n, 2) float64, optional
        (x, y), level-0 pixels.
    """

    record: dict[str, Any]
    genes: Sequence[str]
    values: npt.NDArray[np.float32]
    grid: IntArray | None = None
    centres: FloatArray | None = None


def restored(contents: Contents) -> Prediction:
    """Make a prediction of what a file holds: its values are its hidden vectors.

    Raises
    ------
    Nh2stError
        If the record and the table contradict each other, or one of them is not as it was written.
    """
    record, genes = contents.record, list(contents.genes)
    if CARD not in record:
        raise Nh2stError("it was written by an earlier version, without the model's card: export it again")
    if len(genes) > MOST_GENES:
        raise Nh2stError(f"it holds {len(genes):,} genes, and a table of at most {MOST_GENES:,} can be opened again")
    try:
        card = Card.model_validate(record[CARD]).only(genes)
        slide, where = dict(record["slide"]), dict(record["places"])
        places = _places(contents, card.scale_on(float(record["mpp"])), where, card)
        if len(places) != len(contents.values):
            raise ValueError(f"{len(places):,} tiles, but values of {len(contents.values):,}")
        if not np.isfinite(contents.values).all():
            raise ValueError("values are missing")
    except ValidationError as error:
        raise Nh2stError(f"the model's card is not as it was written: {error.errors()[0]['msg']}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise Nh2stError(f"it is not as it was written: {error}") from error
    slide.setdefault("mpp", float(record["mpp"]))
    provenance = {key: value for key, value in record.items() if key not in FACTS}
    values = np.ascontiguousarray(contents.values, dtype=np.float32)
    return Prediction(places, values, Decoder.of_values(len(genes)), card, slide, provenance)


def _places(contents: Contents, scale: float, where: dict[str, Any], card: Card) -> TileSet:
    pitch = int(where["pitch_model_px"])
    if not where["lattice"]:
        if contents.centres is None:
            raise ValueError("it does not say where its tiles are")
        return TileSet.at(contents.centres, scale=scale, pitch=pitch)
    if contents.grid is None or (contents.grid < 0).any():
        raise ValueError("it does not say where its tiles lie on the lattice")
    grid = np.asarray(contents.grid, dtype=np.int64).reshape(-1, 2)
    centres = (grid[:, ::-1].astype(np.float64) * pitch + card.patch / 2) * scale
    if contents.centres is not None and np.abs(contents.centres - centres).max(initial=0) > _OFF:
        raise ValueError("its tiles do not lie where the model's lattice has them")
    return TileSet(centres, scale, pitch, grid)


def display_of(prediction: Prediction) -> Display | None:
    """Return how a prediction was shown when it was written; None if nobody looked at it, or that is not sound."""
    try:
        return Display.model_validate(prediction.provenance[DISPLAY])
    except (KeyError, ValidationError):
        return None
