"""HDF5 read in a process of its own, with a time limit: a damaged file may hang or crash that one only.

The process imports h5py and NumPy alone, serves one request after another, and ends when nobody has asked for a while,
or when this process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError

_START = 15.0  # seconds for a small file, and for the process to start
_RATE = 5e5  # bytes of the file a second: some unpack to fifty times as many, and machines are busy
_GRACE = 5.0
_LARGE = 256 << 20  # bytes of an answer, after which the process gives its memory back by ending
# -P: a file numpy.py in the folder where somebody works is not NumPy
PROGRAM = (sys.executable, "-P", "-m", "napari_nh2st.expression.apart_main")


def read_apart(kind: str, path: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read a file in another process.

    Parameters
    ----------
    kind : str
        A key of `apart_main.READERS`.
    path : Path

    Returns
    -------
    header : dict
    arrays : dict

    Raises
    ------
    SampleError
        If it is not a plain file, cannot be read, takes too long, or ends the process that reads it.
    """
    path = Path(path)
    try:
        found = path.stat()
    except OSError as error:
        raise SampleError(f"cannot read {path}: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise SampleError(f"cannot read {path}: it is not a plain file")
    return _readers.ask(kind, path, _START + found.st_size / _RATE)


class _Reader:
    """A process that reads files, and the pipes to and from it."""

    def __init__(self) -> None:
        hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # of Windows
        self._process = subprocess.Popen(
            PROGRAM,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=hidden,
        )
        self.used = False

    def ask(self, kind: str, path: Path, limit: float) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]] | None:
        """Return header and arrays; None if the process ended without an answer."""
        request = json.dumps({"kind": kind, "path": os.fspath(path), "limit": limit}) + "\n"
        late = threading.Timer(limit + _GRACE, self._process.kill)
        late.daemon = True
        late.start()
        try:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(request.encode("ascii"))
            self._process.stdin.flush()
            return _answer(self._process.stdout)
        except (OSError, EOFError, ValueError):  # a pipe whose other end is gone
            return None
        finally:
            self.used = True
            late.cancel()

    def ended_because(self, limit: float, seconds: float) -> str:
        """Say why there is no answer."""
        code = self._process.wait()
        if seconds >= limit:
            return f"reading it did not end within {limit:.0f} s"
        return f"reading it ended the process that read it ({'signal' if code < 0 else 'code'} {abs(code)})"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe and pipe.close()
        self._process.wait()


def _answer(pipe: IO[bytes]) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    line = pipe.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    header = json.loads(line)
    arrays = {}
    for name, dtype, shape in header.pop("arrays", []):
        array = np.empty(shape, dtype=dtype)
        _fill(pipe, array.reshape(-1).view(np.uint8))
        arrays[name] = array
    return header, arrays


def _fill(pipe: IO[bytes], buffer: npt.NDArray[np.uint8]) -> None:
    at = 0
    while at < len(buffer):
        got = pipe.readinto(buffer[at:])  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        at += got


class _Readers:
    """The idle process, if there is one; threads that ask at once each have their own."""

    def __init__(self) -> None:
        self._idle: list[_Reader] = []
        self._lock = threading.Lock()
        atexit.register(self.close)

    def ask(self, kind: str, path: Path, limit: float) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        while True:
            reader = reader or _Reader()
            waited, begun = reader.used, time.monotonic()
            try:
                answer = reader.ask(kind, path, limit)
            except BaseException:  # Ctrl+C
                reader.close()
                raise
            if answer is not None:
                return self._taken(reader, *answer)
            seconds = time.monotonic() - begun
            why = reader.ended_because(limit, seconds)
            reader.close()
            reader = None
            if not waited or seconds >= limit:  # else it may have ended for want of work: once more, with a new one
                raise SampleError(f"cannot read {path}: {why}; it is damaged")

    def _taken(
        self, reader: _Reader, header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]
    ) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Keep the process for the next request, unless the file was bad or large."""
        error = header.get("error")
        with self._lock:
            keep = error is None and not self._idle and sum(a.nbytes for a in arrays.values()) < _LARGE
            if keep:
                self._idle.append(reader)
        if not keep:
            reader.close()
        if error is not None:
            raise SampleError(str(error))
        return header, arrays

    def close(self) -> None:
        """End the idle process."""
        with self._lock:
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()


_readers = _Readers()
if hasattr(os, "register_at_fork"):  # a fork shares the pipes: it starts a process of its own
    os.register_at_fork(after_in_child=lambda: globals().__setitem__("_readers", _Readers()))
