"""The events of a view that has come to rest: what is in sight, from its centre outwards, then a ring around it. No Qt.

Where that would take long, a quick preview of a few places comes first.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import Box, IntArray, TileSet
from napari_nh2st.viewer.predict.events import Around, Begun, Event, Previewed, Step
from napari_nh2st.viewer.predict.inputs import Cancelled, PredictionInputs
from napari_nh2st.viewer.predict.region import Region

RING = 0.5  # how far round the view is looked ahead, in lengths of its longer side
PREVIEW_PLACES = 80  # of a quick preview: about a quarter of a second
PATIENCE = 4.0  # seconds that a view may take without a quick preview
PATIENCE_TILES = 400  # the same, in tiles of coarse detail, while the pace is not known


def around(view: Box, whole: Box, more: float) -> Box:
    """Return a view and so many level-0 pixels around it, as far as the slide goes."""
    return Box(view.x0 - more, view.y0 - more, view.x1 + more, view.y1 + more).intersect(whole)


def nearest(places: TileSet, focus: tuple[float, float], most: int) -> TileSet:
    """Return no more than `most` places, those nearest to the focus."""
    if len(places) <= most:
        return places
    distance = ((places.centres - focus) ** 2).sum(axis=1)
    return places.select(np.sort(np.argpartition(distance, most)[:most]))


def preview_places(places: TileSet, wanted: int = PREVIEW_PLACES) -> tuple[IntArray, IntArray]:
    """Choose places that stand for all: one in each square of k x k cells of the lattice.

    Returns
    -------
    chosen : (m,) int64
        Positions in `places`, one per square: the place nearest to the square's middle.
    owner : (n,) int64
        Which of the m stands for each place.
    """
    assert places.grid is not None
    side = max(1, int(np.ceil(np.sqrt(len(places) / wanted))))
    square, inside = np.divmod(places.grid, side)
    _, owner = np.unique(square[:, 0] * (square[:, 1].max(initial=0) + 1) + square[:, 1], return_inverse=True)
    off_middle = np.abs(inside - (side - 1) / 2).max(axis=1)
    order = np.lexsort((off_middle, owner))
    first = np.flatnonzero(np.diff(owner[order], prepend=-1))
    return order[first], owner


def takes_long(inputs: PredictionInputs, tiles: int) -> bool:
    """Tell whether a person would wait for so many tiles, and the model has a quick look to offer."""
    if inputs.model.card.predictor is not None:
        return False
    if inputs.pace is not None:
        return tiles * inputs.pace > PATIENCE
    return bool(tiles * (inputs.map.pitch / inputs.model.card.patch) ** 2 > PATIENCE_TILES)


def follow_view(
    inputs: PredictionInputs, view: Box, warnings: tuple[str, ...], most: int, cancelled: Cancelled
) -> Iterator[Event]:
    """Yield the events of a view that has come to rest: what is in sight, then what lies around it.

    Parameters
    ----------
    view : Box
        What the window shows, level-0 pixels.
    most : int
        Cells that memory has room for.

    Raises
    ------
    Nh2stError
        Where nothing is in sight of a slide that is no H&E: moving the view would not help.
    """
    focus = (view.x0 + view.x1) / 2, (view.y0 + view.y1) / 2
    sight = around(view, inputs.box, inputs.map.cell / 2)  # tiles that are cut by the window's edge are seen, too
    shown = nearest(inputs.tiles(Region(sight)), focus, most)
    missing = inputs.missing(shown)
    reason = "" if len(shown) else inputs.services.not_h_and_e(inputs.slide)
    if reason:
        raise Nh2stError(reason)
    yield Begun(inputs.map, len(shown), len(shown) - len(missing), inputs.tissue_tiles, warnings, view)
    if takes_long(inputs, len(missing)):
        yield Step("taking a quick look")
        chosen, owner = preview_places(missing)
        yield Previewed(inputs.preview(missing, chosen, owner, cancelled))
    if len(missing):
        yield from inputs.predict(missing, cancelled, focus)
    ring = inputs.tiles(Region(around(view, inputs.box, RING * max(view.width, view.height))))
    ring = nearest(inputs.missing(ring.select(~sight.contains(ring.centres))), focus, max(0, most - len(shown)))
    if len(ring):
        yield Around(len(ring))
        yield from inputs.predict(ring, cancelled, focus)
