"""The folder for decoded slides and overview levels: built aside, then moved into place."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

VERSION = 2
MARK = "complete.json"
STALE_SECONDS = 24 * 3600


def cache_folder() -> Path:
    """Return the cache: what NH2ST_CACHE names, else the user's cache folder. It need not exist yet."""
    named = os.environ.get("NH2ST_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("napari-nh2st"))


def slide_folder(fingerprint: str) -> Path:
    """Return where the decoded levels of a slide are kept, whether or not they are there."""
    return cache_folder() / "slides" / f"{fingerprint}-v{VERSION}"


def load(folder: Path) -> dict[str, Any] | None:
    """Return what was noted of a complete folder, or None where it is absent or lacks files."""
    try:
        note = json.loads((folder / MARK).read_text(encoding="utf-8"))
        return note if note["files"] == count_files(folder) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def publish(folder: Path, build: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Build a folder under another name and move it into place when it is complete.

    Of several processes that build the same folder the first to finish wins, and the others use its work. A build
    that is interrupted leaves nothing under the final name.

    Parameters
    ----------
    folder : Path
        Its final place.
    build : callable
        Fills the folder it is given, and returns what to note of it.

    Returns
    -------
    dict
        What was noted.

    Raises
    ------
    OSError
        If the cache cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    aside = folder.parent / f".{folder.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}"
    aside.mkdir()
    try:
        note = build(aside)
        note["files"] = count_files(aside) + 1
        (aside / MARK).write_text(json.dumps(note), encoding="utf-8")
        return _move(aside, folder, note)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _move(aside: Path, folder: Path, note: dict[str, Any]) -> dict[str, Any]:
    for _ in range(3):
        try:
            aside.rename(folder)
            return note
        except OSError:
            theirs = load(folder)
            if theirs is not None:
                return theirs
            if folder.exists():  # lacks files: somebody cleaned up; it may not be half replaced, so it goes first
                grave = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}-old"
                folder.rename(grave)
                shutil.rmtree(grave, ignore_errors=True)
    raise OSError(f"{folder} cannot be put in place")


def count_files(folder: Path) -> int:
    """Count the files of a folder and all below it."""
    return sum(len(files) for _, _, files in os.walk(folder))


def _sweep(parent: Path) -> None:
    """Remove what builds that were killed have left a day or more ago."""
    for left in parent.glob(".*-v*.*"):
        try:
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue
