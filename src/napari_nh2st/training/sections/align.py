"""Laying the spots of a section on its slide by a map that is given, and snapping them to the tissue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_nh2st.expression import Sample, read_expression
from napari_nh2st.expression.transform import NOWHERE_ELSE, Transform
from napari_nh2st.expression.transform_files import transform_of
from napari_nh2st.training.sections.array_pitch import spacing_of
from napari_nh2st.training.sections.examine import examine
from napari_nh2st.training.sections.snap import Snap, snap

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide
    from napari_nh2st.training.sections.findings import SectionFindings


@dataclass(frozen=True, eq=False)
class Aligned:
    """Spots that were laid on a slide.

    Attributes
    ----------
    transform : Transform
        From the spots' own pixels to the slide's: all that a sheet needs, without scale, x and y.
    snapped : Snap or None
    before, after : SectionFindings
        What the checks of a section say of the spots as they lay, and as they lie now.
    """

    transform: Transform
    snapped: Snap | None
    before: SectionFindings
    after: SectionFindings


def align(sample: Sample, slide: Slide, given: Transform | None, *, snapping: bool = False) -> Aligned:
    """Lay the spots of a section on its slide. It reads counts and finds the tissue: not on a GUI thread.

    Parameters
    ----------
    sample : Sample
    slide : Slide
        With the pixel size of the sample.
    given : Transform or None
        From the spots' own pixels; by default where the sample says that they lie.
    snapping : bool
        Whether they are then snapped to the tissue.

    Raises
    ------
    SampleError
        If the section cannot be read, or snapping has not enough to go on.
    """
    data = read_expression(replace(sample, scale=1.0, x=0.0, y=0.0, transform=NOWHERE_ELSE))
    own, start = data.obsm["spatial"].copy(), transform_of(sample)
    of_assay = data.uns["nh2st"]["own_transform"]
    if sample.transform is None and of_assay is not None:
        start = Transform(of_assay).then(start)
    transform = start if given is None else given
    snapped = snap(own, transform, slide.tissue(), spacing_of(own)) if snapping else None
    transform = transform if snapped is None else snapped.transform

    def judged(laid: Transform) -> SectionFindings:
        data.obsm["spatial"] = laid.place(own)
        return examine(replace(sample, scale=1.0, x=0.0, y=0.0, transform=laid), data, slide)

    return Aligned(transform, snapped, judged(start), judged(transform))
