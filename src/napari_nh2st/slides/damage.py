"""Tiles of a slide that are missing or cannot be decoded."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import Box
from napari_nh2st.slides.locks import give_lock


@dataclass
class TileMap:
    """The tiles of one level.

    Attributes
    ----------
    bad : (rows, columns) bool
        True where a tile is shown white because it cannot be read.
    step : (float, float)
        Height and width of a tile in level-0 pixels.
    """

    bad: npt.NDArray[np.bool_]
    step: tuple[float, float]

    def touches(self, box: Box) -> bool:
        """Return True if a bad tile reaches into the box (level-0 pixels)."""
        rows = _span(box.y0, box.y1, self.step[0])
        columns = _span(box.x0, box.x1, self.step[1])
        return bool(self.bad[rows, columns].any())


def _span(start: float, stop: float, step: float) -> slice:
    return slice(max(math.floor(start / step), 0), max(math.ceil(stop / step), 0))


class Damage:
    """Parts of a slide that cannot be read: those known at opening, and those met while reading."""

    _lock: threading.Lock

    def __init__(self) -> None:
        self.maps: dict[int, TileMap] = {}
        self.undecodable: list[tuple[int, int, int]] = []
        self._first = ""
        give_lock(self)

    def add_level(self, level: int, bad: npt.NDArray[np.bool_], step: tuple[float, float]) -> None:
        """Enter one level; `bad` marks the tiles that are missing from the file."""
        self.maps[level] = TileMap(bad.copy(), step)

    def add_chunks(
        self, level: int, shape: tuple[int, int], chunk: tuple[int, int], downsample: tuple[float, float]
    ) -> None:
        """Enter one level of which nothing is known to be missing, in chunks.

        Parameters
        ----------
        level : int
        shape, chunk : (height, width)
            Level pixels.
        downsample : (float, float)
            Level-0 pixels per level pixel, down and across.
        """
        grid = tuple(math.ceil(size / side) for size, side in zip(shape, chunk, strict=True))
        self.add_level(level, np.zeros(grid, dtype=bool), (chunk[0] * downsample[0], chunk[1] * downsample[1]))

    def found(self, level: int, row: int, column: int, why: Exception | str) -> None:
        """Note a tile that cannot be decoded; the first one is named in `sentences`."""
        reason = " ".join(str(why).split())[:120] or type(why).__name__
        with self._lock:
            tiles = self.maps[level]
            if tiles.bad[row, column]:
                return
            tiles.bad[row, column] = True
            self.undecodable.append((level, row, column))
            self._first = self._first or f"tile at row {row}, column {column} of level {level}: {reason}"

    def touches(self, box: Box, level: int | None = None) -> bool:
        """Return True if a box (level-0 pixels) touches a bad tile of one level, or of any.

        A level that is not in the file was built from the file's coarsest level, so it has the bad tiles of that one.
        """
        if level is None or not self.maps:
            return any(tiles.touches(box) for tiles in self.maps.values())
        return self.maps[min(level, max(self.maps))].touches(box)

    @property
    def count(self) -> int:
        """Number of bad tiles, all levels together."""
        return sum(int(tiles.bad.sum()) for tiles in self.maps.values())

    def sentences(self) -> list[str]:
        """Say what is missing, a sentence each."""
        undecodable = len(self.undecodable)
        missing = self.count - undecodable
        total = sum(tiles.bad.size for tiles in self.maps.values())
        said = []
        if missing:
            said.append(f"{_tiles(missing)} missing from the file and shown white, of {total} in all")
        if undecodable:
            said.append(f"{_tiles(undecodable)} undecodable and shown white, first the {self._first}")
        return said


def _tiles(count: int) -> str:
    return "1 tile is" if count == 1 else f"{count} tiles are"


class NotedLevel(Protocol):
    """A level that tells which of its tiles cannot be read."""

    shape: tuple[int, int]

    def enter_damage(self, damage: Damage, downsample: tuple[float, float]) -> None:
        """Report tiles that are missing now, and those that cannot be decoded as they are met."""


def damage_of(levels: Sequence[NotedLevel]) -> Damage:
    """Enter all levels of a slide, finest first."""
    damage, (height, width) = Damage(), levels[0].shape
    for level in levels:
        level.enter_damage(damage, (height / level.shape[0], width / level.shape[1]))
    return damage
