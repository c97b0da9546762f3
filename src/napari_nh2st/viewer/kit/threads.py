"""The border between presenters and threads: presenters have functions called elsewhere and know no Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Threads(Protocol):
    """Calls functions off the GUI thread, as `background.Background` does."""

    def call(
        self,
        function: Callable[..., T],
        *args: object,
        then: Callable[[T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Call a function in a thread; exactly one of `then` and `failed` gets the outcome, on the GUI thread."""
