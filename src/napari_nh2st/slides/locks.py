"""Locks that a forked child may take: it must not wait for a thread that the fork left behind."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Locked(Protocol):
    """An object that guards itself by its `_lock`."""

    _lock: threading.Lock


_owners: weakref.WeakSet[Locked] = weakref.WeakSet()


def give_lock(owner: Locked) -> None:
    """Give `owner` its `_lock`, and a free one in each forked child, before any thread of the child runs.

    Parameters
    ----------
    owner : Locked
        The object; it can be weakly referenced and hashed.
    """
    owner._lock = threading.Lock()
    _owners.add(owner)


def _renew() -> None:
    for owner in list(_owners):
        owner._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
