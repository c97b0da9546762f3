"""Reading the pixels of the next windows while one is encoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from napari_nh2st.engine.model_runner import U8
from napari_nh2st.engine.windows import Window

# Windows read ahead of the encoder: it bounds the memory that their pixels take.
READ_AHEAD = 2


def reader_threads() -> ThreadPoolExecutor:
    """Make the threads that read; to be closed after use."""
    return ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="nh2st-read")


def read_ahead(
    windows: Iterable[Window], read: Callable[[Window], U8], threads: ThreadPoolExecutor
) -> Iterator[tuple[Window, U8]]:
    """Yield windows with their pixels, a few of them read ahead of the one that is yielded."""
    coming: deque[tuple[Window, Future[U8]]] = deque()
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
        for _, future in coming:
            future.cancel()
