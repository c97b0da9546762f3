"""Deletes layers of every type of napari's, with every overlay that we put on the canvas, in every way that there is.

A process of its own, as deleting.py. There is no dock: a slide that was opened by our reader is enough to be safe.
"""

from __future__ import annotations

import faulthandler
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from napari.components.overlays import TextOverlay
from qtpy.QtWidgets import QApplication

POINTS = np.random.default_rng(0).random((20, 2)) * 200
VALUES = np.random.default_rng(0).random((60, 50)).astype(np.float32)

UM = {"units": ("um", "um")}


def frames(viewer: Any, n: int = 2) -> None:
    for _ in range(n):
        viewer.window._qt_viewer.canvas.native.update()
        QApplication.processEvents()


def image(viewer: Any) -> Any:
    return viewer.add_image(VALUES, scale=(3, 3), colormap="viridis", **UM)


def with_bar(viewer: Any) -> Any:
    layer = image(viewer)
    layer.colorbar.visible = True
    return layer


def with_name(viewer: Any) -> Any:
    layer = image(viewer)
    layer.name_overlay.visible = True
    return layer


def points(viewer: Any) -> Any:
    return viewer.add_points(POINTS, **UM)


def labels(viewer: Any) -> Any:
    return viewer.add_labels((VALUES * 5).astype(int), **UM)


def shapes(viewer: Any) -> Any:
    return viewer.add_shapes([POINTS[:5]], shape_type="polygon", **UM)


LAYERS: tuple[Callable[[Any], Any], ...] = (
    image,
    with_bar,
    with_name,
    points,
    labels,
    shapes,
)


def in_view(viewer: Any, layer: Any) -> None:
    viewer.layers.remove(layer)


def hidden(viewer: Any, layer: Any) -> None:
    layer.visible = False
    frames(viewer)
    viewer.layers.remove(layer)


def hidden_and_binned(viewer: Any, layer: Any) -> None:
    layer.visible = False
    frames(viewer)
    viewer.layers.selection = {layer}
    viewer.layers.remove_selected()


def all_at_once(viewer: Any, layer: Any) -> None:
    slide = viewer.layers[0]
    layer.visible = False
    frames(viewer)
    viewer.layers.clear()
    frames(viewer)
    viewer.layers.append(slide)


def in_a_grid(viewer: Any, layer: Any) -> None:
    viewer.canvas.grid.enabled = True
    frames(viewer)
    viewer.layers.remove(layer)
    frames(viewer)
    viewer.canvas.grid.enabled = False


def with_texts(viewer: Any, layer: Any) -> None:
    """A text overlay goes with the layer, the scale bar a moment later."""
    overlays = viewer.canvas.overlays
    overlays["text"] = TextOverlay(text="unit", visible=True, box=True)
    overlays.scale_bar.visible = True
    frames(viewer)
    del overlays["text"]
    viewer.layers.remove(layer)
    frames(viewer)
    overlays.scale_bar.visible = False


WAYS = (in_view, hidden_and_binned, all_at_once, in_a_grid, with_texts)
# each layer in the way that crashed with all of them, and two in each way
CASES = [(add, hidden) for add in LAYERS] + [(add, way) for way in WAYS for add in (with_bar, shapes)]


def main() -> None:
    viewer = napari.Viewer()
    viewer.window.resize(600, 400)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tif"
        pixels = np.full((400, 500, 3), 230, dtype=np.uint8)
        tifffile.imwrite(path, pixels, resolution=(20000, 20000), resolutionunit="CENTIMETER", tile=(256, 256))
        viewer.open(str(path), plugin="napari-nh2st")
        for add, way in CASES:
            print(add.__name__, way.__name__, flush=True)
            layer = add(viewer)
            frames(viewer)
            way(viewer, layer)
            frames(viewer)
        viewer.close()
    print("survived")


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
