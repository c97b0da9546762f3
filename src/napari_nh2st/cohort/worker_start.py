"""The start of a worker of this machine: Dask calls `dask_setup` in the new process."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(_: Any) -> None:
    """Leave Ctrl+C to the command, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
