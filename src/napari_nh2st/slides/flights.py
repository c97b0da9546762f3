"""Work that several threads may want at once, and that one of them does for all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from napari_nh2st.errors import Cancelled
from napari_nh2st.slides.locks import give_lock

T = TypeVar("T")
WAIT_SECONDS = 0.05


class _Flight(Generic[T]):
    """One piece of work under way."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.result: tuple[T] | None = None


class Flights(Generic[T]):
    """Does each piece of work once, whichever threads ask for it at the same time."""

    _lock: threading.Lock

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}
        self._pid = os.getpid()
        give_lock(self)

    def once(self, key: Hashable, make: Callable[[], tuple[T, bool]], cancelled: Callable[[], bool]) -> T:
        """Return what `make` returns; wait for the thread that is making it already.

        Parameters
        ----------
        key : hashable
            Names the work.
        make : callable
            Returns the result, and whether others may have it too. If not, or if it fails, they make it themselves.
        cancelled : callable
            Asked while this thread waits.

        Raises
        ------
        Cancelled
        """
        while True:
            flight, mine = self._board(key)
            if mine:
                return self._fly(key, flight, make)
            while not flight.ended.wait(WAIT_SECONDS):
                if cancelled():
                    raise Cancelled("stopped")
            if flight.result is not None:
                return flight.result[0]

    def _fly(self, key: Hashable, flight: _Flight[T], make: Callable[[], tuple[T, bool]]) -> T:
        try:
            result, shared = make()
            if shared:
                flight.result = (result,)
            return result
        finally:
            with self._lock:
                self._flights.pop(key, None)
            flight.ended.set()

    def _board(self, key: Hashable) -> tuple[_Flight[T], bool]:
        with self._lock:
            if self._pid != os.getpid():  # in a forked child: the threads that worked here are not in it
                self._flights, self._pid = {}, os.getpid()
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = _Flight()
            return flight, True
