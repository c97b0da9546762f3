"""The measured sections among what is open: slides with a measurement in the NH2ST dock. No Qt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nh2st.expression import Sample
from napari_nh2st.viewer.layers.frames import MEASURED, slide_of

if TYPE_CHECKING:
    from napari.components import ViewerModel


def open_sections(viewer: ViewerModel) -> tuple[list[Sample], list[str]]:
    """Find the open slides that have a measurement.

    Returns
    -------
    samples : list of Sample
        With the frame that was settled in the dock, the pixel size where it was typed in, and no patient ("").
    lacking : list of str
        Names of the layers of slides without one.
    """
    samples, lacking = [], []
    for layer in viewer.layers:
        slide, sample = slide_of(layer), layer.metadata.get(MEASURED)
        if slide is not None and sample is not None:
            samples.append(replace(sample, mpp=slide.mpp if slide.mpp_source == "user" else None))
        elif slide is not None:
            lacking.append(layer.name)
    return samples, lacking
