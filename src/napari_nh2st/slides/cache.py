"""The folder for decoded slides and overview levels: level 0 is built aside, then moved into place."""

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

from napari_nh2st.atomic import STALE_SECONDS
from napari_nh2st.reading import contents, parse_json

VERSION = 4
MARK = "complete.json"
DECODED = "0"
"""The part of a folder that is built aside; what is made later, chunk by chunk, lies beside it."""


def cache_folder() -> Path:
    """Return the cache folder: NH2ST_CACHE if it is set, else the user's. It need not exist yet."""
    named = os.environ.get("NH2ST_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("napari-nh2st"))


def slide_folder(fingerprint: str) -> Path:
    """Return the folder for the decoded levels of a slide. It need not exist yet."""
    return cache_folder() / "slides" / f"{fingerprint}-v{VERSION}"


def load(folder: Path) -> dict[str, Any] | None:
    """Return the note of a complete folder, or None if the folder is absent or lacks files."""
    try:
        note: dict[str, Any] = parse_json(contents(folder / MARK))
        return note if note["files"] == count_files(folder) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def publish(folder: Path, build: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Build a folder under another name and move it into place when it is complete.

    If several processes build the same folder, the first to finish wins and the others use its work. An interrupted
    build leaves nothing under the final name.

    Parameters
    ----------
    folder : Path
        Its final place.
    build : callable
        Fills the folder it is given, and returns the note to store with it.

    Returns
    -------
    dict
        The note.

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
            if folder.exists():  # somebody deleted files in it: remove it first, so that it is never half replaced
                grave = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}-old"
                folder.rename(grave)
                shutil.rmtree(grave, ignore_errors=True)
    raise OSError(f"{folder} cannot be put in place")


def count_files(folder: Path) -> int:
    """Count the files that are built aside: the decoded level and the mark of a complete folder."""
    return sum(len(files) for _, _, files in os.walk(folder / DECODED)) + (folder / MARK).is_file()


def _sweep(parent: Path) -> None:
    """Remove the leftovers of builds that were killed a day or more ago."""
    for left in parent.glob(".*-v*.*"):
        try:
            if abs(time.time() - left.stat().st_mtime) > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue
