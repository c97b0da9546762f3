"""The limit of the embedding cache: its size, its folders, and which of them goes first."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from napari_nh2st.atomic import STALE_SECONDS
from napari_nh2st.engine.block_files import ABOUT, JOURNAL, alone, remove, total
from napari_nh2st.errors import Nh2stError
from napari_nh2st.reading import contents, parse_json

LIMIT_VARIABLE = "NH2ST_CACHE_LIMIT"
LIMIT = 20 * 10**9
LIMIT_SHARE = 0.1  # of the disk
RECENT_SECONDS = 600
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
# Only what has such a name is ever looked at or removed, whatever else lies in the folder.
NAME = re.compile(r"[0-9a-f]{24}")
LEFT = re.compile(r"\.([0-9a-f]{24}\.[0-9a-f]{8}-old|nh2st-[0-9a-f]{8}[-0-9a-f]*(\.part|\.old)?)")


@dataclass(frozen=True)
class Entry:
    """A folder of the cache.

    Attributes
    ----------
    folder : Path
    label : str
        A name for people; may be empty.
    blocks : int or None
        How many there are, where the folder can say.
    bytes : int
    used : float
        Last use, seconds since 1970.
    in_use : bool
        Whether a living process has it open.
    """

    folder: Path
    label: str
    blocks: int | None
    bytes: int
    used: float
    in_use: bool


def embeddings_folder(root: Path) -> Path:
    """Return the folder of the embeddings in a cache folder."""
    return root / "embeddings"


def parse_size(text: str) -> int:
    """Return the bytes of a size such as ``5GB``, ``500 MB``, ``1.5TiB`` or ``1000000``.

    Raises
    ------
    Nh2stError
        If it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([kmgt]?i?)b?\s*", text.lower())
    if match is None or match[2] not in UNITS:
        raise Nh2stError(f"{text!r} is not a size: give one such as 5GB or 500MB")
    return int(float(match[1]) * UNITS[match[2]])


def size_text(count: int) -> str:
    """Return a number of bytes for people, such as ``2.9 GB``."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 999 * size else f"{count / size:.0f} {unit}"
    return f"{count} bytes"


def default_limit(root: Path) -> int:
    """Return 20 GB, or a tenth of the disk where that is less."""
    there = next((p for p in (root, *root.parents) if p.exists()), None)
    try:
        return LIMIT if there is None else min(LIMIT, int(shutil.disk_usage(there).total * LIMIT_SHARE))
    except OSError:
        return LIMIT


def limit_of(root: Path) -> int:
    """Return how many bytes the embeddings in a cache folder may take: NH2ST_CACHE_LIMIT, else the default.

    Raises
    ------
    Nh2stError
        If the variable holds no size.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    try:
        return parse_size(text) if text else default_limit(root)
    except Nh2stError as error:
        raise Nh2stError(f"{LIMIT_VARIABLE}: {error}") from None


def entries(parent: Path) -> list[Entry]:
    """Return the folders of embeddings, least recently used first. Their sizes are those of their journals."""
    try:
        names = [p for p in parent.iterdir() if NAME.fullmatch(p.name)]
    except OSError:
        return []
    folders = [entry for p in names if (entry := _entry(p)) is not None]
    # A time to come is of a clock that was wrong: it says nothing of how recently the folder was used.
    latest = time.time() + RECENT_SECONDS
    return sorted(folders, key=lambda e: (e.used <= latest, e.used))


def _entry(folder: Path) -> Entry | None:
    try:
        label = parse_json(contents(folder / ABOUT)).get("label")
    except (OSError, ValueError, AttributeError):
        label = None
    label = label if isinstance(label, str) else ""
    try:
        blocks, size = total(folder)
        used = (folder / JOURNAL).stat().st_mtime
    except OSError:  # of an earlier version, or damaged: it cannot be in use
        try:
            return Entry(folder, label, None, folder_bytes(folder), folder.stat().st_mtime, False)
        except OSError:
            return None
    return Entry(folder, label, blocks, size, used, _in_use(folder, used))


def _in_use(folder: Path, used: float) -> bool:
    if os.name == "nt":  # nothing but a try to rename it could tell
        return abs(time.time() - used) < RECENT_SECONDS
    with alone(folder) as free:
        return not free


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder, by looking at each of them."""
    size = 0
    for where, _, files in os.walk(folder):
        for name in files:
            try:
                size += (Path(where) / name).lstat().st_size
            except OSError:
                continue
    return size


def make_room(parent: Path, limit: int, keep: Path, own: int, wanted: int = 0) -> int:
    """Remove the least recently used folders until all keep to the limit, and one may take what it wants.

    Parameters
    ----------
    parent : Path
        The folder of embeddings.
    limit : int
        Bytes that all its folders may take.
    keep : Path
        The folder that asks. It stays, as do all that a living process has open.
    own, wanted : int
        Bytes that it takes, and that it wants beyond. Nothing is removed for these where that would not suffice.

    Returns
    -------
    int
        Bytes that the others take now.
    """
    others = [e for e in entries(parent) if e.folder != keep]
    taken = sum(e.bytes for e in others)
    if own + wanted + sum(e.bytes for e in others if e.in_use) > limit:
        wanted = 0
    for entry in others:
        if own + wanted + taken <= limit:
            break
        if not entry.in_use and _try_remove(entry.folder):
            taken -= entry.bytes
    return taken


def _try_remove(folder: Path) -> bool:
    try:
        return remove(folder)
    except OSError:
        return False


def sweep(parent: Path, seconds: float = STALE_SECONDS) -> None:
    """Delete folders that killed processes left half removed or half made."""
    try:
        left = [p for p in parent.iterdir() if LEFT.fullmatch(p.name)]
    except OSError:
        return
    for path in left:
        try:
            if path.name.endswith("-old") or abs(time.time() - path.stat().st_mtime) > seconds:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue
