"""Levels of a slide that napari slices without waiting: what is not read yet is shown coarser, and comes later.

napari slices on the GUI thread, where reading from slow storage, or decoding, would stop the window. Whoever else asks
for pixels gets the slide's own, and waits for them. Of a slide without levels, the coarsest one is a sketch at first;
overviews are made for a moment at a time, so that what has come is drawn, and a view that moved on does not wait.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import count
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import finalize

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import Cancelled, SlideError
from napari_nh2st.geometry import Box as SlideBox

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide
    from napari_nh2st.slides.overviews import Overviews
    from napari_nh2st.slides.sketch import Sketch

Rgb = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]  # top, bottom, left, right: level pixels, half-open
Block = tuple[int, int]  # row and column
Live = Callable[[], bool]
Aside = Callable[[Callable[[], Callable[[], None]]], None]
Make = Callable[[SlideBox, Callable[[], bool]], None]  # a part of the level, level-0 pixels, and when to stop

BLOCK = 256  # pixels: blocks have at least this side
_AT_ONCE_S = 0.1  # seconds of reading after which what came is drawn
_MAKING_S = 0.4  # the same, of making overviews
MEMORY = 256 * 2**20  # bytes of decoded blocks, of all slides together
_DRAWN_IN = "napari.layers."  # the module that slices for the canvas
_KEPT = ("screenshot", "_screenshot", "export_figure", "export_rois")  # what these draw is kept: it has to be right


class BlockCache:
    """Decoded blocks, those used last first to stay. Safe from any thread."""

    def __init__(self, limit: int = MEMORY) -> None:
        self._limit, self._bytes = limit, 0
        self._blocks: OrderedDict[tuple[int, Block], Rgb] = OrderedDict()  # by number of the level
        self._gone: deque[int] = deque()  # levels whose blocks are still here
        self._lock = threading.Lock()

    def get(self, level: int, block: Block) -> Rgb | None:
        """Return a block, None where it is not at hand."""
        with self._lock:
            self._let_go()
            pixels = self._blocks.get((level, block))
            if pixels is not None:
                self._blocks.move_to_end((level, block))
            return pixels

    def put(self, level: int, block: Block, pixels: Rgb) -> None:
        """Keep a block, and let go of those that were not used for longest."""
        with self._lock:
            self._let_go()
            old = self._blocks.pop((level, block), None)
            self._bytes += pixels.nbytes - (0 if old is None else old.nbytes)
            self._blocks[level, block] = pixels
            while self._bytes > self._limit and len(self._blocks) > 1:
                self._bytes -= self._blocks.popitem(last=False)[1].nbytes

    def forget(self, level: int) -> None:
        """Let go of all blocks of a level: at once, else when a block is next asked for.

        It waits for nobody: the garbage collector calls it, in a thread that may hold the lock itself.
        """
        self._gone.append(level)
        if self._lock.acquire(blocking=False):
            try:
                self._let_go()
            finally:
                self._lock.release()

    def _let_go(self) -> None:
        """Drop the blocks of levels that are gone. The lock is held."""
        while self._gone:
            level = self._gone.popleft()
            for key in [key for key in self._blocks if key[0] == level]:
                self._bytes -= self._blocks.pop(key).nbytes


_CACHE, _NUMBERS = BlockCache(), count()


class LazyLevel:
    """One level for napari, of the slide's array and the coarser level that stands in for what is not read yet.

    Parameters
    ----------
    level : zarr.Array
    coarser : LazyLevel or (h, w, 3) uint8
    failures, live : callable
        How often the slide's file could not be read; whether a person waits.
    make : callable, optional
        Makes a part of an overview level, if it is one.
    step : (float, float)
        Level-0 pixels per pixel, y first.

    Attributes
    ----------
    shape : (H, W, 3)
    wanted : list of (row, column)
        The blocks that were missing when napari sliced it last, the middle first.
    coarsest : Coarsest or None
        Of the finest level: the slide's coarsest one, if it has yet to be made.
    """

    def __init__(
        self,
        level: Any,
        coarser: LazyLevel | Rgb,
        failures: Callable[[], int],
        live: Live,
        make: Make | None = None,
        step: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self._make, self._step = make, step
        self._asked: set[Block] = set()  # by napari's last slice
        self.coarsest: Coarsest | None = None
        self._level, self._coarser, self._failures, self._live = level, coarser, failures, live
        self._cache, self._number = _CACHE, next(_NUMBERS)
        finalize(self, _CACHE.forget, self._number)
        self.shape: tuple[int, int, int] = tuple(int(n) for n in level.shape)  # type: ignore[assignment]
        chunks = getattr(level, "chunks", (BLOCK, BLOCK))
        self._side = tuple(-(-BLOCK // int(c)) * int(c) for c in chunks[:2])
        self.wanted: list[Block] = []
        self.want: Callable[[LazyLevel], None] = lambda level: None  # set by those who read

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        """Three: height, width, colour."""
        return 3

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self._level[:], dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        box = self._box(key)
        if box is None or not (self._live() and _is_for_the_eye(sys._getframe(1))):
            return self._level[key]
        return self._sketch(box)

    def read(self, block: Block) -> bool:
        """Read a block into the cache; return False if its file is out of reach. Call it in a thread.

        Raises
        ------
        Cancelled
            If it is of an overview that took longer than a moment to make, or is no longer in sight: ask again.
        """
        (top, bottom), (left, right) = (self._span(block[k], k) for k in (0, 1))
        before = self._failures()
        if self._make is not None:
            (dy, dx), until = self._step, time.monotonic() + _MAKING_S
            box = SlideBox(left * dx, top * dy, right * dx, bottom * dy)
            self._make(box, lambda: block not in self._asked or time.monotonic() > until)
        pixels = np.asarray(self._level[top:bottom, left:right], dtype=np.uint8)
        if self._failures() != before:
            return False  # white where the tissue will be again
        self._cache.put(self._number, block, pixels)
        return True

    def next_wanted(self) -> Block | None:
        """Take the next block that was missing when the level was sliced last; None if there is none."""
        while self.wanted:
            block = self.wanted.pop(0)
            if self._cache.get(self._number, block) is None:
                return block
        return None

    def give_up(self) -> None:
        """Ask for nothing: the view has moved on to another level."""
        self.wanted, self._asked = [], set()

    def _span(self, index: int, axis: int) -> tuple[int, int]:
        side = self._side[axis]
        return index * side, min((index + 1) * side, self.shape[axis])

    def _box(self, key: Any) -> Box | None:
        """Return the part that plain slices ask for, None for any other key."""
        parts = key if isinstance(key, tuple) else (key,)
        if len(parts) > 3 or not all(isinstance(p, slice) and p.step in (None, 1) for p in parts):
            return None
        if len(parts) == 3 and parts[2].indices(3) != (0, 3, 1):
            return None
        spans = [p.indices(n)[:2] for p, n in zip((*parts, slice(None))[:2], self.shape[:2], strict=True)]
        (top, bottom), (left, right) = ((a, max(a, b)) for a, b in spans)
        if (bottom - top) * (right - left) * 3 > MEMORY // 2:
            return None  # a whole level, asked for by hand: its blocks would push each other out
        return top, bottom, left, right

    def _sketch(self, box: Box) -> Rgb:
        """Return what is at hand of a part, and ask for what is missing."""
        at_hand = self._at_hand(box)
        pixels = self._drawn(box, at_hand)
        self.wanted = [block for block, found in at_hand.items() if found is None]
        self._asked = set(self.wanted)
        if self.wanted:
            self.want(self)
        return pixels

    def _at_hand(self, box: Box) -> dict[Block, Rgb | None]:
        return {block: self._cache.get(self._number, block) for block in self._blocks_of(box)}

    def _drawn(self, box: Box, at_hand: dict[Block, Rgb | None]) -> Rgb:
        top, bottom, left, right = box
        whole = all(found is not None for found in at_hand.values())
        pixels = np.empty((bottom - top, right - left, 3), np.uint8) if whole else self._enlarged(box)
        for block, found in at_hand.items():
            if found is None:
                continue
            (y0, y1), (x0, x1) = (self._span(block[k], k) for k in (0, 1))
            a, b, c, d = max(y0, top), min(y1, bottom), max(x0, left), min(x1, right)
            pixels[a - top : b - top, c - left : d - left] = found[a - y0 : b - y0, c - x0 : d - x0]
        return pixels

    def _enlarged(self, box: Box) -> Rgb:
        """Return a part as the coarser level has it, in this level's pixels."""
        coarse = self._coarser
        rows, columns = (self._coarser_indices(box[2 * axis], box[2 * axis + 1], axis) for axis in (0, 1))
        if not len(rows) or not len(columns):
            return np.empty((len(rows), len(columns), 3), np.uint8)
        part = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        if isinstance(coarse, LazyLevel):
            pixels = coarse._drawn(part, coarse._at_hand(part))
        else:
            pixels = coarse[part[0] : part[1], part[2] : part[3]]
        enlarged: Rgb = pixels[(rows - part[0])[:, None], (columns - part[2])[None, :]]
        return enlarged

    def _coarser_indices(self, first: int, last: int, axis: int) -> npt.NDArray[np.intp]:
        """Return which row or column of the coarser level shows the middle of each of this level's."""
        there, here = self._coarser.shape[axis], self.shape[axis]
        middles = (np.arange(first, last) + 0.5) * there / here
        indices: npt.NDArray[np.intp] = np.minimum(middles, there - 1).astype(np.intp)
        return indices

    def _blocks_of(self, box: Box) -> list[Block]:
        """Return the blocks that a part touches, its middle first."""
        top, bottom, left, right = box
        if bottom <= top or right <= left:
            return []
        height, width = self._side
        rows, columns = range(top // height, -(-bottom // height)), range(left // width, -(-right // width))
        middle = ((top + bottom) / 2 / height - 0.5, (left + right) / 2 / width - 0.5)
        blocks = [(row, column) for row in rows for column in columns]
        return sorted(blocks, key=lambda b: (b[0] - middle[0]) ** 2 + (b[1] - middle[1]) ** 2)


def _is_for_the_eye(frame: FrameType) -> bool:
    """Tell whether napari slices, to draw on the canvas and not into a file."""
    if not str(frame.f_globals.get("__name__", "")).startswith(_DRAWN_IN):
        return False
    above: FrameType | None = frame
    while above is not None:
        if above.f_code.co_name in _KEPT:
            return False
        above = above.f_back
    return True


def lazy_levels(slide: Slide, live: Live, *, first_look: bool = False) -> list[Any]:
    """Return a slide's levels for napari: the coarsest is read here and now, so call this in a thread.

    Parameters
    ----------
    slide : Slide
    live : callable
        Whether a person waits, see `kit.gui_thread.window_is_live`.
    first_look : bool
        Take a `Sketch` for the coarsest level while it is not made; `BlockReading` has it made.

    Raises
    ------
    SlideError
        If the slide can no longer be read.
    """
    failures, overviews = (lambda: slide.read_failures), slide.overviews
    coarsest = _coarsest(slide, first_look=first_look)
    levels: list[Any] = [coarsest.pixels if isinstance(coarsest, Coarsest) else coarsest]
    for index in range(len(slide.levels) - 2, -1, -1):
        make = None if overviews is None or index < overviews.first else _maker(overviews, index)
        level = LazyLevel(slide.levels[index], levels[0], failures, live, make, slide.downsamples[index])
        levels.insert(0, level)
    if isinstance(coarsest, Coarsest) and len(levels) > 1:
        levels[0].coarsest = coarsest
    return levels


def _coarsest(slide: Slide, *, first_look: bool) -> Coarsest | Rgb:
    last = len(slide.levels) - 1
    if first_look and slide.overviews is not None and not slide.overviews.complete(last):
        from napari_nh2st.slides.sketch import Sketch

        return Coarsest(slide, Sketch(slide.overviews))
    return np.asarray(slide.levels[last][:], dtype=np.uint8)


class Coarsest:
    """The coarsest level of a slide without levels, a sketch until it is made.

    napari keeps this level as an array, and never asks for it again: the sketch's pixels become the level's.
    """

    def __init__(self, slide: Slide, sketch: Sketch) -> None:
        self.pixels, self.made = sketch.pixels, False
        self._slide, self._sketch = slide, sketch

    def make_some(self, unwanted: Callable[[], bool]) -> None:
        """Make some of it, for a moment or until it is unwanted. Call it in a thread.

        Raises
        ------
        Cancelled
            If it is not complete yet.
        SlideError
            If the slide was closed, or is out of reach.
        """
        until, last = time.monotonic() + _MAKING_S, len(self._slide.levels) - 1
        assert self._slide.overviews is not None
        self._slide.overviews.make(last, cancelled=lambda: unwanted() or time.monotonic() > until)
        self.pixels[:] = self._slide.levels[last][:]
        self.made = True


def _maker(overviews: Overviews, index: int) -> Make:
    return lambda box, cancelled: overviews.make(index, box, cancelled=cancelled)


class BlockReading:
    """Reads the blocks that napari's slices lack, those asked for last first.

    Parameters
    ----------
    levels : list
        As `lazy_levels` makes them.
    aside : callable
        Does work in a thread and what that returns on the GUI thread, as `kit.background.read_aside`.
    arrived : callable
        Called on the GUI thread when blocks have come.
    coarsest_in_sight : callable
        Whether napari draws the coarsest level now: then it is made, if it is not yet. Asked in any thread.
    """

    def __init__(
        self,
        levels: Sequence[Any],
        aside: Aside,
        arrived: Callable[[], None],
        coarsest_in_sight: Callable[[], bool] = lambda: True,
    ) -> None:
        self._levels = [level for level in levels if isinstance(level, LazyLevel)]
        self._aside, self._arrived, self._reading = aside, arrived, False
        self._coarsest = next((level.coarsest for level in self._levels if level.coarsest is not None), None)
        self._coarsest_in_sight = coarsest_in_sight
        for level in self._levels:
            level.want = self._go

    def drawn(self, event: object = None) -> None:
        """Go on with the coarsest level, if it is what napari has just drawn and not made yet."""
        if self._coarsest is not None and not self._reading and self._coarsest_in_sight():
            self._read()

    def _go(self, wanting: LazyLevel) -> None:
        for level in self._levels:
            if level is not wanting:
                level.give_up()
        if not self._reading:
            self._read()

    def _read(self) -> None:
        self._reading = True
        self._aside(self._read_some)

    def _read_some(self) -> Callable[[], None]:
        """Read for a moment, then have it drawn."""
        until, idle = time.monotonic() + _AT_ONCE_S, True
        try:
            while time.monotonic() < until:
                found = self._next_wanted()
                if found is None:
                    break
                idle = False
                if not found[0].read(found[1]):
                    return self._stopped  # the drive went away: what is drawn stays, and the next move asks again
            if idle and self._coarsest is not None and self._coarsest_in_sight():
                self._coarsest.make_some(lambda: any(level.wanted for level in self._levels))
                self._coarsest = None
        except Cancelled:
            pass  # what was made of it is in the sketch, or nobody looks there any more
        except SlideError:  # it was closed
            return self._stopped
        return self._some_read

    def _next_wanted(self) -> tuple[LazyLevel, Block] | None:
        for level in self._levels:
            block = level.next_wanted()
            if block is not None:
                return level, block
        return None

    def _some_read(self) -> None:
        self._reading = False
        self._arrived()  # napari slices again, and asks for what is still missing

    def _stopped(self) -> None:
        self._reading = False
