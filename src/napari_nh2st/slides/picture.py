"""The pictures of a slide file: which one is open, and sentences on the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_nh2st.errors import SlideError

SAID = 4  # pictures named before the rest is counted


@dataclass(frozen=True)
class Picture:
    """One picture of a file, with all its levels.

    Attributes
    ----------
    number : int
        From 1, in the order of the file: `slide.tif#2` opens the second.
    shape : (height, width)
        Of its finest level, in pixels.
    name : str
        Its name in the file; may be empty.
    associated : bool
        True for the label, the macro photograph or a thumbnail of the slide: no section that was left out.
    reason : str
        Why it is not a level of another picture, a clause whose subject is the picture; empty if nobody would think so.
    """

    number: int
    shape: tuple[int, int]
    name: str = ""
    associated: bool = False
    reason: str = ""

    @property
    def words(self) -> str:
        """Number, size and name."""
        name = f' "{self.name}"' if self.name else ""
        return f"#{self.number}{name} ({self.shape[1]} x {self.shape[0]} px)"


def default_picture(pictures: Sequence[Picture]) -> Picture:
    """Return the picture that a path without a number means: the largest, and the first of several of its size."""
    return max(pictures, key=lambda p: (not p.associated, p.shape[0] * p.shape[1], -p.number))


def choose_picture(pictures: Sequence[Picture], number: int | None, path: Path) -> Picture:
    """Return the picture with this number.

    Raises
    ------
    SlideError
        If there is none; it names those that there are.
    """
    if number is None:
        return default_picture(pictures)
    for picture in pictures:
        if picture.number == number:
            return picture
    there = ", ".join(p.words for p in pictures[:SAID]) + (", ..." if len(pictures) > SAID else "")
    raise SlideError(f"{path} has no picture {number}: choose from {there}")


def left_out(pictures: Sequence[Picture], opened: Picture, path: Path) -> list[str]:
    """Name the further pictures of a file that are not part of the slide and how to open one: one sentence, or none."""
    says, others = left_out_words(pictures, opened), _others(pictures, opened)
    one = "it" if len(others) == 1 else "one"
    return [f"{says}; open {one} as {path.name}#{others[0].number}"] if others else []


def left_out_words(pictures: Sequence[Picture], opened: Picture) -> str:
    """Name the further pictures of a file that are not part of the slide; empty where there are none."""
    others = _others(pictures, opened)
    if not others:
        return ""
    named = "; ".join(f"{p.words}, which {p.reason}" if p.reason else p.words for p in others[:SAID])
    more = f"; and {len(others) - SAID} more" if len(others) > SAID else ""
    count = "another picture" if len(others) == 1 else f"{len(others)} other pictures"
    return f"the file has {count}, left out here: {named}{more}"


def _others(pictures: Sequence[Picture], opened: Picture) -> list[Picture]:
    return [p for p in pictures if p is not opened and not p.associated]


def overview_opened(opened: Picture) -> list[str]:
    """Say that a picture is not the slide itself, by its name, in at most one sentence."""
    if not opened.associated:
        return []
    return [f'the picture is called "{opened.name}": the file may hold no slide, only photographs or overviews of one']
