"""The base of every layer on the lattice of a map: heatmaps, and all that is worked out for each tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.in_step import keep_in_step
from napari_nh2st.viewer.layers.legend import show_legend
from napari_nh2st.viewer.layers.names import name_for, name_layers
from napari_nh2st.viewer.layers.owned_layer import OwnedLayer
from napari_nh2st.viewer.layers.roles import KEY, MapRole, give_role, layer_of_slide

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.geometry import IntArray
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

Later = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class Look:
    """The first look of a layer; the user may change it.

    Attributes
    ----------
    colormap : Colormap or str
    bar : bool
        Whether a colour bar stands on the canvas.
    """

    colormap: Any = None
    opacity: float = 0.8
    bar: bool = True

    def as_arguments(self) -> dict[str, Any]:
        """Return what napari's Image takes. NaN is see-through with "translucent", and black with others."""
        how = {"blending": "translucent", "interpolation2d": "nearest"}
        return {"colormap": self.colormap, "opacity": self.opacity, **how}


def at_once(call: Callable[[], None]) -> None:
    """Call a function now."""
    call()


class MapLayer(OwnedLayer):
    """A layer with one pixel, or several, for each cell of a map; written in place.

    Parameters
    ----------
    role : MapRole
        What it is and whose lattice it lies on.
    look : Look
    later : callable
        Calls a function a moment later: napari takes long to draw a layer, a colour bar and a text for the first
        time, and the window should answer in between.

    Attributes
    ----------
    values : (rows, columns) array, or (rows, columns, 4)
        What is shown. The layer's own data are these, or smoothed ones.
    """

    def __init__(self, viewer: ViewerModel, role: MapRole, look: Look, later: Later = at_once) -> None:
        super().__init__(viewer)
        self.role, self.look = role, look
        self.values: npt.NDArray[Any] = np.full((self.map.rows, self.map.columns), np.nan, dtype=np.float32)
        self._later = later
        self._settled = False

    @property
    def map(self) -> PredictedMap:
        """The map on whose lattice it lies."""
        return self.role.map

    @property
    def blank(self) -> bool:
        """True while there is no value to show: a colour bar would name limits of nothing."""
        return False

    @property
    def gene(self) -> str:
        """The gene that it shows, empty where it shows none."""
        return self.role.gene

    def bring(self) -> bool:
        """Bring the layer into sight, back if it was deleted; return whether it is a new one."""
        fresh = not self.present
        if fresh:
            self._create()
        assert self.layer is not None
        self.layer.visible = True
        return fresh

    def describe(self, **changes: Any) -> None:
        """Change what is known of the layer: its gene, its title, its label, its legend."""
        self.role = replace(self.role, **changes)
        self._give_role()

    def retitle(self, title: str) -> None:
        """Say what the layer shows; its name follows, unless the user gave it one."""
        self.describe(title=title)

    def put(self, cells: IntArray, values: npt.NDArray[Any]) -> None:
        """Write the values of some cells, (n,) or (n, 4); `show_values` draws them."""
        self.values.reshape(-1, *self.values.shape[2:])[cells] = values

    def show_values(self) -> None:
        """Bring the layer's pixels in step with the values; a layer that was deleted stays away."""
        if self.layer is None or not self.present:
            return
        image = self._image()
        if image.shape != self.layer.data.shape:
            self._divide_cells(image)
            return
        if image is not self.layer.data:
            self.layer.data[...] = image
        self.layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _image(self) -> npt.NDArray[Any]:
        """Return the pixels to draw."""
        return self.values

    def _make(self, **common: Any) -> Layer:
        """Make the napari layer; `common` is its name, its role and its place."""
        from napari.layers import Image

        return Image(self.values, **self.look.as_arguments(), **common)

    def _create(self) -> None:
        own = layer_of_slide(self.viewer, self.role.fingerprint)
        frame = map_frame(self.map.cell, self.map.origin, float(self.map.slide["mpp"]), own)
        self._settled = False
        layer = self._make(name=name_for(self.role, self.viewer), metadata={KEY: self.role}, **frame)
        self._watch(layer)
        self._give_role()
        self._take(layer)
        if self.look.bar:
            self._later(self._show_bar)
        self._later(self._settle)

    def _watch(self, layer: Layer) -> None:
        """Hear what the user does with a layer."""
        self.layer = layer
        keep_in_step(self.viewer, layer)

    def _show_bar(self) -> None:
        if self.layer is not None and self.present:
            self.layer.colorbar.visible = not self.blank

    def _settle(self) -> None:
        """Write what is shown, now that the layer stands in the window."""
        self._settled = True
        self._give_role()

    def _give_role(self) -> None:
        if self.layer is not None:
            give_role(self.layer, self.role if self._settled else replace(self.role, label="", legend=()))
            name_layers(self.viewer)
            show_legend(self.viewer)

    def _divide_cells(self, image: npt.NDArray[Any]) -> None:
        """Give the layer another number of pixels a cell, in its place, wherever the user has put it."""
        assert self.layer is not None
        sides = np.divide(self.layer.data.shape[:2], image.shape[:2])  # of a new pixel, in old ones
        to_world = self.layer._transforms["data2physical"].linear_matrix
        translate = self.layer.translate + to_world @ ((sides - 1) / 2)
        self.layer.data = image
        self.layer.scale, self.layer.translate = self.layer.scale * sides, translate
