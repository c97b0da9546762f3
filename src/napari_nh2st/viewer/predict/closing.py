"""Close a slide with all that lies on it, or clear what was predicted there. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.viewer.kit.phrases import count
from napari_nh2st.viewer.layers.roles import Kind, MapRole, fingerprint_of, kind_of, role_of
from napari_nh2st.viewer.layers.tissue import tissue_layer_of
from napari_nh2st.viewer.predict.messages import NOTHING_OPEN
from napari_nh2st.viewer.predict.workspace import Workspace

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_nh2st.viewer.state.predicted_map import PredictedMap

CLEARED = "Cleared. Predicting here again is quick: the cache still has what was read."
NOTHING_TO_CLEAR = "Nothing is predicted on this slide yet: there is nothing to clear."
ASK = (
    "Closing {} also deletes what you made on it: {}. This cannot be undone. "
    "To keep it, save its layers first, with File > Save Selected Layers."
)


class Closing:
    """Takes slides and results away. The cache stays."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @property
    def can_close(self) -> bool:
        """True if a slide is open."""
        return self._workspace.state.slide_layer is not None

    @property
    def can_clear(self) -> bool:
        """True if there are results of the chosen slide and model."""
        return self._workspace.map is not None

    @property
    def question(self) -> str:
        """A question to ask before the chosen slide is closed; empty where nothing made by hand would be lost."""
        layer = self._workspace.state.slide_layer
        made = self._made_by_hand()
        return ASK.format(layer.name, " and ".join(made)) if layer is not None and made else ""

    def _made_by_hand(self) -> list[str]:
        viewer, slide = self._workspace.viewer, self._workspace.slide
        if slide is None:
            return []
        regions = [layer for layer in self._layers_on(slide.fingerprint) if kind_of(layer) is Kind.REGIONS]
        shapes = sum(len(layer.data) for layer in regions)
        mask = tissue_layer_of(viewer, slide)
        edited = mask is not None and not np.array_equal(np.asarray(mask.data) > 0, slide.tissue().mask)
        return [count(shapes, "region")] * (shapes > 0) + ["an edited tissue mask"] * edited

    def close_slide(self) -> None:
        """Close the chosen slide: its jobs end, its layers and results go; another open slide is chosen."""
        workspace, layer = self._workspace, self._workspace.state.slide_layer
        if layer is None:
            workspace.notices.say(NOTHING_OPEN)
            return
        fingerprint = fingerprint_of(layer)
        if fingerprint is not None:
            for other in self._layers_on(fingerprint):
                if other != layer:
                    workspace.viewer.layers.remove(other)
        workspace.viewer.layers.remove(layer)  # the dock hears of it, and ends the jobs
        if fingerprint is not None:
            self._drop(fingerprint, f"{layer.name} was closed")

    def clear_results(self) -> None:
        """Take away what was predicted on the chosen slide with this model, and all that was worked out from it."""
        workspace, shown = self._workspace, self._workspace.map
        if shown is None:
            workspace.notices.say(workspace.what_is_left or NOTHING_TO_CLEAR)
            return
        name = workspace.subjects.now.name
        workspace.controller.abandon()
        workspace.maps.leave()
        workspace.controller.forget()
        for prediction_map in self._of_same_model(shown):
            for layer in list(workspace.viewer.layers):
                role = role_of(layer)
                if isinstance(role, MapRole) and role.map is prediction_map:
                    workspace.viewer.layers.remove(layer)
            self._drop(prediction_map, f"The results of {name} were cleared")
        workspace.notices.say(CLEARED)

    def _of_same_model(self, shown: PredictedMap) -> list[PredictedMap]:
        """Return the maps of both details."""
        known = {heatmap.map for heatmap in self._workspace.maps} | {shown}

        def made_by(prediction_map: PredictedMap) -> tuple[object, object]:
            return prediction_map.slide.get("fingerprint"), prediction_map.provenance.get("model_hash")

        return [prediction_map for prediction_map in known if made_by(prediction_map) == made_by(shown)]

    def _drop(self, gone: object, why: str) -> None:
        workspace = self._workspace
        workspace.controller.drop(gone)
        for prediction_map in workspace.maps.drop(gone):
            workspace.forget(prediction_map, why)

    def _layers_on(self, fingerprint: str) -> list[Layer]:
        return [layer for layer in self._workspace.viewer.layers if fingerprint_of(layer) == fingerprint]
