"""The measured sections among what is open: slides with a measurement in the NH2ST dock. No Qt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nh2st.expression import Sample

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
    # half a second, where no slide was opened yet
    from napari_nh2st.slides.mpp import GIVEN
    from napari_nh2st.viewer.layers.roles import SlideRole, role_of

    samples, lacking = [], []
    for layer in viewer.layers:
        role = role_of(layer)
        if not isinstance(role, SlideRole):
            continue
        if role.measurement is None:
            lacking.append(layer.name)
        else:
            mpp = role.slide.mpp if role.slide.mpp_source in GIVEN else None
            samples.append(replace(role.measurement, mpp=mpp))
    return samples, lacking
