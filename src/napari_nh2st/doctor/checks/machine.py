"""Checks of the disk, the memory, the folders that are written to, the clock. Standard library alone."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from napari_nh2st.doctor.examination import Probes
from napari_nh2st.doctor.finding import Finding, fault, ok, warning
from napari_nh2st.doctor.system import free_bytes, free_memory, network_kind, write_problem
from napari_nh2st.errors import Nh2stError

GB = 10**9
_LITTLE, _TOO_LITTLE = 5 * GB, GB // 2
_LITTLE_MEMORY, _TOO_LITTLE_MEMORY = 4 * GB, 3 * GB // 2
_FIRST_DAY = 1_735_689_600  # 2025: nobody runs this before it was written
_CLOCK_SECONDS = 60


def memory(_: Probes) -> Finding | None:
    """Hold the free memory against what a prediction takes."""
    free = free_memory()
    if free is None:
        return None
    said = f"{free / GB:.1f} GB of memory are free"
    if free < _TOO_LITTLE_MEMORY:
        return fault(f"only {said}: a prediction needs about 1.5 GB", "close other programs")
    if free < _LITTLE_MEMORY:
        return warning(f"only {said}: training needs more", "close other programs before you train")
    return ok(said)


def home_folder(_: Probes) -> Finding:
    """Look for a home folder that can be written to: napari's settings and the list of runs lie there."""
    mend = "set HOME to a folder of yours, or NH2ST_CACHE and NAPARI_CONFIG to places that can be written to"
    try:
        home = Path.home()
    except (RuntimeError, OSError):
        return warning("there is no home folder: settings and the list of runs are not kept", mend)
    if not home.is_dir():
        return warning(f"the home folder {home} does not exist: settings are not kept", mend)
    problem = write_problem(home)
    if problem:
        return warning(f"nothing can be written into the home folder {home} ({problem})", mend)
    return ok("the home folder can be written to")


def temporary_folder(_: Probes) -> Finding:
    """Look for a temporary folder that can be written to."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        told = os.environ.get(name)
        if told and not Path(told).is_dir():
            return warning(f"{name} names {told}, which is not a folder", f"make it, or unset {name}")
    try:
        folder = Path(tempfile.gettempdir())
    except OSError:
        return fault("there is no folder for temporary files that can be written to", "set TMPDIR to one")
    problem = write_problem(folder)
    if problem:
        return fault(f"nothing can be written into {folder} ({problem})", "set TMPDIR to another folder")
    free = free_bytes(folder)
    if free is not None and free < _TOO_LITTLE:
        return fault(f"{folder} has only {free / 1e6:.0f} MB free", "free some space, or set TMPDIR to another folder")
    return ok("temporary files can be written")


def working_folder(_: Probes) -> Finding:
    """Look whether there is space where the command was given: results are written there."""
    try:
        here = Path.cwd()
    except OSError:
        return warning("the current folder no longer exists", "change to another one: cd ~")
    free = free_bytes(here)
    if free is not None and free < _TOO_LITTLE:
        return fault(f"the disk of this folder has only {free / 1e6:.0f} MB free", "free some space")
    if free is not None and free < _LITTLE:
        return warning(f"the disk of this folder has only {free / GB:.1f} GB free", "free some space before a long run")
    return ok(
        "the disk of this folder has space" if free is None else f"the disk of this folder has {free / GB:.0f} GB free"
    )


def cache(_: Probes) -> Finding:
    """Look whether the cache folder can be written to, has space, and keeps to its limit."""
    from napari_nh2st.engine.eviction import LIMIT_VARIABLE, embeddings_folder, entries, limit_of, size_text
    from napari_nh2st.slides.cache import cache_folder

    root = cache_folder()
    elsewhere = "set NH2ST_CACHE to a folder on a disk of this machine"
    problem = write_problem(root)
    if problem:
        return fault(f"the cache folder {root} cannot be written to ({problem})", elsewhere)
    try:
        limit = limit_of(root)
    except Nh2stError as error:
        return fault(str(error), f"unset {LIMIT_VARIABLE}, or give a size such as 20GB")
    used = sum(entry.bytes for entry in entries(embeddings_folder(root)))
    free, network = free_bytes(root), network_kind(root)
    said = f"the cache holds {size_text(used)} of at most {size_text(limit)}"
    if free is not None and free < _TOO_LITTLE:
        return fault(f"the disk of the cache folder {root} is nearly full", f"nh2st cache clear, or {elsewhere}")
    if used > limit * 1.05:
        return warning(f"{said}: it is over its limit", "nh2st cache clear --embeddings; it may be in use just now")
    if network:
        return warning(
            f"the cache folder {root} lies on a network drive ({network}): predictions wait for it", elsewhere
        )
    return ok(said)


def clock(_: Probes) -> Finding:
    """Hold the clock against the times that new files get."""
    now = time.time()
    if now < _FIRST_DAY:
        return fault(
            f"the clock says {time.strftime('%Y-%m-%d')}", "set the clock: ages of files and runs depend on it"
        )
    with contextlib.suppress(OSError):
        with tempfile.NamedTemporaryFile() as file:
            ahead = Path(file.name).stat().st_mtime - now
        if abs(ahead) > _CLOCK_SECONDS:
            return warning(
                f"the clocks of this machine and of its disk differ by {abs(ahead):.0f} s",
                "set both clocks from one time server (NTP)",
            )
    return ok("the clock is right, as far as files can tell")


def text_encoding(_: Probes) -> Finding:
    """Look whether names and texts are UTF-8."""
    encoding = sys.getfilesystemencoding().lower().replace("-", "")
    if encoding != "utf8":
        return warning(f"file names are read as {encoding}: letters with accents get lost", "set LANG=C.UTF-8")
    return ok("names of files are UTF-8")
