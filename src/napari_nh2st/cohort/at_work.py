"""The way a worker runs a task: one at a time in its process, and nothing is raised: an error becomes its line."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any

from napari_nh2st.engine.options import never
from napari_nh2st.errors import Cancelled, UnknownFormat, one_line, sentence_of
from napari_nh2st.provenance import working_for
from napari_nh2st.terminal import on_command_line

Answer = dict[str, Any]
DONE, FAILED, STOPPED = "done", "failed", "stopped"

_one_at_a_time = threading.Lock()


def answer_of(act: Callable[[Callable[[], bool]], Answer], command: str, **facts: str) -> Answer:
    """Run a task, whatever number of tasks Dask was told that a worker takes.

    Parameters
    ----------
    act : callable
        Takes a question that turns true when nobody wants the task any more.
    command : str
        For the provenance of what is written.
    **facts : str
        They stand in the answer of a task that stopped or failed.

    Returns
    -------
    dict
        What `act` returns; or, with the facts, the state STOPPED, or FAILED with ``error``, ``traceback`` and
        ``worker``.
    """
    cancelled = stop_of_this_task()
    try:
        with _one_at_a_time, working_for(command), on_command_line():
            return {"state": STOPPED, **facts} if cancelled() else act(cancelled)
    except Cancelled:
        return {"state": STOPPED, **facts}
    except Exception as error:
        if cancelled():
            return {"state": STOPPED, **facts}
        brief = error.brief if isinstance(error, UnknownFormat) else None
        line = brief or sentence_of(error) or one_line(f"{type(error).__name__}: {error}")
        worker = this_worker()
        where = "" if worker is None else str(worker.address)
        return {"state": FAILED, **facts, "error": line, "traceback": traceback.format_exc(), "worker": where}


def this_worker() -> Any:
    """Return Dask's worker that runs this, None outside of one."""
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None


def stop_of_this_task() -> Callable[[], bool]:
    """Return a question that turns true when nobody wants this task any more, or its worker closes."""
    worker = this_worker()
    if worker is None:
        return never
    key = worker.get_current_task()
    gone = {"closed", "closing", "failed"}

    def cancelled() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled" or worker.status.name in gone

    return cancelled
