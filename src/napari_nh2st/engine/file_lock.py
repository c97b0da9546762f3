"""Locks on open files: they show that a living process uses a folder, and go when it ends, however it ends."""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from napari_nh2st.errors import Nh2stError
from napari_nh2st.reading import contents, parse_json

LOCK = "lock"
_WORDS_LIMIT = 4096
_ATTEMPTS = 5
_SOON = 0.02  # seconds

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30  # one byte far behind the words, so that another process can read who holds the lock

    def try_lock(file: int, *, shared: bool = False) -> bool:
        """Lock an open file without waiting; False if another process has it.

        A shared lock is not needed here: a folder with an open file in it can be neither renamed nor removed.
        """
        if shared:
            return True
        os.lseek(file, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        except OSError:  # a file system without locks
            pass
        return True

else:
    import fcntl

    def try_lock(file: int, *, shared: bool = False) -> bool:
        """Lock an open file without waiting; False if another process has it. Many may share a lock.

        True also where the file system knows no locks, as on some network drives.
        """
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True


def has_name(file: int, path: Path) -> bool:
    """Tell whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


class FolderBusy(Nh2stError):
    """Another process writes the folder just now."""


@dataclass(eq=False)
class _Open:
    """A locked file, and how many of this process hold it."""

    file: int
    holders: int = 0


class FolderLock:
    """The right to write into a folder, for one process at a time. Its threads share it.

    Parameters
    ----------
    folder : Path
        It must exist. A file in it says who writes.
    name : str
        Of that file.
    shared : bool
        Other processes may hold it too, if they share it. Windows does not keep the others out.

    Raises
    ------
    FolderBusy
        If another process writes there; the message names it.
    """

    _opened: ClassVar[dict[tuple[Path, bool], _Open]] = {}
    # Reentrant: in the midst of it the garbage collector may find a result that releases its own lock.
    _guard: ClassVar = threading.RLock()

    def __init__(self, folder: Path, name: str = LOCK, *, shared: bool = False) -> None:
        self.key = folder.resolve() / name, shared
        with self._guard:
            opened = self._opened.get(self.key)
            if opened is not None:
                opened.holders += 1  # first: from here on nobody closes it
                if not has_name(opened.file, folder / name):  # the folder may have been replaced
                    self._let_go(opened)
                    opened = None
            if opened is None:
                opened = self._opened[self.key] = _Open(_acquire(folder, name, shared), holders=1)
        self._held: _Open | None = opened

    def release(self) -> None:
        """Release the folder; more than once does no harm."""
        with self._guard:
            opened, self._held = self._held, None
            if opened is not None:
                self._let_go(opened)

    def _let_go(self, opened: _Open) -> None:
        opened.holders -= 1
        if opened.holders == 0:
            if self._opened.get(self.key) is opened:
                del self._opened[self.key]
            os.close(opened.file)


def who_writes(folder: Path) -> str:
    """Name the process that writes into a folder; empty if none does."""
    try:
        file = os.open(folder / LOCK, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except OSError:
        return ""
    try:
        return "" if try_lock(file) else _holder(folder / LOCK)
    finally:
        os.close(file)


def _acquire(folder: Path, name: str, shared: bool) -> int:
    path = folder / name
    for _ in range(_ATTEMPTS):
        file = _open(path)
        if not _lock_soon(file, shared):
            words = _holder(path)
            os.close(file)
            raise FolderBusy(
                f"{words} is writing {folder}: wait until it has ended, or choose another folder for the results"
            )
        if has_name(file, path):
            with suppress(OSError):
                _sign(file)
            return file
        os.close(file)  # another process has just replaced the folder
    raise Nh2stError(f"{folder} is being replaced by other processes: try again when they have ended")


def _lock_soon(file: int, shared: bool) -> bool:
    """Lock a file; wait a moment for a process that only asks who writes."""
    for _ in range(_ATTEMPTS):
        if try_lock(file, shared=shared):
            return True
        time.sleep(_SOON)
    return False


def _open(path: Path) -> int:
    flags = getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)
    except OSError:
        if not path.is_file():
            raise
        return os.open(path, os.O_RDONLY | flags)  # a folder that may be read only


def _sign(file: int) -> None:
    words = json.dumps({"pid": os.getpid(), "host": platform.node()}).encode()
    os.lseek(file, 0, os.SEEK_SET)
    os.ftruncate(file, 0)
    os.write(file, words)


def _holder(path: Path) -> str:
    try:
        words = parse_json(contents(path, _WORDS_LIMIT))
        return f"process {int(words['pid'])} on {str(words['host'])[:80]}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
