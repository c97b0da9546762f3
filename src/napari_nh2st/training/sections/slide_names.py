"""Names of slides and measurements: whether one is named like another slide than the other. Reads no file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from napari_nh2st.expression import Sample
from napari_nh2st.slide_path import ENDINGS

# Of a file's name: an ending, then a word that says what the file holds.
_IMAGE = "|".join((*(ending[1:] for ending in ENDINGS), "qptiff", "webp", "vsi"))
_ENDINGS = re.compile(rf"(\.(gz|tsv|txt|csv|h5ad|h5|ome|{_IMAGE}))+$")
_PICTURE = re.compile(rf"\.({_IMAGE})$")
_FOLDERS = ("outs", "spatial", "filtered_feature_bc_matrix", "raw_feature_bc_matrix", "binned_outputs")
_BINS = re.compile(r"square_\d+um")
# Numbers that say how something was made, not which slide it is: magnification, version, resolution, a date.
_HOW = re.compile(r"\d+x|x\d+|v\d+|rev\d+|level\d+|lvl\d+|\d+(um|mpp|px|bit|dpi|k)|(19|20)\d{6}|h5|10x|\d{1,2}x")
_NUMBERED = re.compile(r"([a-z]*?)(\d+)")
_WELLS = "abcdefgh"  # of arrays and patients: A1, B4


def file_stem(path: Path) -> str:
    """Return a file's name without its endings, or that of the folder above one that is named by its program."""
    return _ENDINGS.sub("", _telling(path).casefold().partition("#")[0])


def _telling(path: Path) -> str:
    while (path.name.casefold() in _FOLDERS or _BINS.fullmatch(path.name)) and path.parent != path:
        path = path.parent
    return path.name


def named_otherwise(name: str, slide: str) -> bool:
    """Return True if a name says another slide than that of a slide's file: C4 and C5, sample_1 and sample_2.

    Names that have nothing in common say nothing.

    Examples
    --------
    >>> [named_otherwise(name, "C5") for name in ("C4", "C5_counts", "her2st", "C05")]
    [True, False, False, False]
    """
    names, others = _marks(name), _marks(slide)
    apart = [mark for mark in names if not any(_same(mark, other) for other in others)]
    left = [other for other in others if not any(_same(mark, other) for mark in names)]
    related = len(apart) < len(names) or len(names) == 1
    return any(_of_one_kind(mark, other, related=related) for mark in apart for other in left)


def named_like_another(sample: Sample, inside: Iterable[str], others: Iterable[str] = ()) -> str:
    """Return the name of a measurement that is named like another slide than the one it lies on; empty for none.

    Parameters
    ----------
    sample : Sample
        Its files' names count: counts, positions, or the folder of Space Ranger. Its own name is anybody's choice.
    inside : iterable of str
        Names of the slide that the file itself has.
    others : iterable of str
        Names of other slides, which may be the right ones.
    """
    slide = file_stem(sample.slide)
    files = [sample.expression] + ([sample.spots] if sample.spots is not None else [])
    for path in files:
        stem = file_stem(path)
        alike = set(map(file_stem, map(Path, others))) - {slide}
        if named_otherwise(stem, slide) or (stem in alike and not _shares(stem, slide)):
            return _telling(path)
    said = (name for name in inside if not name.strip().isdigit() or len(name.strip()) > 3)
    return next((name for name in said if named_otherwise(name.casefold(), slide)), "")


def pictures_beside(slide: Path) -> list[str]:
    """Return the names of the pictures in a slide's folder."""
    try:
        return [path.name for path in slide.parent.iterdir() if _PICTURE.search(path.name.casefold())]
    except OSError:
        return []


def _marks(name: str) -> list[str]:
    """Return the parts of a name that tell one slide from others: those with a number, and single letters."""
    parts = [part for part in re.split(r"[^a-z0-9]+", name.casefold()) if part]
    return [part for part in parts if not _HOW.fullmatch(part) and (any(map(str.isdigit, part)) or part in _WELLS)]


def _same(mark: str, other: str) -> bool:
    """Return True if two parts may be one: c5 and sectionc5, s01 and s1."""
    a, b = _NUMBERED.fullmatch(mark), _NUMBERED.fullmatch(other)
    if a is None or b is None:
        return mark == other or mark in other or other in mark
    short, long = sorted((a[1], b[1]), key=len)
    return int(a[2]) == int(b[2]) and (short == long or (long.endswith(short) and short in ("", *_WELLS)))


def _of_one_kind(mark: str, other: str, *, related: bool) -> bool:
    """Return True if two parts that differ count or letter the same thing."""
    a, b = _NUMBERED.fullmatch(mark), _NUMBERED.fullmatch(other)
    if a is None or b is None:
        return mark in _WELLS and other in _WELLS
    if a[1] == b[1]:
        return bool(a[1]) or len(a[2]) == len(b[2])
    return related and len(a[1]) == len(b[1]) == 1 and a[1] in _WELLS and b[1] in _WELLS


def _shares(stem: str, slide: str) -> bool:
    return stem in slide or slide in stem or any(_same(m, o) for m in _marks(stem) for o in _marks(slide))
