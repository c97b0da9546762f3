"""One signature's folder of the embedding cache: a file per block, and a journal of the blocks that are done.

    about.json    the folder's description: its signature, and a name for people; there before anything else
    values/r.c    a block: zstd, float16 little-endian, row by row; then the CRC-32 of the compressed bytes
    done          the journal, 16 bytes a mark: row, column, bytes of the block's file, check (0 bytes: it is gone)

A block's file gets its name when it is complete and its mark is appended after that, so that a process that is killed
loses the block in flight. Appended marks of several processes stand beside each other. The sizes in the marks say
what the folder takes without looking at its files, its date is the time of its last use, and a lock on it, held as
long as a process has the folder open, says that it is in use.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from napari_nh2st.atomic import finished_file, finished_folder
from napari_nh2st.engine.file_lock import has_name, try_lock
from napari_nh2st.engine.windows import BlockIndex
from napari_nh2st.reading import contents, parse_json

ABOUT, JOURNAL, VALUES = "about.json", "done", "values"
FORMAT = 2
TOUCH_SECONDS = 60
MARK_BYTES = 16
CHECK_BYTES = 4
ATTEMPTS = 5
# Odd multipliers of a check that NumPy computes for all marks at once; a mark of zeros does not pass.
FACTORS, OFFSET = np.array([0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35], dtype=np.uint64), np.uint64(0x27D4EB2F)

Half = npt.NDArray[np.float16]


class BlockFolder:
    """The blocks of one signature on disk.

    A folder that is damaged, half made or for something else is started again.

    Parameters
    ----------
    path : Path
        The folder; it is made if need be.
    about : dict
        Everything that the blocks depend on. It must match the folder's own description.
    shape : (block, block, dim)
    label : str or None
        A name for people, such as the slide's.

    Attributes
    ----------
    bytes : int
        Size of the blocks on disk.
    read_only : OSError or None
        The reason why nothing can be written, where the folder can still be read.

    Raises
    ------
    OSError
        If the folder can be neither opened nor made.
    """

    def __init__(self, path: Path, about: dict[str, Any], shape: tuple[int, int, int], label: str | None) -> None:
        self.path, self.shape, self.bytes = path, shape, 0
        self.read_only: OSError | None = None
        self._sizes: dict[BlockIndex, int] = {}
        self._read, self._touched = 0, 0.0
        self._lock = threading.Lock()
        self._journal = self._open(json.loads(json.dumps(about)), label)
        self.touch()
        with self._lock:
            self._catch_up()

    def _open(self, about: dict[str, Any], label: str | None) -> int:
        """Open the journal of a sound folder, and hold its lock."""
        for _ in range(ATTEMPTS):
            described = self._read_about(about)
            if described is None:
                self._start(about, label)
                continue
            if label is not None and described.get("label") != label:
                with suppress(OSError), finished_file(self.path / ABOUT) as draft:
                    draft.write_text(json.dumps({**about, "label": label}), encoding="utf-8")
            journal = self._open_journal()
            if try_lock(journal, shared=True) and has_name(journal, self.path / JOURNAL):
                self._align(journal)
                return journal
            os.close(journal)  # somebody has just moved the folder away, or is about to
            time.sleep(0.02)
        raise OSError(f"{self.path} cannot be opened: other processes remove it again and again")

    def _read_about(self, about: dict[str, Any]) -> dict[str, Any] | None:
        """Return the folder's own description, or None where the folder must be started again."""
        try:
            described: dict[str, Any] = parse_json(contents(self.path / ABOUT))
            fits = {k: v for k, v in described.items() if k != "label"} == about
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, AttributeError):
            return None
        whole = (self.path / VALUES).is_dir() and (self.path / JOURNAL).is_file()
        return described if fits and whole else None

    def _start(self, about: dict[str, Any], label: str | None) -> None:
        if os.path.lexists(self.path):
            _bury(self.path)
        try:
            with finished_folder(self.path) as draft:
                (draft / VALUES).mkdir()
                (draft / JOURNAL).touch()
                (draft / ABOUT).write_text(json.dumps({**about, "label": label}), encoding="utf-8")
        except OSError:
            if not (self.path / ABOUT).exists():  # otherwise another process was first, and its folder is as good
                raise

    def _open_journal(self) -> int:
        flags = getattr(os, "O_BINARY", 0)
        try:
            return os.open(self.path / JOURNAL, os.O_RDWR | os.O_APPEND | flags)
        except OSError as error:
            self.read_only = error
            return os.open(self.path / JOURNAL, os.O_RDONLY | flags)

    def _align(self, journal: int) -> None:
        """Fill up a mark that a full disk or a crash has cut short: the next ones must not be misread."""
        torn = os.fstat(journal).st_size % MARK_BYTES
        if torn and self.read_only is None:
            with suppress(OSError):
                os.write(journal, bytes(MARK_BYTES - torn))

    def has(self, index: BlockIndex) -> bool:
        """Tell whether a block is marked as done, by this process or another one."""
        with self._lock:
            if index not in self._sizes:
                self._catch_up()
            return index in self._sizes

    def read(self, index: BlockIndex) -> Half | None:
        """Return a block (block, block, dim), or None where it is missing; one that cannot be decoded is forgotten."""
        if not self.has(index):
            return None
        values = _decode(self._file(index), self.shape)
        if values is None:
            with suppress(OSError):
                self._mark(index, 0)
        return values

    def write(self, index: BlockIndex, data: bytes) -> None:
        """Keep a block as `encode` has made it; then mark it."""
        draft = self.path / VALUES / f".{os.getpid()}-{secrets.token_hex(4)}.part"
        try:
            draft.write_bytes(data)
            draft.replace(self._file(index))
        except OSError:
            with suppress(OSError):
                draft.unlink()
            raise
        self._mark(index, len(data))

    def touch(self) -> None:
        """Note that the folder is in use, at most once a minute."""
        now = time.monotonic()
        if self._touched == 0 or now - self._touched > TOUCH_SECONDS:
            self._touched = now
            with suppress(OSError):
                os.utime(self.path / JOURNAL)

    def close(self) -> None:
        """Give the folder free. It may be evicted from now on."""
        with self._lock:
            journal, self._journal = self._journal, -1
        if journal >= 0:
            with suppress(OSError):
                os.close(journal)

    def _file(self, index: BlockIndex) -> Path:
        return self.path / VALUES / f"{index[0]}.{index[1]}"

    def _mark(self, index: BlockIndex, size: int) -> None:
        with self._lock:
            if size == 0:
                self._note(index, 0)  # also where the journal cannot be written
            mark = _encode_mark(index, size)
            if os.write(self._journal, mark) != len(mark):
                raise OSError(f"{self.path / JOURNAL} cannot be written to its end")
            self._note(index, size)

    def _note(self, index: BlockIndex, size: int) -> None:
        self.bytes += size - self._sizes.pop(index, 0)
        if size:
            self._sizes[index] = size

    def _catch_up(self) -> None:
        """Read the marks that were appended since the last time."""
        try:
            if os.fstat(self._journal).st_size - self._read < MARK_BYTES:
                return
            with (self.path / JOURNAL).open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return
        self._read += len(data) // MARK_BYTES * MARK_BYTES
        for row, column, size in decode_marks(data).tolist():
            self._note((row, column), size)


