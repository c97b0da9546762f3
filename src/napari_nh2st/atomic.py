"""Files and folders that are either finished or not there.

A draft is written beside the target under a hidden name and renamed when it is complete, so an error, a full disk or
a stop leaves nothing half-written under the final name.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _beside(target: Path) -> Path:
    """Name a hidden sibling with the target's suffix (writers need it), short even if the target's name is long."""
    return target.with_name(f".nh2st-{secrets.token_hex(4)}{target.suffix}")


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
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = _beside(target)
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
    if target.is_file():
        raise FileExistsError(f"{target} is a file: give the name of a folder")
    if not overwrite and target.is_dir() and any(target.iterdir()):
        raise FileExistsError(f"{target} exists already: give another name or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = _beside(target)
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
    old = _beside(target)
    target.rename(old)
    try:
        draft.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
