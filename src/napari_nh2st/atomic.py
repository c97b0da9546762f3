"""Files and folders that are either finished or not there.

A draft is written beside the target under a hidden name and renamed when it is complete, so an error, a full disk or
a stop leaves nothing half-written under the final name. A draft's name says for which target it is and which process
writes it: what a killed process has left goes when the same target is written again.
"""

from __future__ import annotations

import functools
import os
import platform
import secrets
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Folders that no reader takes for a result: a draft, and what a new one is about to replace.
_UNFINISHED, _REPLACED = ".part", ".old"

STALE_SECONDS = 24 * 3600
"""What a process has left in the cache half made, and has not touched for so long, goes."""


def _beside(target: Path, suffix: str) -> Path:
    """Name a hidden sibling, short even if the target's name is long."""
    return target.with_name(f"{_prefix(target)}{_machine()}-{os.getpid()}-{secrets.token_hex(4)}{suffix}")


def _prefix(target: Path) -> str:
    return f".nh2st-{_digest(target.name)}-"


def _digest(text: str) -> str:
    return f"{zlib.crc32(text.encode('utf-8', 'surrogateescape')):08x}"


@functools.lru_cache(maxsize=1)
def _machine() -> str:
    """Name this machine, or this container: where the same number means the same process."""
    try:
        processes = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        processes = ""
    return _digest(f"{platform.node()} {processes}")


def remove_leftovers(target: Path) -> None:
    """Remove the drafts of a target whose processes are gone; one that ended in mid-replacement is put back first."""
    start = f"{_prefix(target)}{_machine()}-"
    try:
        with os.scandir(target.parent) as entries:
            drafts = [entry.name for entry in entries if entry.name.startswith(start)]
    except OSError:
        return
    for name in drafts:
        pid = name[len(start) :].split("-")[0]
        if pid.isdecimal() and not _alive(int(pid)):
            path = target.with_name(name)
            if path.suffix == _REPLACED and not target.exists():
                path.rename(target)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()


def _alive(pid: int) -> bool:
    if os.name == "nt":  # os.kill would end the process there
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True


def _make_parent(target: Path) -> None:
    """Make the folders above a target."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next((p for p in target.parents if os.path.lexists(p) and not p.is_dir()), None)
        if file is None:
            raise
        raise FileExistsError(f"{file} is a file, so {target.name} cannot be made in it: give another name") from None


def _sync(path: Path) -> None:
    """Flush a file to the disk before it gets its name."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def finished_file(path: str | Path) -> Iterator[Path]:
    """Write a file that appears under its name only when it is complete.

    Parameters
    ----------
    path : path
        The final file. Its folder is made if needed; an existing file is replaced at the end.

    Yields
    ------
    Path
        The draft to write: the same folder and suffix, another name.

    Raises
    ------
    IsADirectoryError
        If a folder has the name.

    Examples
    --------
    >>> with finished_file("report.json") as draft:
    ...     draft.write_text("{}")
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: give the name of a file")
    _make_parent(target)
    remove_leftovers(target)
    draft = _beside(target, target.suffix)
    try:
        yield draft
        _sync(draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def finished_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Fill a folder that appears under its name only when it is complete.

    Parameters
    ----------
    path : path
        The final folder; those above it are made if needed.
    overwrite : bool
        Replace an existing folder at the end. Otherwise only an empty one may exist.

    Yields
    ------
    Path
        An empty folder beside it, to fill.

    Raises
    ------
    FileExistsError
        If the name is taken.
    """
    target = Path(path)
    if target.is_symlink():  # what it leads to is replaced, not the link
        if not target.exists():
            raise FileExistsError(f"{target} is a link to {target.readlink()}, which is not there: remove the link")
        target = target.resolve()
    if target.is_file():
        raise FileExistsError(f"{target} is a file: give the name of a folder")
    if not overwrite and target.is_dir() and any(target.iterdir()):
        raise FileExistsError(f"{target} exists already: give another name or remove it")
    _make_parent(target)
    remove_leftovers(target)
    draft = _beside(target, _UNFINISHED)
    draft.mkdir()
    try:
        yield draft
        _swap(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _swap(draft: Path, target: Path) -> None:
    """Give the draft the target's name; put the old folder back if that fails."""
    if not target.exists():
        draft.rename(target)
        return
    old = _beside(target, _REPLACED)
    target.rename(old)
    try:
        draft.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
