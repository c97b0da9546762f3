"""Labels of a SpatialData store as places: the centre of each label of an image, which is read block by block."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError, one_line
from napari_nh2st.expression.zarr_table import member, opened
from napari_nh2st.reading import reason

FIRST = 64 << 20
"""Pixels of the level that is read first, the finest of at most so many; finer ones only for labels that it lacks."""

_COARSEST = 16  # pixels of the finest level in a pixel of the one that is read first: a small cell is as wide
_BLOCK = 2048  # pixels: a side of what is read at once, or that of a chunk
_LARGEST, _MOST = 1 << 28, 1_000_000  # pixels of a chunk; chunks of a level


@dataclass(frozen=True)
class _Level:
    """A level of a label image; `scale` (x, y): pixels of the finest level in a pixel of this one."""

    folder: Path
    array: Any
    scale: tuple[float, float]

    @property
    def pixels(self) -> int:
        return math.prod(map(int, self.array.shape))


def label_centres(
    element: Path, multiscale: Mapping[str, Any], names: Iterable[str]
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Find the centres of labels: the mean of their pixels, whose own centres lie at their numbers + 0.5.

    Parameters
    ----------
    element : Path
        Of OME-Zarr 0.4 or 0.5, with the axes y and x.
    multiscale : mapping
        What its metadata say of its levels.
    names : iterable of str
        The numbers of the labels that are wanted; other ones, and 0, which is no label, are passed over.

    Returns
    -------
    names : list of str
        Of the labels that are there.
    centres : (n, 2) float64
        (x, y) in pixels of the finest level. Of a label that is taken from a coarser one: to about half its pixel,
        as writers keep one pixel of several and do not say which.

    Raises
    ------
    SampleError
        If the image is damaged, claims more than any slide has, or holds something other than labels.
    """
    numbers = {name: number for name in set(names) if (number := _number(name)) > 0}
    wanted = np.unique(np.fromiter(numbers.values(), np.int64, len(numbers)))
    centres, missing = np.full((len(wanted), 2), np.nan), np.arange(len(wanted))
    for level in _as_read(_levels(element, multiscale)):
        if not len(missing):
            break
        area, moments = _sums(level, wanted[missing])
        there = area > 0
        centres[missing[there]] = moments[there] / area[there, None] * level.scale
        missing = missing[~there]
    lost = set(wanted[missing].tolist())
    found = [name for name, number in numbers.items() if number not in lost]
    return found, centres[np.searchsorted(wanted, [numbers[name] for name in found])]


def _number(name: str) -> int:
    """Return the whole number that a text says, also as 7.0; 0 where it says none that a label may have."""
    number: int | float = 0
    with suppress(ValueError):
        number = int(name) if name.isdecimal() else float(name)
    return int(number) if 0 < number < 1 << 63 and number == int(number) else 0


def _as_read(levels: list[_Level]) -> list[_Level]:
    """Return the levels in the order in which they are read: the first, and those that are finer."""
    levels = sorted(levels, key=lambda level: level.scale)
    small = [i for i, level in enumerate(levels) if level.pixels <= FIRST]
    near = [i for i, level in enumerate(levels) if max(level.scale) <= _COARSEST]
    first = min(small[0] if small else len(levels) - 1, near[-1])
    return levels[first::-1]


def _levels(element: Path, multiscale: Mapping[str, Any]) -> list[_Level]:
    """Open the levels; one whose size contradicts the scale that it names is passed over."""
    import zarr

    try:
        axes = [str(axis if isinstance(axis, str) else axis["name"]) for axis in multiscale["axes"]]
        parts = [(str(level["path"]), _named_scale(level)) for level in multiscale["datasets"]]
        if not parts or any("/" in path or "\\" in path or path in ("", ".", "..") for path, _ in parts):
            raise ValueError(parts)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise SampleError(f"{element} is damaged: it does not say which levels it has") from None
    if axes != ["y", "x"]:
        raise SampleError(f"{element} has the axes {one_line(''.join(axes), 20)}: only flat labels (yx) are read")
    group, out = opened(element), []
    for path, named in parts:
        array = member(element, group, path)
        if not isinstance(array, zarr.Array) or array.ndim != 2 or 0 in array.shape:
            raise SampleError(f"{element} is damaged: its level {one_line(path, 20)} is no image")
        if array.dtype.kind not in "iu":
            raise SampleError(f"{element} holds no labels: its numbers are {array.dtype}, not whole ones")
        out.append((_Level(element / path, array, (1.0, 1.0)), named))
    return [placed for level, named in out if (placed := _scaled(level, named, *out[0])) is not None]


