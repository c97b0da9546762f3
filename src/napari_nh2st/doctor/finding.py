"""The finding of a check: how serious it is, a sentence of what was found, a sentence of what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """The finding of one check.

    Attributes
    ----------
    level : str
        A fault stops something from working; a warning is good to know.
    found : str
        One sentence.
    mend : str
        One sentence that says what to do; empty where nothing is wrong.
    details : tuple of str
        Lines for who wants to know more.
    """

    level: Level
    found: str
    mend: str = ""
    details: tuple[str, ...] = ()


def ok(found: str, *details: str) -> Finding:
    """Return the finding that nothing is wrong."""
    return Finding("ok", found, "", details)


def warning(found: str, mend: str, *details: str) -> Finding:
    """Return the finding that something is good to know."""
    return Finding("warning", found, mend, details)


def fault(found: str, mend: str, *details: str) -> Finding:
    """Return the finding that something does not work."""
    return Finding("fault", found, mend, details)
