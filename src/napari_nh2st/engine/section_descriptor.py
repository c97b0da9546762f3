"""A section's descriptor: what its slide shows and what was counted, to recognise the same section.

Two sections are the same where their spots lie on the same tissue of one slide, whatever the file is named, where their
images show the same tissue, re-saved, cropped, scaled or turned, or where their counts are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_nh2st.expression.spot_marks import Marks, same_counts, spot_marks
from napari_nh2st.geometry import Box
from napari_nh2st.slides.keypoints import Keypoints, keypoints_of
from napari_nh2st.slides.same_tissue import agreement

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide

Witness = Literal["file", "counts", "picture"]
WITNESSES: dict[Witness, str] = {
    "file": "they lie on one slide",
    "counts": "their counts are the same",
    "picture": "their slides show the same tissue",
}

_GAP = 0.25  # of a section's side: several sections on one slide lie farther apart than parts of one


@dataclass(frozen=True, eq=False)
class SectionDescriptor:
    """Marks by which a section is recognised; neither its picture nor its counts can be read from them.

    Attributes
    ----------
    fingerprint : str or None
        Of the slide's file.
    spots : Box or None
        The part of the slide on which spots lie, with the distance between spots round them, level-0 pixels.
    keypoints : Keypoints or None
        Of that part of the slide.
    marks : (n,) uint32 or None
        Of the spots: `expression.spot_marks`.
    """

    fingerprint: str | None
    spots: Box | None = None
    keypoints: Keypoints | None = None
    marks: Marks | None = None


UNDESCRIBED = SectionDescriptor(None)
"""Of a section at which nobody has looked: like no other."""


def describe_section(slide: Slide, data: Any) -> SectionDescriptor:
    """Describe a measured section. Takes about half a second.

    Parameters
    ----------
    slide : Slide
    data : AnnData
        From `read_expression`: raw counts, and spots in pixels of the slide.

    Raises
    ------
    SlideError
        If the slide can no longer be read.
    """
    spots = box_of_spots(np.asarray(data.obsm["spatial"], dtype=np.float64), slide.shape)
    keypoints = None if spots is None else keypoints_of(slide, spots)
    return SectionDescriptor(slide.fingerprint, spots, keypoints, spot_marks(data.X))


def box_of_spots(spots: Any, shape: tuple[int, int]) -> Box | None:
    """Return the part of a slide (height, width) on which spots (n, 2) lie; None if there is none on it."""
    height, width = shape
    spots = spots[Box(0, 0, width, height).contains(spots)]
    if not len(spots):
        return None
    from scipy.spatial import cKDTree

    rim = float(np.median(cKDTree(spots).query(spots, [min(2, len(spots))])[0]))
    (x0, y0), (x1, y1) = spots.min(axis=0) - rim, spots.max(axis=0) + rim
    return Box(x0, y0, x1, y1)


def same_section(one: SectionDescriptor, other: SectionDescriptor) -> Witness | None:
    """Find out by what two sections are the same; None where nothing says so.

    A few milliseconds for a new pair, then at once, in either order.
    """
    return _same(*sorted((one, other), key=id))


@lru_cache(maxsize=2**15)
def _same(one: SectionDescriptor, other: SectionDescriptor) -> Witness | None:
    if one.fingerprint is not None and one.fingerprint == other.fingerprint and _touch(one.spots, other.spots):
        return "file"
    if one.marks is not None and other.marks is not None and same_counts(one.marks, other.marks):
        return "counts"
    if one.keypoints is None or other.keypoints is None:
        return None
    return "picture" if agreement(one.keypoints, other.keypoints).same_tissue else None


def _touch(one: Box | None, other: Box | None) -> bool:
    """Return False if both are known and lie apart: several sections on one slide."""
    if one is None or other is None:
        return True
    gap = _GAP * min(one.width, one.height, other.width, other.height)
    across = one.x0 <= other.x1 + gap and other.x0 <= one.x1 + gap
    return across and one.y0 <= other.y1 + gap and other.y0 <= one.y1 + gap


def same_sections(descriptors: Sequence[SectionDescriptor]) -> list[tuple[int, int, Witness]]:
    """Return the pairs (i, j), i < j, of sections that are the same, and by what they are known."""
    return [
        (i, j, witness)
        for (i, one), (j, other) in combinations(enumerate(descriptors), 2)
        if (witness := same_section(one, other)) is not None
    ]


def across(pairs: Iterable[tuple[int, int, Witness]], held_out: Iterable[int]) -> list[tuple[int, int, Witness]]:
    """Return the pairs of which one section is held out and the other is not."""
    apart = set(held_out)
    return [(i, j, witness) for i, j, witness in pairs if (i in apart) != (j in apart)]
