"""Regions to predict: the visible part, a drawn shape or the whole slide, in level-0 pixels.

Works on napari's models, without a window. World is in micrometres, (y, x), with pixel centres on integers:
continuous level-0 pixel = slide data coordinate + 0.5 (docs/architecture.md, frames).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import Box, FloatArray, TileSet

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Shapes

_ELLIPSE_POINTS = 64


@dataclass(frozen=True, eq=False)
class Region:
    """The part of one slide to predict.

    Attributes
    ----------
    box : Box or None
        Level-0 pixels; None is the whole slide.
    polygons : tuple of (k, 2) float64
        Outlines (x, y) in level-0 pixels: only tiles whose centre lies in one of them. Empty: all of the box.
    """

    box: Box | None = None
    polygons: tuple[FloatArray, ...] = ()

    def select(self, places: TileSet) -> TileSet:
        """Return the places whose centres lie in the region."""
        keep = np.ones(len(places), dtype=bool) if self.box is None else self.box.contains(places.centres)
        if self.polygons:
            from skimage.measure import points_in_poly

            contains: Callable[[FloatArray, FloatArray], npt.NDArray[np.bool_]] = points_in_poly  # skimage is untyped
            inside = [contains(places.centres, polygon) for polygon in self.polygons]
            keep &= np.any(inside, axis=0)
        return places.select(keep)


def level0(layer: Layer, world: Any) -> FloatArray:
    """Turn (n, 2) world points (y, x) into continuous level-0 pixels (x, y) of a slide layer."""
    return transformed(layer.world_to_data, world)[:, ::-1] + 0.5


def from_level0(layer: Layer, points: FloatArray) -> FloatArray:
    """Turn (n, 2) continuous level-0 pixels (x, y) of a slide layer into world points (y, x)."""
    return transformed(layer.data_to_world, points[:, ::-1] - 0.5)


def under_cursor(viewer: ViewerModel, layer: Layer) -> FloatArray:
    """Return where the cursor is in the data coordinates of a layer, (y, x)."""
    position = np.asarray(viewer.cursor.position, dtype=float)[-2:] * _scene_units_per_layer_unit(viewer, layer)
    found: FloatArray = np.asarray(layer.world_to_data(position), dtype=float)[-2:]
    return found


def visible_box(viewer: ViewerModel, layer: Layer) -> Box:
    """Return the part of a slide layer that the window shows, level-0 pixels.

    Raises
    ------
    Nh2stError
        If the window shows no part of it, or shows it in a way that has no one answer (grid, 3D).
    """
    if viewer.dims.ndisplay != 2 or viewer.canvas.grid.enabled:
        raise Nh2stError("“What I see” needs the plain 2D view. Leave the grid or 3D view, or choose the whole slide.")
    center = np.asarray(viewer.scene.camera.center)[-2:]
    half = np.asarray(viewer.canvas.size) / 2 / viewer.scene.camera.zoom
    factor = _scene_units_per_layer_unit(viewer, layer)
    signs = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])  # all four, for a turned layer
    corners = level0(layer, (center + signs * half) * factor)
    box = _clip(Box(*corners.min(axis=0), *corners.max(axis=0)), layer)
    if box.area == 0:
        raise Nh2stError("The slide is out of sight. Move it into view, or choose the whole slide.")
    return box


def show_box(viewer: ViewerModel, layer: Layer, box: Box) -> None:
    """Move the view so that it shows a part of a slide layer (level-0 pixels) as large as it fits."""
    corners = [layer.data_to_world((y - 0.5, x - 0.5))[-2:] for x in (box.x0, box.x1) for y in (box.y0, box.y1)]
    world = np.array(corners, dtype=float) / _scene_units_per_layer_unit(viewer, layer)
    low, high = world.min(axis=0), world.max(axis=0)
    camera = viewer.scene.camera
    camera.center = (*camera.center[:-2], *((low + high) / 2))
    camera.zoom = float((np.asarray(viewer.canvas.size) / np.maximum(high - low, 1e-9)).min())


def drawn_region(shapes: Shapes, layer: Layer) -> Region:
    """Return what the shapes of a layer enclose (the selected ones, if any are) on a slide layer.

    Raises
    ------
    Nh2stError
        If nothing that encloses an area was drawn on the slide.
    """
    chosen = sorted(shapes.selected_data) or range(len(shapes.data))
    polygons = [level0(layer, outline) for i in chosen if (outline := outline_of(shapes, i)) is not None]
    if not polygons:
        raise Nh2stError("Draw a rectangle, an ellipse or a polygon on the slide first.")
    points = np.concatenate(polygons)
    box = _clip(Box(*points.min(axis=0), *points.max(axis=0)), layer)
    if box.area == 0:
        raise Nh2stError("The drawn shape lies beside the slide. Draw one on the tissue.")
    return Region(box, tuple(polygons))


def outline_of(shapes: Shapes, index: int) -> FloatArray | None:
    """Return the (k, 2) outline (y, x) of a shape in world coordinates, None where it encloses nothing."""
    if shapes.shape_type[index] == "line" or len(shapes.data[index]) < 3:
        return None
    return transformed(shapes.data_to_world, corners_of(shapes.data[index], shapes.shape_type[index]))


def transformed(function: Callable[[Any], Any], points: Any) -> FloatArray:
    """Apply a layer's affine transform to (n, 2) points: napari takes them one by one, and outlines are long."""
    origin, *ends = (np.asarray(function(point), dtype=float)[-2:] for point in ((0, 0), (1, 0), (0, 1)))
    out: FloatArray = np.atleast_2d(np.asarray(points, dtype=float)) @ (np.array(ends) - origin) + origin
    return out


def corners_of(vertices: Any, kind: str) -> FloatArray:
    """Return the (k, 2) outline in the layer's data coordinates; an ellipse is stored as its bounding box."""
    points = np.asarray(vertices, dtype=float)[:, -2:]
    if kind != "ellipse":
        return points
    centre = points.mean(axis=0)
    u, v = (points[1] - points[0]) / 2, (points[3] - points[0]) / 2
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)[:, None]
    outline: FloatArray = centre + np.cos(angle) * u + np.sin(angle) * v
    return outline


def _clip(box: Box, layer: Layer) -> Box:
    height, width = _level0_shape(layer)
    return box.intersect(Box(0, 0, width, height))


def _level0_shape(layer: Layer) -> tuple[int, int]:
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    return int(data.shape[0]), int(data.shape[1])


def _scene_units_per_layer_unit(viewer: ViewerModel, layer: Layer) -> FloatArray:
    """Factor from the scene's units to the layer's: a layer in nm may stand in a scene in um."""
    scene = viewer.layers.units
    if scene is None:  # layers that cannot be brought to common units: taken as they are
        return np.ones(2)
    pairs = list(zip(scene, layer.units, strict=False))[-2:]
    return np.array([(1 * a).to(b).magnitude for a, b in pairs], dtype=float)
