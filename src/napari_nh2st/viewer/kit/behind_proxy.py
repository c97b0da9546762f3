"""napari hands a plugin its viewer behind a proxy, and with it every layer: the same layer is then another object."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def behind_proxy(thing: T) -> T:
    """Return the viewer or layer itself; anything that stands behind no proxy comes back as it is.

    A proxy is equal to its layer, but is not the same object, and lives for one call: a weak reference to it is dead
    at once. Docks therefore take their viewer from here, once.
    """
    own: T = getattr(thing, "__wrapped__", thing)
    return own
