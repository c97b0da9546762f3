"""Regions that a person has drawn: the shapes that lie on a slide, and their names.

A name is kept in the layer's table of features, so that it is shown on the shape and saved with the layer. Shapes of
one name are one region, as a tumour in two pieces is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_nh2st.geometry import Box, FloatArray
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer
from napari_nh2st.viewer.layers.roles import KEY, Kind, Role, fingerprint_of, kind_of
from napari_nh2st.viewer.layers.stacking import place
from napari_nh2st.viewer.predict.region import level0, outline_of
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Shapes

    from napari_nh2st.viewer.predict.workspace import Workspace

    Placing = Callable[[Any], FloatArray]  # world points (n, 2), (y, x), to level-0 pixels (x, y)

NAME, OTHER_NAMES = "name", ("label",)  # columns of features that say what a shape is called, the first is ours
# modes of a shapes layer in which the mouse draws what encloses something
DRAWING = frozenset({"add_polygon", "add_polygon_lasso", "add_rectangle", "add_ellipse"})
_EDGE = 1 / 240  # of the slide's longer side
# Okabe and Ito's colours, which colour-blind eyes tell apart; least like tissue first
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#F0E442", "#D55E00", "#CC79A7")
_OURS: WeakKeyDictionary[Shapes, dict[str, str]] = WeakKeyDictionary()  # layers that we added: colours by names


@dataclass(frozen=True, eq=False)
class Drawn:
    """One shape on a slide.

    Attributes
    ----------
    outline : (k, 2) float64
        Level-0 pixels (x, y).
    colour : str
        Of its edge, "#rrggbb".
    """

    layer: Shapes
    index: int
    name: str
    outline: FloatArray
    colour: str


def place_on(heatmap: HeatmapLayer, slide_layer: Layer | None) -> Placing | None:
    """Return what places world points on the slide of a map: by its layer, else by the heatmap's; None without both."""
    if slide_layer is not None:
        return partial(level0, slide_layer)
    if not heatmap.present:
        return None
    cell, origin = heatmap.map.cell, np.array(heatmap.map.origin)
    return lambda world: (level0(heatmap.layer, world) - 0.5) * cell + origin


def shapes_layers(viewer: ViewerModel) -> list[Shapes]:
    """Return the layers with shapes: all of them are the user's."""
    from napari.layers import Shapes

    return [layer for layer in viewer.layers if isinstance(layer, Shapes)]


def drawn_on(viewer: ViewerModel, to_level0: Placing) -> list[Drawn]:
    """Return all shapes in sight that enclose something; those without a name get the next free number."""
    found = [
        (layer, index, _name(layer, index), outline)
        for layer in shapes_layers(viewer)
        if layer.visible
        for index in range(len(layer.data))
        if (outline := outline_of(layer, index)) is not None
    ]
    numbers = _free(name for _, _, name, _ in found)
    return [
        Drawn(layer, index, name or next(numbers), to_level0(outline), _hex(layer.edge_color[index]))
        for layer, index, name, outline in found
    ]


def by_name(drawn: list[Drawn]) -> dict[str, list[FloatArray]]:
    """Gather the outlines of each region, in the order in which they were drawn."""
    regions: dict[str, list[FloatArray]] = {}
    for shape in drawn:
        regions.setdefault(shape.name, []).append(shape.outline)
    return regions


def areas(drawn: list[Drawn], mpp: float) -> dict[str, float]:
    """Return the area of each region, mm²; `mpp` in micrometres per level-0 pixel."""
    found: dict[str, float] = {}
    for shape in drawn:
        x, y = shape.outline.T
        pixels = abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2  # Gauss's area formula
        found[shape.name] = found.get(shape.name, 0.0) + pixels * mpp**2 * 1e-6
    return found


def on_slide(outlines: Iterable[FloatArray], shown: PredictedMap) -> Box:
    """Return the box around outlines, clipped to the slide; its area is 0 where they lie off it. Level-0 pixels."""
    points = np.concatenate(list(outlines))
    height, width = shown.slide["shape"]
    return Box(*points.min(axis=0), *points.max(axis=0)).intersect(Box(0, 0, width, height))


def regions_on_slide(workspace: Workspace) -> dict[str, list[FloatArray]]:
    """Return the outlines of the regions that are drawn on the slide of the heatmap in the window."""
    heatmap = workspace.heatmap
    place = None if heatmap is None else place_on(heatmap, workspace.map_slide_layer)
    if heatmap is None or place is None:
        return {}
    regions = by_name(drawn_on(workspace.viewer, place))
    return {name: outlines for name, outlines in regions.items() if on_slide(outlines, heatmap.map).area}


def rename(drawn: list[Drawn], old: str, new: str) -> None:
    """Give a region another name, in its layers' features."""
    for layer in dict.fromkeys(shape.layer for shape in drawn if shape.name == old):
        if layer in _OURS and old in _OURS[layer]:
            _OURS[layer].setdefault(new, _OURS[layer][old])
        names = {s.index: s.name for s in drawn if s.layer == layer}  # numbers too: they would shift else
        set_names(layer, {i: new if name == old else name for i, name in names.items()})


