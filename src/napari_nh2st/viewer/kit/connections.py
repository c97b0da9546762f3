"""Connections to a viewer's events that end with a widget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Connections:
    """Connections to a viewer's events that end with the widget that made them."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, Callable[..., Any]]] = []

    def add(self, emitter: Any, callback: Callable[..., Any]) -> None:
        """Connect a callback."""
        emitter.connect(callback)
        self._made.append((emitter, callback))

    def close(self) -> None:
        """Disconnect them all."""
        for emitter, callback in self._made:
            emitter.disconnect(callback)
        self._made.clear()
