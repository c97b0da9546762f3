"""One open slide file: positioned reads that are safe across threads, forks and closing."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

from napari_nh2st.errors import SlideError

SAMPLES, SAMPLE_BYTES = 32, 2048


class SlideFile:
    """A file read by offset.

    Parameters
    ----------
    path : Path
        The file. It is opened for reading at once.

    Raises
    ------
    SlideError
        If the file cannot be opened, or is read after `close`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = False
        self.failures, self.reason = 0, ""
        self._open()
        self.size = os.fstat(self._fd).st_size

    def _open(self) -> None:
        try:
            self._fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise SlideError(f"{self.path} cannot be opened: {error.strerror or error}") from error
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def read(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset`; fewer where the file ends.

        If the disk is gone or the file has become shorter, it returns nothing and counts the failure in `failures`:
        drawing needs no exception, and computing must not take missing pixels for white.
        """
        if os.getpid() != self._pid and not self.closed:
            self._open()  # a forked child needs its own handle, and a lock that no vanished thread holds
        with self._lock:  # also keeps `close` from handing the descriptor to another file during a read
            if self.closed:
                raise SlideError(f"{self.path.name} was closed: open it again before reading")
            try:
                os.lseek(self._fd, offset, os.SEEK_SET)
                data = _read_all(self._fd, count)
            except OSError as error:
                return self._fail(error.strerror or str(error))
            if len(data) < min(count, self.size - offset):
                return self._fail("it is shorter than when it was opened")
            return data

    def _fail(self, reason: str) -> bytes:
        self.failures += 1
        self.reason = reason
        return b""

    def close(self) -> None:
        """Close the file; reads after this raise a `SlideError`."""
        with self._lock:
            if not self.closed:
                self.closed = True
                os.close(self._fd)

    def __del__(self) -> None:
        if not getattr(self, "closed", True) and hasattr(self, "_fd"):
            self.close()


def _read_all(fd: int, count: int) -> bytes:
    parts = []
    while count > 0 and (part := os.read(fd, count)):
        parts.append(part)
        count -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def fingerprint(file: SlideFile, shape: tuple[int, int], extra: bytes = b"") -> str:
    """Identify a slide's content from a few samples, never from the whole file.

    Parameters
    ----------
    file : SlideFile
        Its name and place do not matter.
    shape : (height, width)
        Level-0 pixels.
    extra : bytes
        Anything else at hand that tells slides apart, such as the sizes of the tiles.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{file.size} {shape[0]} {shape[1]}".encode())
    last = max(file.size - SAMPLE_BYTES, 0)
    for i in range(SAMPLES):
        digest.update(file.read(last * i // (SAMPLES - 1), SAMPLE_BYTES))
    digest.update(extra)
    return digest.hexdigest()