def set_names(layer: Shapes, names: dict[int, str]) -> None:
    """Write names of some shapes of a layer, and show them on the shapes where no other text stands there."""
    column = _column(layer) or NAME
    features = layer.features.copy()
    values = [_name(layer, i) for i in range(len(layer.data))]
    for index, name in names.items():
        values[index] = name
    features[column] = values
    layer.features = features
    paint(layer)
    if not np.char.str_len(np.atleast_1d(layer.text.values).astype(str)).any():
        layer.text = _text(column)


def name_new(viewer: ViewerModel, layer: Shapes, first: int) -> None:
    """Give new shapes, from `first` on, numbers: napari gives them the name of the shape that was chosen last."""
    if _column(layer) is None:
        return
    taken = [
        _name(other, i) for other in shapes_layers(viewer) for i in range(first if other == layer else len(other.data))
    ]
    numbers = _free(taken)
    new = range(first, len(layer.data))
    set_names(layer, {i: "" if outline_of(layer, i) is None else next(numbers) for i in new})


def forget_gone(layer: Shapes, at: int) -> bool:
    """Drop what napari keeps of a shape that it has taken back: a polygon of two points, a shape without vertices.

    napari 0.9 then leaves its row of features, its text and its colours behind, and all later ones are one off.

    Parameters
    ----------
    at : int
        Where the shape was; negative for the last one.

    Returns
    -------
    bool
        True if there was something to drop.
    """
    shapes, rows = len(layer.data), len(layer.features)
    if rows <= shapes:
        return False
    gone = range(shapes, rows) if at < 0 else range(at, at + rows - shapes)
    for name in ("_edge_color", "_face_color"):
        colours = getattr(layer._data_view, name)
        if len(colours) == rows:
            setattr(layer._data_view, name, np.delete(colours, gone, axis=0))
    layer.features = layer.features.drop(index=list(gone)).reset_index(drop=True)
    return True


def pick_rows(layer: Shapes, indices: list[int]) -> Any:
    """Return the rows of features of some shapes, (n, columns) DataFrame."""
    return layer.features.iloc[indices].copy()


def paint(layer: Shapes) -> None:
    """Give each region of a layer of ours a colour of its own; what others made keeps its colours."""
    if layer not in _OURS or not len(layer.data):
        return
    names = [_name(layer, i) for i in range(len(layer.data))]
    colours = _colours(layer, names)
    layer.edge_color = [colours[name] for name in names]


def keep_colours(layer: Shapes, colours: Mapping[str, str]) -> None:
    """Give regions of a layer of ours the colours ("#rrggbb", by name) that another program gave them."""
    _OURS.setdefault(layer, {}).update(colours)


def _colours(layer: Shapes, names: list[str]) -> dict[str, str]:
    """Return a colour for each name: the one that it had, else the one that is used least."""
    had = _OURS[layer]
    kept = {name: had[name] for name in names if name in had}
    for name in names:
        if name not in kept:
            used = list(kept.values())
            kept[name] = min(COLOURS, key=used.count)
    had.update(kept)
    return kept


def _hex(rgba: Any) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in rgba[:3])


def region_layer(viewer: ViewerModel, fingerprint: str | None) -> Shapes | None:
    """Return the layer of a slide's regions, None where there is none: it goes on being drawn in."""
    ours = (layer for layer in shapes_layers(viewer) if kind_of(layer) is Kind.REGIONS)
    return next((layer for layer in ours if fingerprint_of(layer) == fingerprint), None)


def prepare_shapes() -> None:
    """Let napari load what triangulates shapes: it takes long the first time. Not on the GUI thread."""
    import bermuda  # noqa: F401 (napari takes it where it is: a hundred times as fast as without)
    from napari.layers import Shapes

    Shapes([np.array([(0, 0), (0, 1), (1, 1)])], shape_type="polygon")


def add_region_layer(viewer: ViewerModel, name: str, slide: Mapping[str, Any]) -> Shapes:
    """Add a layer to draw regions of a slide in, in micrometres.

    Parameters
    ----------
    slide : mapping
        Its ``fingerprint``, ``shape`` and ``mpp``.
    """
    import pandas as pd
    from napari.layers import Shapes

    layer = Shapes(
        ndim=2,
        name=name,
        features=pd.DataFrame({NAME: pd.Series([], dtype=object)}),
        text=_text(NAME),
        edge_color=COLOURS[0],
        face_color="#ffffff28",
        opacity=1.0,
        edge_width=max(slide["shape"]) * float(slide["mpp"]) * _EDGE,
        scale=(1.0, 1.0),
        units=("um", "um"),
        metadata={KEY: Role(kind=Kind.REGIONS, fingerprint=slide.get("fingerprint"), title="regions")},
    )
    layer.feature_defaults[NAME] = ""
    _OURS[layer] = {}
    place(viewer, layer)
    return layer


def _text(column: str) -> dict[str, Any]:
    return {"string": "{" + column + "}", "color": "#111111", "size": 12, "anchor": "center"}


def _column(layer: Shapes) -> str | None:
    return next((c for c in (NAME, *OTHER_NAMES) if c in layer.features.columns), None)


def _name(layer: Shapes, index: int) -> str:
    column = _column(layer)
    value = None if column is None or index >= len(layer.features) else layer.features[column].iloc[index]
    if value is None or value != value:  # NaN
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value).strip()


def _free(taken: Iterable[str]) -> Any:
    """Return the numbers from 1 on that are no name yet."""
    used = set(taken)
    return (str(n) for n in range(1, 1_000_000) if str(n) not in used)
