"""Effect of the surroundings on a prediction: take each neighbouring tile away, or all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.places import neighbourhood, slide_box
from napari_nh2st.geometry import SELF, FloatArray, IntArray, TileSet

if TYPE_CHECKING:
    import pandas as pd

    from napari_nh2st.engine.session import Session
    from napari_nh2st.model.card import Card
    from napari_nh2st.model.decoder import Decoder

F16 = npt.NDArray[np.float16]
F32 = npt.NDArray[np.float32]
SQUARE = 2048  # model pixels per side of what is asked for at once: often enough to show how far it is
_ALL = 9  # the row in which all neighbours are taken away


def looks_around(card: Card) -> bool:
    """Return True if a model looks at the neighbouring tiles at all."""
    return card.sees_neighbours


@dataclass(frozen=True, eq=False)
class NeighbourEffects:
    """One place, predicted as it is, without each of its neighbours, and without all of them.

    Attributes
    ----------
    centres : (9, 2) float64
        The place and its neighbours (x, y), level-0 pixels, in the order of `geometry.NEIGHBOUR_STEPS`.
    present : (9,) bool
        False off the slide and on background: the model does not look at such a neighbour.
    hidden : (10, h) float16
        Hidden vectors: row i without neighbour i, row `SELF` with all of them, the last one without any.
    decoder : Decoder
    """

    centres: FloatArray
    present: npt.NDArray[np.bool_]
    hidden: F16
    decoder: Decoder

    def here(self, genes: list[int]) -> F32:
        """Return the prediction as it is, (G,); NaN where the file is damaged."""
        out: F32 = self._decoded(genes)[SELF]
        return out

    def changes(self, genes: list[int]) -> F32:
        """Return the change of the prediction when a neighbour is taken away, (9, G).

        0 for the place itself and for a neighbour that is not there.
        """
        values = self._decoded(genes)
        out: F32 = np.where(self.present[:, None], values[:_ALL] - values[SELF], np.float32(0))
        return out

    def change_alone(self, genes: list[int]) -> F32:
        """Return the change of the prediction when all neighbours are taken away at once, (G,)."""
        values = self._decoded(genes)
        out: F32 = values[_ALL] - values[SELF]
        return out

    def _decoded(self, genes: list[int]) -> F32:
        return self.decoder(self.hidden, genes)


def neighbour_effects(
    session: Session, place: TileSet, decoder: Decoder, *, cancelled: Callable[[], bool] | None = None
) -> NeighbourEffects:
    """Predict one place without each of its neighbours, and without all of them, as if there were no tissue.

    Parameters
    ----------
    session : Session
    place : TileSet
        One place of the session's lattice.
    decoder : Decoder
        Of the session's model.
    cancelled : callable, optional

    Raises
    ------
    Cancelled
    """
    whole = slide_box(session.slide)
    centres, present = neighbourhood(place, session.model.card, whole, session.tissue)
    absent = np.zeros((_ALL + 1, 9), dtype=bool)
    np.fill_diagonal(absent, True)
    absent[_ALL] = True
    absent[:, SELF] = False
    ten = place.select(np.zeros(len(absent), dtype=np.int64))
    return NeighbourEffects(centres[0], present[0], session.hidden(ten, absent=absent, cancelled=cancelled), decoder)


def without_surroundings(
    session: Session, places: TileSet, *, cancelled: Callable[[], bool] | None = None
) -> Iterator[tuple[IntArray, F16]]:
    """Predict places as if there were no tissue around them, square by square.

    Yields
    ------
    (k,) int64, (k, h) float16
        Positions among the places, and their hidden vectors; NaN where the file is damaged.

    Raises
    ------
    Cancelled
    """
    square = np.floor(places.centres[:, ::-1] / (SQUARE * places.scale)).astype(np.int64)
    _, owner = np.unique(square, axis=0, return_inverse=True)
    order = np.argsort(owner.ravel(), kind="stable")
    ends = np.flatnonzero(np.diff(owner.ravel()[order])) + 1
    for mine in np.split(order, ends) if len(places) else ():
        absent = np.ones((len(mine), 9), dtype=bool)
        absent[:, SELF] = False
        yield mine, session.hidden(places.select(mine), absent=absent, cancelled=cancelled)


def tile_table(effects: NeighbourEffects, genes: list[str], slide_hidden: npt.NDArray[Any]) -> pd.DataFrame:
    """Compare one tile with its slide, gene by gene.

    Parameters
    ----------
    effects : NeighbourEffects
    genes : list of str
        Of the model, in the order of the decoder's rows.
    slide_hidden : (n, h) array
        Hidden vectors of the slide's tiles, or of a fair sample of them.

    Returns
    -------
    DataFrame
        Indexed by gene, those furthest above the slide first: "here", the slide's "mean", "z" (here - mean, in
        standard deviations over the slide; NaN if a gene is the same everywhere) and "alone" (the change when all of
        the surroundings are taken away).
    """
    import pandas as pd

    rows = list(range(len(genes)))
    here, values = effects.here(rows).astype(np.float64), effects.decoder(slide_hidden, rows).astype(np.float64)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    flat = spread <= 1e-4 * np.maximum(1.0, np.abs(mean))  # hidden vectors are float16: less than this is rounding
    z = np.divide(here - mean, spread, out=np.full_like(mean, np.nan), where=~flat)
    frame = pd.DataFrame(
        {"here": here, "mean": mean, "z": z, "alone": effects.change_alone(rows).astype(np.float64)},
        index=pd.Index(genes, name="gene"),
    )
    return frame.sort_values("z", ascending=False, kind="stable", na_position="last")
