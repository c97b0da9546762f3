"""Workers of Dask: of this machine, or of a scheduler that is there."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from napari_nh2st.engine.cores import usable_cores
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats import check_package

_CONNECT, _WAIT_FOR_FILE = 10, 60  # seconds
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextmanager
def workers_of(count: int | None, scheduler: str | None, device: str) -> Iterator[Any]:
    """Connect to a scheduler, or start so many processes here; yields Dask's client.

    Parameters
    ----------
    count : int or None
        Processes on this machine. With graphics cards, at most one for each of them.
    scheduler : str or None
        Address of a scheduler that is there, such as ``tcp://node1:8786``, or the JSON file that it has written.
    device : str
        As in `PredictionOptions`.

    Raises
    ------
    Nh2stError
        If Dask is not installed, or nobody answers at the address.
    """
    check_package("distributed", "running on several workers", "cohort")
    from distributed import Client

    for name in [*logging.root.manager.loggerDict]:  # each of them has a level and a handler of its own
        if name.split(".")[0] in ("distributed", "tornado", "bokeh"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    if scheduler is None:
        with _closed(_local(count or 1, device)) as cluster, _closed(Client(cluster, set_as_default=False)) as client:
            yield client
        return
    of_file = Path(scheduler).suffix == ".json"
    where: dict[str, Any] = {"scheduler_file" if of_file else "address": scheduler}
    try:
        client = Client(**where, timeout=_WAIT_FOR_FILE if of_file else _CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise Nh2stError(
            f"no scheduler of Dask answers at {scheduler}: is it running, and is the address right?"
        ) from error
    with _closed(client):
        yield client


@contextmanager
def _closed(one: Any) -> Iterator[Any]:
    """Close a client or a cluster at the end; what was computed is there, also if that takes long or it is gone."""
    try:
        yield one
    finally:
        with suppress(Exception):
            one.close(timeout=_CONNECT)


def dashboard_of(client: Any) -> str:
    """Return the address of Dask's own page on a cluster; empty where there is none."""
    if find_spec("bokeh") is None:
        return ""
    with suppress(Exception):
        return str(client.dashboard_link or "")
    return ""


def _local(count: int, device: str) -> Any:
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    cards = _cards(device)
    count = min(count, cards) if cards else count
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, usable_cores() // count))
    environment = {name: threads for name in _THREADS} | {"OMP_WAIT_POLICY": "PASSIVE"}
    common: dict[str, Any] = {
        "nthreads": 1,
        "silence_logs": logging.CRITICAL,
        "memory_limit": "auto",
        "dashboard": False,
    }
    common["preload"] = "napari_nh2st.cohort.worker_start"
    workers = {}
    for number in range(count):
        own = {"env": {"CUDA_VISIBLE_DEVICES": str(number)}, "resources": {"GPU": 1}} if cards else {}
        options = {**common, **own}
        workers[number] = {"cls": Nanny, "options": options}
    page = {"dashboard": find_spec("bokeh") is not None, "dashboard_address": "127.0.0.1:0"}
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, **page}}
    with dask.config.set({"distributed.nanny.pre-spawn-environ": environment}), exported(environment):
        return SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL)


@contextmanager
def exported(environment: dict[str, str]) -> Iterator[None]:
    """Set variables of this process, and of those it starts, for a while; Dask puts them before its own settings."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _cards(device: str) -> int:
    """Return how many graphics cards slides are spread over; 0 where none is wanted or there."""
    import torch

    return torch.cuda.device_count() if device in ("auto", "cuda") else 0
