"""Reading the pixels of what comes next while something is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

What = TypeVar("What")
Pixels = TypeVar("Pixels")

# Windows read ahead of the encoder: it bounds the memory that their pixels take.
READ_AHEAD = 2


def reader_threads() -> ThreadPoolExecutor:
    """Make the threads that read; to be closed after use."""
    return ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="nh2st-read")


def read_ahead(
    windows: Iterable[What], read: Callable[[What], Pixels], threads: ThreadPoolExecutor
) -> Iterator[tuple[What, Pixels]]:
    """Yield windows, or other things to be read, with their pixels; a few are read ahead of the one yielded."""
    coming: deque[tuple[What, Future[Pixels]]] = deque()
    rest = iter(windows)
    try:
        while True:
            while len(coming) < READ_AHEAD and (window := next(rest, None)) is not None:
                coming.append((window, threads.submit(read, window)))
            if not coming:
                return
            window, pixels = coming.popleft()
            if (following := next(rest, None)) is not None:
                coming.append((following, threads.submit(read, following)))
            yield window, pixels.result()
    finally:
        wait([future for _, future in coming if not future.cancel()])
