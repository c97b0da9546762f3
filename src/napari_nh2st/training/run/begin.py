"""The beginning of a run in its folder."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from napari_nh2st.engine.file_lock import FolderLock
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.expression import Sample
from napari_nh2st.model.folder import find_model
from napari_nh2st.reading import parse_json, read_lines
from napari_nh2st.terminal import option
from napari_nh2st.training.run.record import RunSettings, record_environment
from napari_nh2st.training.run.run_folder import RunFolder

_FULL = {errno.ENOSPC, errno.EDQUOT}


def check_folder(folder: RunFolder, resume: bool) -> None:
    """Make sure that there is a run to resume, or none to overwrite.

    Raises
    ------
    Nh2stError
    """
    going_on = option("resume", "resume=True")
    if resume and not folder.start.is_file():
        raise Nh2stError(f"{folder.path} holds no run to resume: start it without {going_on}")
    if not resume and (folder.last.exists() or folder.model.exists()):
        raise Nh2stError(f"{folder.path} holds a run already: choose another {option('out')}, or go on with {going_on}")


def has_ended(folder: RunFolder) -> bool:
    """Tell whether a run has done all it was to do, and its model is there: going on would only undo its card."""
    try:
        find_model(folder.model)
        last = parse_json([line for line in read_lines(folder.metrics) if line.strip()][-1])
    except (Nh2stError, IndexError, ValueError):
        return False
    return isinstance(last, dict) and last.get("event") == "done"


def begin_run(folder: RunFolder, settings: RunSettings, samples: Sequence[Sample], resume: bool) -> None:
    """Make the folder ready, and record what the run is started with."""
    folder.path.mkdir(parents=True, exist_ok=True)
    if not resume:
        shutil.rmtree(folder.checkpoints, ignore_errors=True)  # of a run that was ended before its first epoch
        settings.record(folder, samples)
    folder.checkpoints.mkdir(exist_ok=True)
    for ready in (folder.ready, folder.ready_again):
        ready.unlink(missing_ok=True)
    record_environment(folder, settings.config)


@contextmanager
def alone_in(folder: RunFolder, first: bool) -> Iterator[None]:
    """Keep other runs out of the folder meanwhile; `first` is the one process of a run that writes.

    Raises
    ------
    Nh2stError
        If another run writes there; the message names its process.
    """
    if not first:
        yield
        return
    folder.path.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(folder.path)
    try:
        yield
    finally:
        lock.release()


def wait_until_ready(ready: Path, cancelled: Callable[[], bool]) -> None:
    """Wait until the first process has prepared what this one trains on as well, and says so by a file.

    Raises
    ------
    Cancelled
    """
    while not ready.is_file():
        if cancelled():
            raise Cancelled("stopped while another process was preparing")
        time.sleep(0.5)


@contextmanager
def explain_full_disk(folder: RunFolder) -> Iterator[None]:
    """Turn a full disk into a line that a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        going_on = option("resume", "resume=True")
        raise Nh2stError(
            f"the disk that holds {folder.path} is full: free some space, then go on with {going_on}; "
            "what was kept is not lost"
        ) from error
