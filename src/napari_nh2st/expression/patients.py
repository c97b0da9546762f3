"""Names of patients as people write them: "P01", "p01 " and "P1" are taken for one person."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WHOLE = re.compile(r"(\d+)\.0+")  # a number as pandas saves it beside an empty cell
_NOBODY = {"", "na", "n/a", "nan", "none", "null", "-", "?", "unknown", "unk", "n.a.", "#n/a"}
_PART = re.compile(r"\d+|[^\W\d_]+|[^\w\s.-]|[.-](?!\w)")


def patient_key(name: str) -> str:
    """Return a patient's key, equal for all ways to write the name: no capitals, blanks, hyphens or leading zeros."""
    whole = _WHOLE.fullmatch(name.strip())
    parts = _PART.findall(whole[1] if whole else name.casefold())
    return " ".join(part.lstrip("0") or "0" if part.isdecimal() else part for part in parts) or name.strip().casefold()


def nobody(name: str) -> bool:
    """Tell whether a name says that nobody knows whose tissue it is: it is no name that two sections may share."""
    return name.strip().casefold() in _NOBODY


def patient_keys(names: Iterable[str]) -> set[str]:
    """Return the keys of the patients that are named."""
    return {patient_key(name) for name in names if name.strip()}


def written_twice(names: Iterable[str]) -> list[str]:
    """Return a sentence for each patient whose name is written in several ways."""
    ways: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        if name.strip():
            ways.setdefault(patient_key(name), []).append(name)
    return [
        f"patients {' and '.join(same)} are taken for one person: write the name the same way, or, if they are several "
        "people, give them names that differ in more than capitals, blanks and zeros"
        for same in ways.values()
        if len(same) > 1
    ]
