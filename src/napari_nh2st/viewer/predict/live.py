"""The live view: "the view rests here" becomes requests, and a request becomes events. No Qt.

What the window shows is predicted from its centre outwards, then a ring around it, so that a small step finds
everything there. Where that would take long, a quick look at a few places comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import Box, IntArray, TileSet
from napari_nh2st.viewer.predict.events import Around, Begun, Event, Previewed, Request, State, Status, Step
from napari_nh2st.viewer.predict.inputs import Cancelled, Ground
from napari_nh2st.viewer.predict.region import Region

if TYPE_CHECKING:
    from napari_nh2st.viewer.predict.controller import Controller

RING = 0.5  # how far round the view is looked ahead, in lengths of its longer side
PREVIEW_PLACES = 80  # of a quick look: about a quarter of a second
PATIENCE = 4.0  # seconds that a view may take without a quick look
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


def takes_long(ground: Ground, tiles: int) -> bool:
    """Tell whether a person would wait for so many tiles."""
    if ground.pace is not None:
        return tiles * ground.pace > PATIENCE
    return tiles * (ground.map.pitch / ground.model.card.patch) ** 2 > PATIENCE_TILES


def follow_view(
    ground: Ground, view: Box, warnings: tuple[str, ...], most: int, cancelled: Cancelled
) -> Iterator[Event]:
    """Yield the events of a view that has come to rest: what is in sight, then what lies around it.

    Parameters
    ----------
    view : Box
        What the window shows, level-0 pixels.
    most : int
        Cells that memory has room for.
    """
    focus = (view.x0 + view.x1) / 2, (view.y0 + view.y1) / 2
    sight = around(view, ground.box, ground.map.cell / 2)  # tiles that are cut by the window's edge are seen, too
    shown = nearest(ground.tiles(Region(sight)), focus, most)
    missing = ground.missing(shown)
    yield Begun(ground.map, len(shown), len(shown) - len(missing), ground.tissue_tiles, warnings, view)
    if takes_long(ground, len(missing)):
        yield Step("taking a quick look")
        chosen, owner = preview_places(missing)
        yield Previewed(ground.preview(missing, chosen, owner, cancelled))
    if len(missing):
        yield from ground.predict(missing, cancelled, focus)
    ring = ground.tiles(Region(around(view, ground.box, RING * max(view.width, view.height))))
    ring = nearest(ground.missing(ring.select(~sight.contains(ring.centres))), focus, max(0, most - len(shown)))
    if len(ring):
        yield Around(len(ring))
        yield from ground.predict(ring, cancelled, focus)


class Live:
    """Follows the view: each time it rests, what is missing there is asked for.

    Parameters
    ----------
    controller : Controller
    look : callable
        Returns the request for what the window shows now, None where the view is not to be followed, and raises
        Nh2stError where the window shows nothing that could be predicted.
    say : callable
        Takes a sentence that tells why nothing happens.
    """

    def __init__(self, controller: Controller, look: Callable[[], Request | None], say: Callable[[str], None]) -> None:
        self.on = False
        self._controller, self._look, self._say = controller, look, say
        self._asked: tuple[Any, ...] | None = None
        self._said = ""

    def start(self) -> None:
        """Follow the view from now on, beginning with what it shows."""
        self.on = True
        self._asked, self._said = None, ""
        self.rested()

    def stop(self) -> None:
        """Follow no more; what is there stays."""
        if self.on:
            self.on = False
            self._controller.cancel()

    def rested(self) -> None:
        """Take note that the view rests, or that what is to be predicted there has changed."""
        if not self.on or (self._controller.running and not self._controller.following):
            return
        try:
            request = self._look()
        except Nh2stError as error:
            self._pause(str(error))
            return
        if request is None:
            self._pause("")
            return
        asked = (request.slide, request.model, request.pitch, request.device, request.region.box)
        if asked == self._asked and request.tissue is None:
            return  # the window was hidden and shown again, say
        self._asked, self._said = asked, ""
        self._controller.predict(request)

    def heard(self, status: Status) -> None:
        """Stop to follow where a job was cancelled or failed: a person decides how it goes on."""
        if self.on and status.state in (State.CANCELLED, State.FAILED):
            self.on = False

    def _pause(self, why: str) -> None:
        self._asked = None
        self._controller.rest()
        if why and why != self._said:
            self._say(why)
        self._said = why
