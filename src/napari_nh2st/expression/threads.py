"""Threads that torch was given, kept while scanpy computes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def threads_kept() -> Iterator[None]:
    """Give torch its threads back afterwards.

    numba, with which scanpy computes, raises OpenMP's threads to all processors when it first runs, for torch as well.
    Where torch should have fewer, because other processes are at work, its threads then wait for one another most of
    the time; and what is computed before and after differs in the last digit.
    """
    torch = sys.modules.get("torch")
    before = 0 if torch is None else torch.get_num_threads()
    try:
        yield
    finally:
        if torch is not None and torch.get_num_threads() != before:
            torch.set_num_threads(before)
