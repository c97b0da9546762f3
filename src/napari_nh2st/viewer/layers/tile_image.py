"""An image on the lattice of a map, beside the heatmap: what was worked out for each tile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.heatmap import CORNER, HEATMAP_LOOK, UNIT_OVERLAY, label_unit
from napari_nh2st.viewer.layers.roles import KEY, Kind, change_role, map_of, map_role
from napari_nh2st.viewer.layers.stacking import place

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_nh2st.viewer.state.predicted_map import PredictedMap

F32 = npt.NDArray[np.float32]


class TileImage:
    """The user may rename, move, hide or delete the layer at any time: what they changed is left alone.

    Parameters
    ----------
    viewer : ViewerModel
    shown : PredictedMap
        On whose lattice it lies.
    kind : Kind
    colormap : Colormap or str
    bar : bool
        Whether it has a colour bar, with what it shows and the unit beside it.
    """

    def __init__(self, viewer: ViewerModel, shown: PredictedMap, kind: Kind, colormap: Any, *, bar: bool) -> None:
        self.map, self.kind = shown, kind
        self.layer: Image | None = None
        self._viewer, self._colormap, self._bar = viewer, colormap, bar
        self._name, self._said = "", ""
        self._gene = ""
        self._limits = (0.0, 1.0)
        viewer.layers.events.removed.connect(self._label)

    @property
    def present(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    @property
    def visible(self) -> bool:
        """Whether the layer is there and not hidden."""
        return self.present and bool(self.layer.visible)

    def bring(self, name: str, slide_layer: Layer | None) -> bool:
        """Bring the layer into sight, back if it was deleted; return whether it is a new one."""
        fresh = not self.present
        if fresh:
            self._create(name, slide_layer)
        self.layer.visible = True
        return fresh

    def hide(self) -> None:
        """Put the layer out of sight."""
        if self.present:
            self.layer.visible = False

    def draw(self, values: F32, name: str, limits: tuple[float, float], *, gene: str = "", said: str = "") -> None:
        """Draw values (rows, columns), NaN where there are none; a layer that was deleted stays away.

        Parameters
        ----------
        limits : (low, high)
            Left alone where the user has set others for this gene.
        gene : str
            That it shows, empty where it is of none.
        said : str
            Beside the colour bar: what is shown, and its unit.
        """
        if not self.present:
            return
        layer = self.layer
        by_hand = gene == self._gene and not np.allclose(layer.contrast_limits, self._limits)
        layer.data[...] = values
        self._gene, self._said = gene, said
        change_role(layer, gene=gene)
        if not by_hand and limits != self._limits:
            ends = limits[0], max(limits[1], float(np.nanmax(values, initial=limits[1])))
            with layer.events.contrast_limits.blocker():  # else the colour bar is laid out twice
                layer.contrast_limits_range = ends
            layer.contrast_limits = self._limits = limits
        if layer.name == self._name:  # else the user gave it a name: it stays
            layer.name = name
            self._name = layer.name
        layer.refresh(extent=False, thumbnail=False, highlight=False)
        self._label()

    def _create(self, name: str, slide_layer: Layer | None) -> None:
        from napari.layers import Image

        shown = self.map
        self._limits, self._gene = (0.0, 1.0), ""
        self.layer = Image(
            np.full((shown.rows, shown.columns), np.nan, dtype=np.float32),
            name=name,
            contrast_limits=self._limits,
            metadata={KEY: map_role(self.kind, shown, self.kind.value)},
            **{**HEATMAP_LOOK, "colormap": self._colormap, "opacity": 0.8},
            **map_frame(shown.cell, shown.origin, float(shown.slide["mpp"]), slide_layer),
        )
        place(self._viewer, self.layer)
        self._name = self.layer.name  # napari numbers a name that is taken
        if self._bar:
            self.layer.colorbar.position = CORNER
            self.layer.colorbar.visible = True
            self.layer.events.visible.connect(self._label)

    def _label(self, event: Any = None) -> None:
        """Write what is in sight beside the colour bar; where this layer is not, the heatmap says its own."""
        if not self._bar or self.layer is None:
            return
        label_unit(self._viewer)
        if self.visible and not any(map_of(layer) is not None and layer.visible for layer in self._viewer.layers):
            overlay = self._viewer.canvas.overlays[UNIT_OVERLAY]
            overlay.text, overlay.visible = self._said, True
