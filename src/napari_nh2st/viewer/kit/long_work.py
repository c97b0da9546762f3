"""The interfaces through which presenters work off the GUI thread. No Qt: `kit.background` and `kit.task` do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

Tell = Callable[[int, int], None]  # (done, total): how far a long piece of work is
Cancelled = Callable[[], bool]
T = TypeVar("T")


class Threads(Protocol):
    """Runs functions off the GUI thread."""

    def call(
        self,
        function: Callable[..., T],
        *args: object,
        then: Callable[[T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Call a function in a thread; exactly one of `then` and `failed` gets what came of it."""


class LongWork(Protocol):
    """Long work of one kind with a progress bar, and a sentence about its end; `kit.jobs` says whose result it is."""

    @property
    def running(self) -> bool:
        """True if what is in the window is being worked on."""

    def start(
        self,
        what: str,
        work: Callable[[Tell, Cancelled], T],
        then: Callable[[T], None],
        ended: Callable[[], None] = ...,
    ) -> None:
        """Do it in a thread; `then` gets what came of it, when what it is about is in the window."""

    def cancel(self) -> None:
        """Ask the work for what is in the window to stop."""

    def cancel_all(self) -> None:
        """Ask all work of this kind to stop, whatever it is about, and drop what it came to."""

    def say(self, text: str) -> None:
        """Say a sentence below the bar."""
