"""Stand-ins for what presenters talk to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class FakeThreads:
    """Calls nothing before it is told to: `run` does what was asked for first, at once."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...], Callable[[Any], None], Callable[[Any], None]]] = []

    def call(self, function, *args, then, failed) -> None:
        self.calls.append((function, args, then, failed))

    def run(self) -> None:
        """Do what was asked for first."""
        function, args, then, failed = self.calls.pop(0)
        try:
            outcome = function(*args)
        except Exception as error:
            failed(error)
        else:
            then(outcome)

    def run_all(self) -> None:
        """Do all, with what is asked for meanwhile."""
        while self.calls:
            self.run()
