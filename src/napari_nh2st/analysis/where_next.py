"""Where to measure next: the places that would tell most about the rest of a slide, by the spread that is left.

The spread is that of the Gaussian process with which anchors correct a prediction (`analysis.anchors`). It follows from
where is measured, not from what. Each place is the one that lowers the variance, summed over the tissue, by most
(A-optimal design, one place at a time; Chaloner and Verdinelli, Statistical Science 1995).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.analysis.anchors import F32, KEY, NOISES, Likeness
from napari_nh2st.analysis.models_at_spots import under_spots
from napari_nh2st.annotations import Annotation, write_annotations
from napari_nh2st.atomic import finished_file
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import IntArray, TileSet

if TYPE_CHECKING:
    import pandas as pd

_CANDIDATES = 1500


@dataclass(frozen=True, eq=False)
class Proposal:
    """Places at which a measurement would tell most about the rest of the slide, the most telling first.

    Attributes
    ----------
    places : TileSet
    spread : (n,) float32
        How little is known of each place when its turn comes: 1 far from and unlike all that is measured, 0 at a
        place that is known.
    mpp : float
        Micrometres per level-0 pixel.
    """

    places: TileSet
    spread: F32
    mpp: float

    def __len__(self) -> int:
        return len(self.spread)

    def table(self) -> pd.DataFrame:
        """Return one row a place, numbered from 1: ``x_px``, ``y_px`` (level-0 pixels), ``x_um``, ``y_um``, spread."""
        import pandas as pd

        centres = self.places.centres
        where = np.column_stack([centres, centres * self.mpp]).round(1)
        table = pd.DataFrame(where, columns=["x_px", "y_px", "x_um", "y_um"])
        table.index = pd.RangeIndex(1, len(self) + 1, name="place")
        return table.assign(spread=self.spread.astype(np.float64).round(3))


def where_next(prediction: Prediction, count: int, measured: Prediction | None = None) -> Proposal:
    """Propose where to measure, by the spread that the correction would leave.

    The next place is the one that lowers the variance of the Gaussian process, summed over the tissue, by most.

    Parameters
    ----------
    prediction : Prediction
        Of the slide; corrected or not.
    count : int
    measured : Prediction, optional
        The model's at spots that are measured already; of a corrected prediction, its anchors by default.

    Raises
    ------
    Nh2stError
        If fewer places are predicted.
    """
    done = prediction.only_done()
    if not 0 < count <= len(done):
        raise Nh2stError(f"{count} places were asked for, {len(done):,} are predicted")
    likeness = Likeness(done)
    if measured is None and KEY in done.provenance:
        measured = under_spots(done, np.asarray(done.provenance[KEY]["centres_px"], dtype=np.float64))
    if len(done) > _CANDIDATES:
        rows = np.sort(np.random.default_rng(0).choice(len(done), max(_CANDIDATES, count), replace=False))
        done = replace(done, places=done.places.select(rows), hidden=done.hidden[rows])
    described = likeness.describe(done)
    known = None if measured is None else likeness.describe(measured.only_done())
    chosen, spread = _most_telling(likeness, described, known, count)
    return Proposal(done.places.select(chosen), spread, likeness.mpp)


def _most_telling(
    likeness: Likeness, places: tuple[F32, F32], known: tuple[F32, F32] | None, count: int
) -> tuple[IntArray, F32]:
    """Choose places one after the other, each for what it tells of all; and what was not known of it then."""
    noise = float(np.exp(np.log(NOISES).mean()))
    left = likeness.between(places, places).astype(np.float64)  # covariance given all that is measured
    if known is not None and len(known[0]):
        cross = likeness.between(places, known).astype(np.float64)
        among = likeness.between(known, known).astype(np.float64) + noise * np.eye(len(known[0]))
        left -= cross @ np.linalg.solve(among, cross.T)
    chosen, spread, free = [], [], np.ones(len(left), dtype=bool)
    for _ in range(count):
        own = np.maximum(np.diag(left), 0)
        gain = np.where(free, (left**2).sum(axis=0) / (own + noise), -1)
        best = int(np.argmax(gain))
        chosen.append(best)
        spread.append(np.sqrt(own[best]))
        free[best] = False
        left -= np.outer(left[:, best], left[best]) / (own[best] + noise)
    return np.array(chosen, dtype=np.int64), np.array(spread, dtype=np.float32)


def write_proposal(proposal: Proposal, csv: Path, geojson: Path) -> None:
    """Write proposed places as a table, and as numbered squares of a tile for QuPath."""
    table = proposal.table()
    with finished_file(csv) as draft:
        table.to_csv(draft)
    half = proposal.places.pitch * proposal.places.scale / 2
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    squares = [
        Annotation([[centre + corners]], name=f"next {i + 1}") for i, centre in enumerate(proposal.places.centres)
    ]
    write_annotations(geojson, squares, {f"next {i}": {"spread": float(row)} for i, row in table["spread"].items()})


def most_telling_anchors(prediction: Prediction, at: Prediction, count: int) -> IntArray:
    """Choose so many of the anchors that tell most about the slide: their positions in `at`.

    Raises
    ------
    Nh2stError
        If there are fewer on predicted tissue.
    """
    there = np.flatnonzero(at.done)
    if not 0 < count <= len(there):
        raise Nh2stError(f"{count} spots were asked for, {len(there):,} lie on predicted tissue")
    likeness = Likeness(prediction)
    chosen, _ = _most_telling(likeness, likeness.describe(at.only_done()), None, count)
    return there[chosen]