def encode(values: Half) -> bytes:
    """Return the bytes of a block's file."""
    packed = bytes(imagecodecs.zstd_encode(values.astype("<f2", copy=False).tobytes(), level=1))
    return packed + zlib.crc32(packed).to_bytes(CHECK_BYTES, "little")


_MOST_BYTES = 1 << 30  # of a journal or a block


def _decode(file: Path, shape: tuple[int, int, int]) -> Half | None:
    try:
        data = contents(file, _MOST_BYTES)
        packed, check = data[:-CHECK_BYTES], data[-CHECK_BYTES:]
        if not packed or zlib.crc32(packed).to_bytes(CHECK_BYTES, "little") != check:
            return None
        flat = np.frombuffer(bytearray(imagecodecs.zstd_decode(packed)), dtype="<f2")
        return flat.reshape(shape).astype(np.float16, copy=False)
    except (OSError, ValueError, RuntimeError):  # the last: imagecodecs' own errors
        return None


def _encode_mark(index: BlockIndex, size: int) -> bytes:
    numbers = np.array([[*index, size]], dtype="<i4")
    return numbers.tobytes() + _checks(numbers).astype("<u4").tobytes()


def decode_marks(data: bytes) -> npt.NDArray[np.int32]:
    """Return the sound marks of a journal in their order, (n, 3): row, column, bytes."""
    table = np.frombuffer(data[: len(data) // MARK_BYTES * MARK_BYTES], dtype="<i4").reshape(-1, 4)
    sound: npt.NDArray[np.int32] = table[table[:, 3].astype(np.uint32) == _checks(table[:, :3]), :3]
    return sound


def _checks(numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.uint32]:
    mixed = (numbers.astype(np.uint32).astype(np.uint64) * FACTORS).sum(axis=1, dtype=np.uint64) + OFFSET
    checks: npt.NDArray[np.uint32] = (mixed & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return checks


def total(path: Path) -> tuple[int, int]:
    """Return the number of blocks of a folder and the bytes they take, from its journal.

    Raises
    ------
    OSError
        If there is no journal.
    """
    marks = decode_marks(contents(path / JOURNAL, _MOST_BYTES))[::-1]
    _, last = np.unique(marks[:, :2], axis=0, return_index=True)  # the first of the reversed marks
    sizes = marks[last, 2]
    return int((sizes > 0).sum()), int(sizes.sum(dtype=np.int64))


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Tell whether no process uses a folder, and keep it so meanwhile."""
    if sys.platform == "win32":  # a folder with an open file in it cannot be renamed, which is all that is needed
        yield True
        return
    try:
        journal = os.open(path / JOURNAL, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        yield True
        return
    try:
        yield try_lock(journal)
    finally:
        os.close(journal)


def remove(path: Path) -> bool:
    """Remove a folder that no process uses: renamed first, so that nobody meets half of it.

    Returns
    -------
    bool
        False where it is in use, or already gone.

    Raises
    ------
    OSError
        If it may not be removed.
    """
    with alone(path) as free:
        if not free:
            return False
        try:
            aside = _set_aside(path)
        except FileNotFoundError:
            return False
        except PermissionError:
            if sys.platform == "win32":  # a file in it is open
                return False
            raise
    _delete(aside)
    return True


def _bury(path: Path) -> None:
    """Remove whatever has the name, in use or not."""
    with suppress(FileNotFoundError):
        _delete(_set_aside(path))


def _set_aside(path: Path) -> Path:
    return path.rename(path.with_name(f".{path.name}.{secrets.token_hex(4)}-old"))


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