def _named_scale(level: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the scale (x, y) that a level names; None where there is none."""
    steps = level.get("coordinateTransformations") or []
    named = [step["scale"] for step in steps if step.get("type") == "scale"]
    if len(named) != 1:
        return None
    y, x = map(float, named[0])
    return (x, y) if 0 < x < math.inf and 0 < y < math.inf else None


def _scaled(
    level: _Level, named: tuple[float, float] | None, finest: _Level, unit: tuple[float, float] | None
) -> _Level | None:
    """Give a level its scale: that which it names, else by its size; None where the two differ by a pixel or more."""
    wide, own = finest.array.shape[::-1], level.array.shape[::-1]
    by_size = wide[0] / own[0], wide[1] / own[1]
    if named is None or unit is None:
        return _Level(level.folder, level.array, by_size)
    x, y = named[0] / unit[0], named[1] / unit[1]
    fits = abs(wide[0] / x - own[0]) <= 1 and abs(wide[1] / y - own[1]) <= 1
    return _Level(level.folder, level.array, (x, y)) if fits else None


def _sums(level: _Level, wanted: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Add up the pixels of labels.

    Parameters
    ----------
    wanted : (n,) int64
        In rising order.

    Returns
    -------
    area : (n,) int64
        Number of pixels.
    moments : (n, 2) float64
        Sums of their centres (x, y), in pixels of this level.
    """
    area, moments = np.zeros(len(wanted), np.int64), np.zeros((len(wanted), 2))
    for top, left, block in _blocks(level):
        width = block.shape[1]
        begins = np.ones(block.shape, dtype=bool)  # runs of one label in a row: far fewer than pixels
        np.not_equal(block[:, 1:], block[:, :-1], out=begins[:, 1:])
        starts = np.flatnonzero(begins)
        labels = block.reshape(-1)[starts].astype(np.int64)
        lengths = np.diff(starts, append=block.size)
        at = np.minimum(np.searchsorted(wanted, labels), len(wanted) - 1)
        kept = wanted[at] == labels
        at, starts, lengths = at[kept], starts[kept], lengths[kept]
        np.add.at(area, at, lengths)
        np.add.at(moments[:, 0], at, lengths * (left + starts % width + 0.5 * lengths))
        np.add.at(moments[:, 1], at, lengths * (top + starts // width + 0.5))
    return area, moments


def _blocks(level: _Level) -> Iterator[tuple[int, int, npt.NDArray[Any]]]:
    """Iterate over what was written of a level: row and column of a block's corner, and the block."""
    array, (height, width) = level.array, level.array.shape
    chunk = array.shards or array.chunks
    rows, columns = -(-height // chunk[0]), -(-width // chunk[1])
    if rows * columns > _MOST or math.prod(chunk) > _LARGEST:
        said = f"{width:,} x {height:,} pixels in chunks of {chunk[1]:,} x {chunk[0]:,}"
        raise SampleError(f"{level.folder} claims to have {said}: no slide is stored like that")
    if array.fill_value:
        raise SampleError(f"{level.folder}: what is not stored is the label {array.fill_value}: save it with 0 there")
    down, across = (max(1, _BLOCK // side) for side in chunk)
    for row, column in itertools.product(range(0, rows, down), range(0, columns, across)):
        near = itertools.product(range(row, min(row + down, rows)), range(column, min(column + across, columns)))
        if not any((level.folder / array.metadata.encode_chunk_key(place)).is_file() for place in near):
            continue
        top, left = row * chunk[0], column * chunk[1]
        try:
            part = np.asarray(array[top : top + down * chunk[0], left : left + across * chunk[1]])
        except Exception as error:  # whatever zarr makes of a damaged store
            raise SampleError(f"cannot read {level.folder}: {reason(error)}") from error
        step = max(1, _BLOCK**2 // part.shape[1])
        for begin in range(0, len(part), step):
            yield top + begin, left, np.ascontiguousarray(part[begin : begin + step])
