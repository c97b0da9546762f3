"""From what is chosen in the dock to a request for predictions. No Qt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.layers.tissue import tissue_layer_of
from napari_nh2st.viewer.predict.command import command_line
from napari_nh2st.viewer.predict.events import Request
from napari_nh2st.viewer.predict.messages import NO_MODEL, NOTHING_OPEN
from napari_nh2st.viewer.predict.region import Region, drawn_region, visible_box
from napari_nh2st.viewer.state.dock_state import DockState

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.slides import Slide


class Requests:
    """Makes requests of what is chosen now."""

    def __init__(self, viewer: ViewerModel, state: DockState) -> None:
        self._viewer, self._state = viewer, state

    def chosen(self) -> Request:
        """Return the request for the chosen region of the chosen slide.

        Raises
        ------
        Nh2stError
            Where something is still to be chosen, or the region is empty.
        """
        slide, layer = self._slide()
        return self._request(slide, region_of(self._viewer, layer, self._state.where))

    def in_sight(self) -> Request | None:
        """Return the request for what the window shows now, None where another region is chosen."""
        return self.chosen() if self._state.where == "view" else None

    def whole_slide(self) -> Request:
        """Return the request for the whole slide, on which explorations stand.

        Raises
        ------
        Nh2stError
            Where something is still to be chosen.
        """
        return replace(self._request(self._slide()[0], Region()), follow=False)

    def _slide(self) -> tuple[Slide, Layer]:
        slide, layer = self._state.slide, self._state.slide_layer
        if slide is None or layer is None or self._state.model is None:
            raise Nh2stError(NOTHING_OPEN if slide is None else NO_MODEL)
        slide.require_mpp()
        return slide, layer

    def _request(self, slide: Slide, region: Region) -> Request:
        state = self._state
        assert state.model is not None
        tissue = edited_mask(self._viewer, slide)
        return Request(
            slide,
            state.model.name,
            region,
            tissue=tissue,
            pitch=state.pitch,
            skip_artefacts=state.skip_artefacts,
            device=state.device,
            command=command_line(
                *(slide, state.model.name, region),
                edited_tissue=tissue is not None,
                device=state.device,
                pitch=state.pitch,
                skip_artefacts=state.skip_artefacts,
            ),
            follow=state.where == "view",
            name="" if state.slide_layer is None else str(state.slide_layer.name),
        )


def edited_mask(viewer: ViewerModel, slide: Slide) -> npt.NDArray[np.bool_] | None:
    """Return the tissue mask as the user painted it, None while there is no layer of it."""
    layer = tissue_layer_of(viewer, slide)
    return None if layer is None else np.asarray(layer.data) > 0


def region_of(viewer: ViewerModel, slide_layer: Layer, where: str) -> Region:
    """Return the chosen region of a slide layer.

    Raises
    ------
    Nh2stError
        If nothing was drawn, or the slide is out of sight.
    """
    from napari.layers import Shapes

    if where == "whole":
        return Region()
    if where == "view":
        return Region(visible_box(viewer, slide_layer))
    shapes = [layer for layer in viewer.layers if isinstance(layer, Shapes)]
    if not shapes:
        raise Nh2stError("Draw a shape first: press the polygon button above the layer list, then draw.")
    active = viewer.layers.selection.active
    return drawn_region(active if active in shapes else shapes[-1], slide_layer)
