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
# Windows that may be encoded before the oldest one is: with fewer, a thread would wait for a large one to end.
ENCODE_AHEAD = 6


def reader_threads() -> ThreadPoolExecutor:
    """Make the threads that read; to be closed after use."""
    return ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="nh2st-read")


def read_ahead(
    windows: Iterable[What], read: Callable[[What], Pixels], threads: ThreadPoolExecutor, count: int = READ_AHEAD
) -> Iterator[tuple[What, Pixels]]:
    """Yield windows, or other things to be read, with their pixels; `count` are read ahead of the one yielded."""
    coming: deque[tuple[What, Future[Pixels]]] = deque()
    rest = iter(windows)
    try:
        while True:
            while len(coming) < count and (window := next(rest, None)) is not None:
                coming.append((window, threads.submit(read, window)))
            if not coming:
                return
            window, pixels = coming.popleft()
            if (following := next(rest, None)) is not None:
                coming.append((following, threads.submit(read, following)))
            yield window, pixels.result()
    finally:
        wait([future for _, future in coming if not future.cancel()])
