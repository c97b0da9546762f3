"""The gate between a section and anything that learns from it or scores it.

A section is a slide, counts, and the places of its spots. Whoever trains on one, scores one or shows one asks
`examine`, so that all say the same of it: `nh2st evaluate` and `nh2st finetune`, the rows of the fine-tune dock, and
*Measured*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import MppNeeded, Nh2stError
from napari_nh2st.expression import Sample, remarks
from napari_nh2st.expression.transform_files import transform_of
from napari_nh2st.slides import open_slide
from napari_nh2st.training.sections.array_pitch import array_pitch, strays
from napari_nh2st.training.sections.findings import Finding, SectionFindings
from napari_nh2st.training.sections.image_frame import PADDED, same_size, scale_to
from napari_nh2st.training.sections.likeness import neighbours_alike
from napari_nh2st.training.sections.placement import (
    GOOD_SHARE,
    Ground,
    Placement,
    all_on_slide,
    better,
    clearly_better,
    outlined_better,
)
from napari_nh2st.training.sections.slide_names import named_like_another, pictures_beside

if TYPE_CHECKING:
    import anndata as ad

    from napari_nh2st.slides import Slide

# Spots off the slide beyond this part mean that the positions belong to another image.
MAX_SPOTS_OFF = 0.05

_CORNER = 1 / 3  # spots over less of the tissue, in both directions, were probably placed on a smaller picture
_PITCH_NEAR, _PITCH_FAR = 1.1, 1.25  # factors between pitches: worth a word, and too much
_FOLLOWS = 0.6  # match from which spots follow the outline of the tissue
_HALF = 0.5  # of the spots over tissue
_CHANCE = 1.5  # times the tissue's part of the slide: what spots that know nothing of the tissue may reach
_KNOWS = 0.65  # chance that a spot over tissue has more counts than one beside it
_FEWEST, _MANY = 20, 50  # spots from which chance is judged, and the outline of the tissue
_FAR_OFF, _SOME_FAR = 2.0, 0.02  # pitches from its row and column, and the part of the spots worth a word
_ALIKE = 0.02  # mean correlation of neighbours below which places say nothing of the counts
_OF_PITCH = 0.6  # diameters of Visium: 0.55 as printed, 0.65 as older files have it
_OVERLAP = 2.5  # recorded diameters of spots, in pitches: no array has larger ones


def examine(sample: Sample, data: ad.AnnData, slide: Slide) -> SectionFindings:
    """Compare the spots of a section with its slide. It finds the slide's tissue: not on a GUI thread.

    Parameters
    ----------
    sample : Sample
    data : AnnData
        From `read_expression`.
    slide : Slide
        With the pixel size of the sample.
    """
    section = _Examined(sample, data, slide)
    findings = sorted(section.findings(), key=lambda f: not f.refuses)
    facts = data.uns.get("nh2st", {})
    unread = {"off_tissue": int(facts.get("off_tissue", 0)), "without_counts": int(facts.get("dropped", 0))}
    fit, tissue = section.fit, slide.tissue()
    return SectionFindings(tuple(findings), fit.on_slide, fit.on_tissue, section.array, tissue, unread)


def examine_sections(
    samples: Sequence[Sample],
    counts: Sequence[ad.AnnData],
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[SectionFindings]:
    """Examine sections that were read, none of which may be refused.

    Raises
    ------
    SampleError, MppNeeded
        If a section is refused.
    """
    found: list[SectionFindings] = []
    for sample, data in zip(samples, counts, strict=True):
        progress(len(found), len(samples))
        with open_slide(sample.slide, mpp=sample.mpp) as slide:
            findings = examine(sample, data, slide)
        findings.admit(sample.sample, data)
        found.append(findings)
    return found


def fits_better(sample: Sample, data: ad.AnnData, slide: Slide, others: Iterable[Slide]) -> Finding | None:
    """Doubt a section whose spots lie clearly better on another slide. It finds their tissue: not on a GUI thread.

    Parameters
    ----------
    sample, data, slide
        As for `examine`.
    others : iterable of Slide
        Slides that it may belong to instead; those that cannot be read are passed over.
    """
    here = _Examined(sample, data, slide).fit
    for other in others:
        try:
            there = _Examined(sample, data, other).fit
        except (Nh2stError, OSError):
            continue
        if clearly_better(there, here):
            on, here_on = int(there.on_tissue.sum()), int(here.on_tissue.sum())
            says = f"the spots fit {other.path.name} better: {on:,} of them lie over tissue there, {here_on:,} here"
            return Finding("name", says, "do they belong together?")
    return None


def admit_sections(samples: Sequence[Sample], counts: Sequence[ad.AnnData]) -> tuple[list[ad.AnnData], list[str]]:
    """Examine sections that were read: the spots that count, and what to know of the sections, a line each.

    Raises
    ------
    SampleError, MppNeeded
        If a section is refused.
    """
    found = examine_sections(samples, counts)
    admitted = [findings.admit(s.sample, data) for s, data, findings in zip(samples, counts, found, strict=True)]
    return admitted, [
        f"{s.sample}: {doubt}" for s, findings in zip(samples, found, strict=True) for doubt in findings.doubts
    ]


class _Examined:
    """One section, and the questions to it."""

    def __init__(self, sample: Sample, data: ad.AnnData, slide: Slide) -> None:
        self.sample, self.slide, self.data = sample, slide, data
        self.spots = np.asarray(data.obsm["spatial"], dtype=np.float64)
        self.image: dict[str, Any] = dict(data.uns.get("frame", {}))
        self.laid = transform_of(sample)
        self.array = array_pitch(data, sample.format, self.laid.scale)
        self.ground = Ground(slide.tissue(), slide.shape, self.array.pixels)
        self.fit = self.ground.fit(self.spots)

    def findings(self) -> Iterator[Finding]:
        """Iterate over all that is wrong or doubtful; what explains another finding stands for both."""
        yield from (Finding("file", remark) for remark in remarks(self.data))
        if (name := self._name()) is not None:
            yield name
        if (unknown := self._pixel_size()) is not None:
            yield unknown
        if (order := self._order()) is not None:
            yield order
        overlap = self._overlap()
        image, place = self._image(), overlap or self._places()
        pitch = None if overlap else self._pitch()
        if image is not None:
            yield image
        unexplained = image is None and (place is None or (place.kind == "tissue" and place.frame is None))
        if unexplained and (corner := self._corner()) is not None:
            yield corner
        if place is not None and not self._explained(place, image):
            yield place
        if (few := self._few_off()) is not None:
            yield few
        if pitch is not None and not any(f is not None and self._mends_pitch(f) for f in (image, place)):
            yield pitch
        if self.array.mirrored and not self.laid.mirrors and (place is None or "exchanged" not in place.text):
            says = "the array's columns and rows run mirrored on this slide"
            yield Finding("mirrored", says, "are x and y exchanged, or is the image mirrored?")

    # which slide it is

    def _name(self) -> Finding | None:
        """Doubt a measurement that is named like another slide."""
        inside = self.data.uns.get("nh2st", {}).get("slides", ())
        named = named_like_another(self.sample, inside, pictures_beside(self.sample.slide))
        if not named:
            return None
        says = f"the measurement is named {named}, the slide {self.sample.slide.name}"
        return Finding("name", says, "do they belong together?")

    # the image on which the spots were placed

    @cached_property
    def factor(self) -> float | None:
        """The slide's pixels per pixel of the spots' own image, None where that is not known or is 1."""
        if "shape" not in self.image or same_size(self.image, self.slide.shape):
            return None
        return scale_to(self.image, self.slide.shape)

    def _image(self) -> Finding | None:
        if "shape" not in self.image:
            return None
        (h, w), (height, width) = self.image["shape"], self.slide.shape
        says = (
            f"the spots were placed on an image of about {w:,.0f} x {h:,.0f} px; this slide has {width:,} x {height:,}"
        )
        if self.sample.placed:
            return self._placed_elsewhere(says)
        if same_size(self.image, self.slide.shape):
            return None
        factor = self.factor
        if factor is None and same_size(self.image, (width, height)):
            follows = self.fit.share >= GOOD_SHARE and self.fit.match >= _FOLLOWS
            mend = "one is turned by 90°: give the slide as it was when the spots were placed"
            return Finding("image", says, mend, refuses=not follows)
        if factor is None:
            return Finding("image", says, "if it is another part of the tissue, give scale, x and y")
        frame = (float(f"{factor:.4g}"), 0.0, 0.0)
        give = f"give scale {factor:.4g}, or scale 1 if the positions are in pixels of this slide"
        small = 1 / PADDED < factor < PADDED
        return Finding("image", says, give, refuses=not (small or self._fits_as_is(factor)), frame=frame)

    def _placed_elsewhere(self, says: str) -> Finding | None:
        """Doubt a scale that somebody gave, where the sizes of both images say another."""
        if self.sample.transform is not None:
            return None
        factor = scale_to(self.image, self.slide.shape)
        if factor is None or self.sample.x or self.sample.y or abs(self.sample.scale / factor - 1) < 0.02:
            return None
        return Finding("image", says, f"scale is {self.sample.scale:.4g}, their sizes say {factor:.4g}")

    def _fits_as_is(self, factor: float) -> bool:
        """Tell whether tissue or array show that the spots lie in this slide's pixels already."""
        scaled = self.ground.fit(factor * self.spots, factor)
        if self.fit.share >= GOOD_SHARE and scaled.share < self.fit.share - 0.15:
            return True
        return self.array.sure and self._ratio is not None and 1 / _PITCH_NEAR < self._ratio < _PITCH_NEAR

    # where the spots lie

    def _order(self) -> Finding | None:
        """Find places in another order than the counts, by the rows and columns of the array or by the counts."""
        away, pitch = strays(self.data), max(self.array.pixels, 1.0)
        far = int((away > _FAR_OFF * pitch).sum())
        if len(away) < _FEWEST or far < _SOME_FAR * len(away):
            alike = None if len(away) else neighbours_alike(self.data, self.spots)
            if alike is None or alike >= _ALIKE:
                return None
            says = "neighbouring spots are no more alike than distant ones"
            return Finding("order", says, "are places and counts in the same order?")
        says = f"{far:,} of {len(away):,} spots do not lie where their row and column on the array put them"
        mend = "places and counts are in different orders; join them by the spots' names"
        return Finding("order", says, mend, refuses=far > _HALF * len(away))

    def _places(self) -> Finding | None:
        off = int((~self.fit.on_slide).sum())
        if off > MAX_SPOTS_OFF * len(self.spots):
            return self._off(off)
        on = int(self.fit.on_tissue.sum())
        if self.fit.share >= GOOD_SHARE:
            return self._outline()
        total = len(self.spots)
        says = f"only {on:,} of {total:,} spots lie over tissue" if on else "no spot lies over tissue"
        scale = 1 / self._ratio if self._ratio is not None and self.array.sure else None
        placement = better(self.ground, self.spots, self.fit, scale) if total >= _FEWEST else None
        if placement is not None:
            return self._better(says, placement)
        mend = "check the positions: are x and y of this image, and in this order?"
        return Finding("tissue", says, mend, refuses=not on or self._no_better_than_chance())

    def _outline(self) -> Finding | None:
        """Doubt spots that follow the outline of the tissue better when they are moved a little."""
        if len(self.spots) < _MANY:
            return None
        placement = outlined_better(self.ground, self.spots, self.fit)
        if placement is None:
            return None
        frame = self._frame(placement)
        says = f"the spots follow the outline of the tissue better when they are {placement.words}"
        return Finding(
            "tissue", says, f"check the positions, or give x {frame[1]:.0f} and y {frame[2]:.0f}", False, frame
        )

    def _frame(self, placement: Placement) -> tuple[float, float, float]:
        """Return the scale, x and y that a sheet needs for a placement of the spots as they are now."""
        scale, x, y = placement.frame or (1.0, 0.0, 0.0)
        sample = self.sample
        return float(f"{scale * sample.scale:.4g}"), round(scale * sample.x + x), round(scale * sample.y + y)

    def _off(self, off: int) -> Finding:
        height, width = self.slide.shape
        says = f"{off:,} of {len(self.spots):,} spots lie off {self.slide.path.name} ({width:,} x {height:,} px)"
        placement = all_on_slide(self.ground, self.spots, self.fit, MAX_SPOTS_OFF)
        frame = None
        if not self.sample.placed and self.factor is not None:
            mend = f"give scale {self.factor:.4g}"
            frame = (float(f"{self.factor:.4g}"), 0.0, 0.0)
        elif placement is not None:
            on = int(placement.fit.on_tissue.sum())
            mend = f"{placement.words}, {on:,} would lie over tissue; correct the positions"
        elif self.ground.whole.contains(self.spots[:, ::-1]).all():
            mend = f"with x and y exchanged, all {len(self.spots):,} would lie on it; correct the positions"
        else:
            mend = "give positions in pixels of this image; if they are in pixels of another one, give scale, x and y"
        return Finding("off slide", says, mend, refuses=True, frame=frame)

    def _few_off(self) -> Finding | None:
        off = int((~self.fit.on_slide).sum())
        if not 0 < off <= MAX_SPOTS_OFF * len(self.spots):
            return None
        return Finding("off slide", f"{off:,} of {len(self.spots):,} spots lie off the slide and are left out")

    def _better(self, says: str, placement: Placement) -> Finding:
        on = int(placement.fit.on_tissue.sum())
        if placement.frame is None:
            return Finding("tissue", says, f"{placement.words}, {on:,} would; correct the positions", True)
        moved, frame = placement.frame[0] == 1, self._frame(placement)
        give = f"x {frame[1]} and y {frame[2]}" if moved else f"scale {frame[0]:.3g}"
        mend = f"{placement.words}, {on:,} would; give {give}, if this is their slide"
        return Finding("tissue", says, mend, not moved or self.fit.share < _HALF, frame)

    def _no_better_than_chance(self) -> bool:
        """Tell whether neither the places of the spots nor their counts know anything of the tissue."""
        over, inside = self.fit.on_tissue, self.fit.on_slide
        if len(self.spots) < _FEWEST or self.fit.share >= _HALF:
            return False
        if self.fit.share > _CHANCE * self.slide.tissue().fraction:
            return False
        counts = self.data.obs["total_counts"].to_numpy(dtype=np.float64)
        return _more(counts[over], counts[inside & ~over]) < _KNOWS

    def _corner(self) -> Finding | None:
        area = _tissue_size(self.ground)
        if "shape" in self.image or area is None or len(self.spots) < 2:
            return None
        if self.array.sure and self._ratio is not None and 1 / _PITCH_NEAR < self._ratio < _PITCH_NEAR:
            return None  # a small array on large tissue
        if not (np.ptp(self.spots, axis=0) < _CORNER * area).all():
            return None
        says = (
            "the spots cover only a small corner of the tissue: their positions may be in pixels of a smaller picture"
        )
        return Finding("corner", says)

    # how large pixels and spots are, and how far apart they lie

    def _pixel_size(self) -> Finding | None:
        if self.slide.mpp is not None:
            return None
        try:
            self.slide.require_mpp()
        except MppNeeded as error:
            says = str(error).replace(str(self.slide.path), self.slide.path.name).partition("; give")[0]
        array = self.array
        fits = f"; for the pitch of {array.platform}, it is {array.um / array.pixels:.3g}" if array.um else ""
        return Finding("pixel size", says, f"fill in the column mpp, µm/px{fits}", refuses=True)

    def _overlap(self) -> Finding | None:
        """Refuse spots that are wider than they can be: their size is in other pixels than their places."""
        diameter, pitch = self.laid.scale * float(self.image.get("spot_diameter") or 0), self.array.pixels
        if not pitch or diameter < _OVERLAP * pitch:
            return None
        scale = float(f"{diameter / _OF_PITCH / pitch * self.sample.scale:.2g}")
        says = f"spots that are {diameter:.3g} px wide lie only {pitch:.3g} px apart"
        mend = f"their places are in pixels of a smaller picture: give scale, about {scale:g}"
        return Finding("image", says, mend, refuses=True, frame=(scale, 0.0, 0.0))

    @cached_property
    def _ratio(self) -> float | None:
        """The pitch on the slide relative to that of the platform, None where one is not known."""
        mpp = self.slide.mpp
        if mpp is None or not (self.array.um and self.array.pixels):
            return None
        return self.array.pixels * mpp / self.array.um

    def _pitch(self) -> Finding | None:
        ratio, array, mpp = self._ratio, self.array, self.slide.mpp
        if ratio is None or mpp is None:
            return None
        off = max(ratio, 1 / ratio)
        if off < (_PITCH_NEAR if array.sure else _PITCH_FAR):
            return None
        says = (
            f"at {mpp:.3g} µm per pixel, neighbouring spots lie {array.pixels * mpp:.3g} µm apart; those of "
            f"{array.platform} lie {array.um:g} µm apart"
        )
        mend = f"the pixel size that fits is {array.um / array.pixels:.3g} (column mpp)"
        return Finding("pitch", says, mend, refuses=array.sure and off >= _PITCH_FAR)

    def _mends_pitch(self, finding: Finding) -> bool:
        """Tell whether the scale that mends a finding mends the pitch too."""
        if finding.frame is None or self._ratio is None:
            return False
        after = self._ratio * finding.frame[0] / self.sample.scale
        return 1 / _PITCH_NEAR < after < _PITCH_NEAR

    def _explained(self, place: Finding, image: Finding | None) -> bool:
        """Tell whether the size of the image explains already why spots lie badly."""
        return (
            image is not None
            and image.refuses
            and place.refuses
            and self.factor is not None
            and self.ground.fit(self.factor * self.spots, self.factor).share >= GOOD_SHARE
        )


def _more(some: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> float:
    """Chance that one of some is larger than one of the others."""
    if not (len(some) and len(others)):
        return 0.5
    ordered = np.sort(others)
    below, up_to = np.searchsorted(ordered, some, "left"), np.searchsorted(ordered, some, "right")
    return float((below + up_to).mean() / 2 / len(others))


def _tissue_size(ground: Ground) -> npt.NDArray[np.float64] | None:
    """Width and height of the box round all tissue, level-0 pixels; None where there is none."""
    mask, (y, x) = ground.tissue.mask, ground.tissue.steps
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return np.array([(columns[-1] + 1 - columns[0]) * x, (rows[-1] + 1 - rows[0]) * y])
