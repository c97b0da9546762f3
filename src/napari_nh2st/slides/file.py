"""One open slide file: positioned reads that are safe across threads, forks and closing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path

from napari_nh2st.errors import SlideAway, SlideError
from napari_nh2st.slides.locks import give_lock

SAMPLES, SAMPLE_BYTES = 32, 2048
CHANGED = "it has changed since it was opened"
SHORTER = "it is shorter than when it was opened"


class SlideFile:
    """A file read by offset, which notices if it is no longer the file that was opened.

    Parameters
    ----------
    path : Path
        The file. It is opened for reading at once.

    Raises
    ------
    SlideError
        If the file cannot be opened, or is read after `close`.
    """

    _lock: threading.Lock

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = path.absolute()  # the working folder may change
        self.closed = False
        self.failures, self.reason = 0, ""
        self._samples: bytes | None = None
        give_lock(self)
        try:
            self._open()
            opened, self._named = os.fstat(self._fd), _place(self._at.stat())
        except OSError as error:
            raise SlideError(f"{path} cannot be opened: {error.strerror or error}") from error
        self.size = opened.st_size
        self._written = opened.st_mtime_ns

    def _open(self) -> None:
        self._fd = os.open(self._at, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._pid = os.getpid()

    def read(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset`; fewer where the file ends.

        If the disk is gone or the file is another one now, it returns nothing and counts the failure in `failures`:
        drawing needs no exception, and computing must not take missing pixels for white. Once the file is back as it
        was, reading goes on.
        """
        with self._lock:  # also keeps `close` from handing the descriptor to another file during a read
            if self.closed:
                raise SlideError(f"{self.path.name} was closed: open it again before reading")
            data, trouble = self._read(offset, count)
            if trouble and trouble not in (CHANGED, SHORTER):
                again = self._find_again()  # a network drive that came back has other handles
                data, trouble = self._read(offset, count) if not again else (b"", again)
            return self._fail(trouble) if trouble else data

    def _read(self, offset: int, count: int) -> tuple[bytes, str]:
        try:
            if os.getpid() != self._pid and (trouble := self._find_again()):  # a forked child needs its own handle
                return b"", trouble
            os.lseek(self._fd, offset, os.SEEK_SET)
            data = _read_all(self._fd, count)
            trouble = self._trouble()
        except OSError as error:
            return b"", error.strerror or str(error)
        return data, trouble or (SHORTER if len(data) < min(count, self.size - offset) else "")

    def _trouble(self) -> str:
        """Say why the file is no longer what was opened, "" if it still is; called after its bytes were read."""
        opened, named = os.fstat(self._fd), self._at.stat()
        if opened.st_size < self.size:
            return SHORTER
        if (opened.st_size, opened.st_mtime_ns) != (self.size, self._written):
            return CHANGED
        return "" if _place(named) == self._named else self._find_again()

    def _find_again(self) -> str:
        """Open the path anew if the same file stands there, moved back or on a drive that came back."""
        before, pid = self._fd, self._pid
        try:
            named = self._at.stat()
            if (named.st_size, named.st_mtime_ns) != (self.size, self._written):
                return CHANGED
            self._open()
        except OSError as error:
            return error.strerror or str(error)
        try:
            same = self._samples is None or self._sampled() == self._samples
        except OSError as error:
            same, reason = False, error.strerror or str(error)
        else:
            reason = CHANGED
        if not same:
            os.close(self._fd)
            self._fd, self._pid = before, pid
            return reason
        self._named = _place(named)
        if pid == self._pid and before != self._fd:
            with contextlib.suppress(OSError):  # a stale handle may not even close
                os.close(before)
        return ""

    def _fail(self, reason: str) -> bytes:
        self.failures += 1
        self.reason = reason
        return b""

    def verify(self, failures: int) -> None:
        """Raise if reading failed since `failures` were counted, or if the file is not what was opened.

        Raises
        ------
        SlideAway
            If the file is out of reach, and may come back.
        SlideError
            If it has changed.
        """
        self.read(0, 1)
        if self.failures == failures:
            return
        if self.reason in (CHANGED, SHORTER):
            shorter = f"can no longer be read ({SHORTER}): it " if self.reason == SHORTER else ""
            raise SlideError(f"{self.path} {shorter}has changed since it was opened: open it again")
        raise SlideAway(f"{self.path} can no longer be read ({self.reason}): is its disk still there?")

    def samples(self) -> bytes:
        """Return bytes from `SAMPLES` places of the file, as they were when they were first asked for."""
        if self._samples is None:
            try:
                with self._lock:
                    self._samples = self._sampled()
            except OSError as error:
                raise SlideAway(
                    f"{self.path} cannot be read ({error.strerror or error}): is its disk there?"
                ) from error
        return self._samples

    def _sampled(self) -> bytes:
        parts = []
        for start in sample_starts(self.size):
            os.lseek(self._fd, start, os.SEEK_SET)
            parts.append(_read_all(self._fd, SAMPLE_BYTES))
        return b"".join(parts)

    def close(self) -> None:
        """Close the file; reads after this raise a `SlideError`."""
        with self._lock:
            if not self.closed:
                self.closed = True
                with contextlib.suppress(OSError):
                    os.close(self._fd)

    def __del__(self) -> None:
        if not getattr(self, "closed", True) and hasattr(self, "_fd"):
            self.close()


def sample_starts(size: int) -> list[int]:
    """Return where the samples of a file of so many bytes begin."""
    last = max(size - SAMPLE_BYTES, 0)
    return [last * i // (SAMPLES - 1) for i in range(SAMPLES)]


def _place(status: os.stat_result) -> tuple[int, ...]:
    """Return what is looked at before the content is: the last one also tells a write whose time was set back."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


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
    digest.update(file.samples())
    digest.update(extra)
    return digest.hexdigest()
