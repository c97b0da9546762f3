"""napari's own drawing of a map, in the window in which ours is measured: a plain image of the same shape."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_nh2st.bench.in_window import Screen

F32 = npt.NDArray[np.float32]


class PlainImage:
    """An image layer without the plugin, in the place and with the look of the heatmap.

    Ours is hidden while it is in sight, and it is hidden while ours is measured.

    Parameters
    ----------
    screen : Screen
        With a heatmap.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._layer: Any = None

    def add(self) -> float:
        """Add the image, with the heatmap's values at hand; seconds until it is drawn."""
        from napari.layers import Image

        screen, heatmap = self._screen, self._screen.dock.heatmap.layer
        values = heatmap.data.copy()
        place = {name: getattr(heatmap, name) for name in ("scale", "translate", "units")}
        heatmap.visible = False
        screen.settle(0.2)
        started = time.perf_counter()
        limits = tuple(heatmap.contrast_limits)
        how = {"blending": "translucent", "interpolation2d": "nearest", "opacity": heatmap.opacity}
        self._layer = Image(values, name="napari's own", contrast_limits=limits, colormap="viridis", **how, **place)
        screen.viewer.add_layer(self._layer)
        screen.until_drawn()
        took = time.perf_counter() - started
        screen.viewer.layers.selection.active = screen.layer
        self._turn(own=False)
        return took

    def draw(self, values: F32, limits: tuple[float, float]) -> float:
        """Give the image other values (rows, columns) and limits; seconds until that is drawn."""
        self._turn(own=True)
        screen = self._screen
        started = time.perf_counter()
        self._layer.data = values
        self._layer.contrast_limits = limits
        screen.until_drawn()
        took = time.perf_counter() - started
        screen.settle(0.2)
        self._turn(own=False)
        return took

    def remove(self) -> None:
        """Take the image away."""
        self._screen.viewer.layers.remove(self._layer)
        self._screen.settle()

    def _turn(self, *, own: bool) -> None:
        """Show one of the two, and let the window come to rest."""
        self._layer.visible = own
        self._screen.dock.heatmap.layer.visible = not own
        self._screen.settle(0.2)


def refreshed_image(screen: Screen, seconds: float) -> Any:
    """Add an image as large as the fine heatmap, with a colour bar, and refresh it for so long; return its layer."""
    from napari.layers import Image

    height, width = (int(v * screen.slide.require_mpp() / 22) for v in screen.slide.shape)  # cells of 22 um
    rng = np.random.default_rng(0)
    until = time.monotonic() + seconds
    values = rng.random((height, width), dtype=np.float32)
    layer = Image(values, scale=(22.0, 22.0), units=("um", "um"), colormap="viridis", blending="translucent")
    screen.viewer.add_layer(layer)
    layer.colorbar.visible = True
    while time.monotonic() < until:
        values[: height // 2] = rng.random((height // 2, width), dtype=np.float32)
        layer.refresh(extent=False, thumbnail=False, highlight=False)
        screen.settle(0.1)
    return layer
