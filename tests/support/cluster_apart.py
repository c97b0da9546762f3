"""A scheduler and workers of Dask as processes of their own, started as people start them on a cluster, and killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

_WAIT = 120.0  # seconds for a process that should be there


class ClusterApart:
    """One scheduler and some workers, each with a nanny that replaces a worker that has ended."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder, self.count = folder, workers
        self.file = folder / "scheduler.json"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.nannies: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> ClusterApart:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.file.unlink(missing_ok=True)
        own = ["--no-dashboard", "--scheduler-file", str(self.file)]
        self.scheduler = self._begin("dask_scheduler", "--host", "127.0.0.1", "--port", "0", *own)
        until = time.monotonic() + _WAIT
        while not self._written() and time.monotonic() < until:
            time.sleep(0.05)
        words = ["--nthreads", "1", "--local-directory", str(self.folder / "dask")]
        self.nannies = [self._begin("dask_worker", *words, *own) for _ in range(self.count)]

    def _begin(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / "cluster.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", f"distributed.cli.{module}", *words], stdout=log, stderr=log)

    def _written(self) -> bool:
        """Tell whether the scheduler has written its file to the end."""
        return self.file.exists() and self.file.read_text().rstrip().endswith("}")

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text())["address"])

    def kill_worker(self, number: int) -> bool:
        """Kill the process that computes; False if it is not there yet."""
        return kill_computing(self.nannies[number].pid)

    def kill_scheduler(self) -> None:
        assert self.scheduler is not None
        self.scheduler.kill()
        self.scheduler.wait()

    def stop(self) -> None:
        """End everything, by force."""
        for process in [*self.nannies, *([self.scheduler] if self.scheduler else [])]:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.wait()
        self.nannies, self.scheduler = [], None


def kill_computing(parent: int, number: int = 0) -> bool:
    """Kill one of the workers' processes that a process has started, those that compute; False if none is there."""
    computing = []
    for child in psutil.Process(parent).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # some end soon, those that read a file
            if "spawn_main" in " ".join(child.cmdline()):
                computing.append(child)
    if computing:
        computing[number % len(computing)].kill()
    return bool(computing)
