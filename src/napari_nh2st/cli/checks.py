"""Checks that need no torch: what is wrong with a command is said within a second."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from napari_nh2st.errors import Nh2stError, SlideError
from napari_nh2st.slide_path import is_there


def check_parent(out: Path) -> None:
    """Make sure that a file or folder can be written here.

    Raises
    ------
    Nh2stError
        If a file stands where a folder has to be, or this user may not write there.
    """
    place = out.expanduser()
    while not os.path.lexists(place) and place.parent != place:
        place = place.parent
    if place != out.expanduser() and place.is_file():
        raise Nh2stError(f"{place} is a file, so {out} cannot be made: choose another --out")
    folder = place if place.is_dir() else place.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Nh2stError(f"{folder} is not yours to write: choose another --out, or ask its owner for permission")


def check_new(out: Path, overwrite: bool) -> None:
    """Make sure that a file can be written, and replaces none unless that is asked for.

    Raises
    ------
    Nh2stError
        As `check_parent`, or if it is there already.
    """
    if out.exists() and not overwrite:
        raise Nh2stError(f"{out} is there already: choose another --out, or replace it with --overwrite")
    check_parent(out)


def check_folder(out: Path) -> None:
    """Make sure that results can be written into a folder.

    Raises
    ------
    Nh2stError
        As `check_parent`, or if it is a file.
    """
    if out.is_file():
        raise Nh2stError(f"{out} is a file, so no folder of that name can be made: choose another --out")
    check_parent(out)


def check_slides(paths: Iterable[Path]) -> None:
    """Make sure that slides are there.

    Raises
    ------
    SlideError
    """
    for path in paths:
        if not is_there(path):
            raise SlideError(f"{path} does not exist")


def check_workers(workers: int | None, scheduler: str | None) -> bool:
    """Tell whether the work goes to workers of Dask.

    Raises
    ------
    Nh2stError
        If Dask is not installed, or both were given.
    """
    if workers is None and scheduler is None:
        return False
    from napari_nh2st.formats import check_package

    check_package("distributed", "running on several workers", "cohort")
    if workers is not None and scheduler is not None:
        raise Nh2stError("give either --workers, for processes here, or --scheduler, for a cluster that is there")
    return True
