"""Chunks of a slide's decoded levels, each a file of its own in the cache, made once by one thread of one process."""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
import uuid
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import numpy.typing as npt

from napari_nh2st.atomic import STALE_SECONDS
from napari_nh2st.errors import Cancelled
from napari_nh2st.slides.flights import WAIT_SECONDS, Flights
from napari_nh2st.slides.locks import give_lock

Rgb = npt.NDArray[np.uint8]

_HEAD = struct.Struct("<4sBI")  # mark, 1 if undecodable tiles are known, checksum of what follows
_MARK = b"nh2c"
_ASIDE, _BAD, _CLAIMS = "aside", "undecodable", "claims"


class ChunkKey(NamedTuple):
    """The place of a chunk."""

    level: int
    row: int
    column: int


class ChunkFiles:
    """The chunks of one slide, for all who have it open in this process: see `chunk_files`.

    Parameters
    ----------
    folder : Path or None
        None keeps them in memory.
    """

    _lock: threading.Lock

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.trouble = ""
        """Why chunks are kept in memory although there is a folder; "" if they are not."""
        self._memory: dict[ChunkKey, bytes] = {}
        self._flights: Flights[Rgb] = Flights()
        self._claims = -1
        give_lock(self)
        if folder is not None:
            self._prepare(folder)

    def _prepare(self, folder: Path) -> None:
        try:
            (folder / _ASIDE).mkdir(parents=True, exist_ok=True)
            with suppress(OSError):
                os.utime(folder)  # `nh2st cache` says when a slide was last used
            for left in (folder / _ASIDE).iterdir():
                with suppress(OSError):
                    if abs(time.time() - left.stat().st_mtime) > STALE_SECONDS:
                        left.unlink()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.trouble = self.trouble or error.strerror or str(error)

    def has(self, key: ChunkKey) -> bool:
        """Tell whether a chunk is there; it may prove damaged when it is read."""
        return key in self._memory or (self.folder is not None and self._path(key).exists())

    def load(self, key: ChunkKey, shape: tuple[int, int]) -> tuple[Rgb, bool] | None:
        """Return a chunk, and whether undecodable tiles were known when it was made.

        Parameters
        ----------
        key : ChunkKey
        shape : (height, width)
            Of the chunk.

        Returns
        -------
        (height, width, 3) uint8 and bool, or None
            None if it is not there, or not as it was written.
        """
        data = self._memory.get(key)
        if data is None and self.folder is not None:
            with suppress(OSError):
                data = self._path(key).read_bytes()
        if data is None or len(data) <= _HEAD.size:
            return None
        mark, damaged, checksum = _HEAD.unpack_from(data)
        body = data[_HEAD.size :]
        if mark != _MARK or zlib.crc32(body) != checksum:
            return None
        pixels = np.empty((*shape, 3), np.uint8)
        try:
            decoded = imagecodecs.zstd_decode(body, out=pixels.data.cast("B"))
        except (RuntimeError, ValueError):
            return None
        return (pixels, bool(damaged)) if len(decoded) == pixels.nbytes else None

    def save(self, key: ChunkKey, pixels: Rgb, *, damaged: bool = False) -> None:
        """Keep a chunk; in memory where the disk cannot be written."""
        body = imagecodecs.zstd_encode(pixels.tobytes(), 1)
        data = _HEAD.pack(_MARK, damaged, zlib.crc32(body)) + body
        if self.folder is not None and not self.trouble:
            try:
                self._write(self.folder, self._path(key), data)
                return
            except OSError as error:
                self._give_up(error)
        self._memory[key] = data

    def _write(self, folder: Path, path: Path, data: bytes) -> None:
        aside = folder / _ASIDE / f"{os.getpid()}-{uuid.uuid4().hex}"
        for parent in (aside.parent, path.parent):  # they may have been cleared while the slide is open
            parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(data)
            aside.replace(path)
        except PermissionError:  # on Windows, where somebody reads it: then it is there
            if not path.exists():
                raise
        finally:
            aside.unlink(missing_ok=True)

    def _path(self, key: ChunkKey) -> Path:
        assert self.folder is not None
        return self.folder / str(key.level) / f"{key.row}.{key.column}"

    def note_undecodable(self, tile: tuple[int, int, int]) -> None:
        """Remember that a tile (level, row, column) of the file cannot be decoded."""
        if self.folder is not None:
            with suppress(OSError):
                (self.folder / _BAD).mkdir(parents=True, exist_ok=True)
                (self.folder / _BAD / ".".join(map(str, tile))).touch()

    def undecodable(self) -> list[tuple[int, int, int]]:
        """Return the tiles that were found to be undecodable when chunks were made."""
        names: list[str] = []
        if self.folder is not None:
            with suppress(OSError):
                names = sorted(path.name for path in (self.folder / _BAD).iterdir())
        tiles = []
        for name in names:
            parts = name.split(".")
            if len(parts) == 3 and all(part.isascii() and part.isdecimal() for part in parts):
                tiles.append((int(parts[0]), int(parts[1]), int(parts[2])))
        return tiles

    def once(
        self,
        key: ChunkKey,
        make: Callable[[], tuple[Rgb, bool]],
        load: Callable[[], Rgb | None],
        cancelled: Callable[[], bool],
    ) -> Rgb:
        """Make a chunk, or wait for the thread or the process that is making it.

        Parameters
        ----------
        key : ChunkKey
        make : callable
            Makes and saves it. Returns it, and whether it was saved.
        load : callable
            Returns what another process has saved meanwhile, None if there is nothing.
        cancelled : callable

        Raises
        ------
        Cancelled
        """

        def alone() -> tuple[Rgb, bool]:
            with self._claimed(key, load, cancelled) as theirs:
                return make() if theirs is None else (theirs, True)

        return self._flights.once(key, alone, cancelled)

    @contextmanager
    def _claimed(
        self, key: ChunkKey, load: Callable[[], Rgb | None], cancelled: Callable[[], bool]
    ) -> Iterator[Rgb | None]:
        """Have the right to make a chunk, among processes; yield what another one has made instead."""
        place = key.level << 44 | key.row << 22 | key.column
        file = self._claims_file()
        while file >= 0 and not _lock(file, place):
            if cancelled():
                raise Cancelled("stopped")
            time.sleep(WAIT_SECONDS)
        try:
            yield load()
        finally:
            if file >= 0:
                _unlock(file, place)

    def _claims_file(self) -> int:
        """Return the open file on whose bytes processes claim chunks; -1 where there is none.

        Such claims belong to a process, as its threads need none, and go with it, however it ends.
        """
        if self.folder is None or self.trouble:
            return -1
        with self._lock:
            if self._claims < 0:
                with suppress(OSError):
                    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
                    self._claims = os.open(self.folder / _CLAIMS, flags, 0o666)
            return self._claims

    def __del__(self) -> None:
        if getattr(self, "_claims", -1) >= 0:
            with suppress(OSError):
                os.close(self._claims)


class _Registry:
    """The chunk files that are open in this process, by their folder."""

    _lock: threading.Lock

    def __init__(self) -> None:
        self.open: weakref.WeakValueDictionary[Path, ChunkFiles] = weakref.WeakValueDictionary()
        give_lock(self)


_registry = _Registry()


def chunk_files(folder: Path) -> ChunkFiles:
    """Return the chunk files of a folder: the same for everybody in this process."""
    with _registry._lock:
        files = _registry.open.get(folder)
        if files is None:
            files = _registry.open[folder] = ChunkFiles(folder)
        return files


if sys.platform == "win32":
    import msvcrt

    _seeking = threading.Lock()

    def _lock(file: int, place: int) -> bool:
        with _seeking:
            os.lseek(file, place, os.SEEK_SET)
            try:
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            except PermissionError:
                return False
            except OSError:  # a file system without locks: two processes may then do the same work
                pass
            return True

    def _unlock(file: int, place: int) -> None:
        with _seeking, suppress(OSError):
            os.lseek(file, place, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: int, place: int) -> bool:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):  # POSIX has EAGAIN or EACCES for it
            return False
        except OSError:  # a file system without locks: two processes may then do the same work
            pass
        return True

    def _unlock(file: int, place: int) -> None:
        with suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_UN, 1, place)
