"""Regions in and out: annotations of other programs become shapes on a slide, and shapes go back with genes. No Qt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.annotations import Annotation, Annotations, read_annotations
from napari_nh2st.annotations.keyhole import outline_of, rings_of
from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.kit.background import read_aside
from napari_nh2st.viewer.kit.phrases import count
from napari_nh2st.viewer.layers.opening import BusySign, complain, once_slides_change, open_viewers
from napari_nh2st.viewer.layers.roles import (
    Role,
    fingerprint_of,
    is_opening,
    layer_of_slide,
    map_of,
    role_of,
    slide_of,
)
from napari_nh2st.viewer.predict.region import from_level0, level0, transformed
from napari_nh2st.viewer.regions.drawn import (
    COLOURS,
    NAME,
    Drawn,
    add_region_layer,
    drawn_on,
    keep_colours,
    prepare_shapes,
    region_layer,
    set_names,
)
from napari_nh2st.viewer.regions.rim import add_rim

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Shapes

    from napari_nh2st.geometry import FloatArray
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

Outlines = list[tuple[Annotation, "FloatArray"]]

KIND, LOCKED = "class", "locked"  # columns of features beside the name
MOST = 1_000  # shapes: napari takes more than a second to draw more of them
_OFF = 0.5  # share of the corners that may lie off the slide


class RegionsOpening:
    """Brings the regions of a file onto their slide: reads them in a thread, and waits for a slide that opens.

    Call its methods on the GUI thread.

    Parameters
    ----------
    viewer : ViewerModel
    path : Path
    told : callable, optional
        Receives one line that says what came of it, whether it went well or not.
    """

    def __init__(self, viewer: ViewerModel, path: Path, told: Callable[[str], None] = lambda words: None) -> None:
        self._viewer, self._path, self._told = viewer, path, told
        self._sign = BusySign(path.name)

    def start(self) -> None:
        """Begin to read, when the slides that were dropped with it are open."""
        if self._viewer not in open_viewers():
            return
        if any(is_opening(layer) for layer in self._viewer.layers):
            once_slides_change(self._viewer, self.start)
            return
        try:
            slide_layer = slide_for(self._viewer, self._path)
        except Nh2stError as error:
            complain(self._viewer, error, self._path)
            self._told(str(error))
            return
        self._sign.show()
        slide = slide_of(slide_layer)
        assert slide is not None
        read_aside(partial(self._read, slide.path, slide.fingerprint))

    def _read(self, slide: Path, fingerprint: str) -> Callable[[], None]:
        try:
            found = read_annotations(self._path, slide)
            number = sum(len(a.polygons) for a in found.annotations)
            if number > MOST:
                raise Nh2stError(f"{self._path.name} holds {number:,} outlines, and at most {MOST:,} can be drawn here")
            shapes = outlines_of(found.annotations)
            prepare_shapes()
        except Exception as error:
            return partial(self._failed, error)
        return partial(self._draw, found, shapes, fingerprint)

    def _failed(self, error: Exception) -> None:
        self._sign.hide()
        if self._viewer in open_viewers():
            complain(self._viewer, error, self._path)
            self._told(str(error))

    def _draw(self, found: Annotations, shapes: Outlines, fingerprint: str) -> None:
        from napari.utils.notifications import show_info

        self._sign.hide()
        slide_layer = layer_of_slide(self._viewer, fingerprint)
        if self._viewer not in open_viewers() or slide_layer is None:
            return
        try:
            add_annotations(self._viewer, slide_layer, shapes)
        except (Nh2stError, RuntimeError) as error:  # napari cannot fill every outline that crosses itself
            self._failed(error)
            return
        left = f"; {found.left_out} left out" if found.left_out else ""
        words = f"{self._path.name}: {count(len(found.named()), 'region')} on {slide_layer.name}{left}."
        show_info(words)
        self._told(words)


def region_layer_data(path: Path) -> tuple[list[FloatArray], dict[str, Any], str]:
    """Return the regions of a file as layer data without a slide: as if a pixel were 1 micrometre.

    Raises
    ------
    Nh2stError
        As `read_annotations`.
    """
    shapes = outlines_of(read_annotations(path).annotations)
    features = {NAME: [a.title for a, _ in shapes], KIND: [a.kind for a, _ in shapes]}
    meta = {
        "name": path.name.split(".")[0] + " · regions",
        "shape_type": "polygon",
        "features": features,
        "edge_color": [a.colour or COLOURS[0] for a, _ in shapes],
        "face_color": "transparent",
        "units": ("um", "um"),
    }
    return [outline[:, ::-1] - 0.5 for _, outline in shapes], meta, "shapes"


def slide_for(viewer: ViewerModel, path: Path) -> Layer:
    """Return the slide on which the regions of a file lie: the one it is named after, else the one in sight.

    Raises
    ------
    Nh2stError
        If none is open, or there are several to choose from.
    """
    slides = [layer for layer in viewer.layers if slide_of(layer) is not None]
    if not slides:
        raise Nh2stError(f"{path.name} holds regions: open their slide first, then open them again")
    named = [layer for layer in slides if _is_named_after(path, layer)]
    seen = [layer for layer in slides if layer.visible]
    active = fingerprint_of(viewer.layers.selection.active)
    selected = [layer for layer in seen if fingerprint_of(layer) == active and active is not None]
    for some in (named, selected, seen, slides):
        if len(some) == 1:
            return some[0]
    raise Nh2stError(f"Select the slide that {path.name} was drawn on, then open it again")


def _is_named_after(path: Path, layer: Layer) -> bool:
    slide = slide_of(layer)
    stem = "" if slide is None else slide.path.name.split(".")[0].casefold()
    name = path.name.casefold()
    return bool(stem) and name.startswith(stem) and not name[len(stem) : len(stem) + 1].isalnum()


def outlines_of(annotations: Sequence[Annotation]) -> Outlines:
    """Return each polygon of annotations as one outline (k, 2), level-0 pixels, with its annotation."""
    return [(a, outline_of(rings)) for a in annotations for rings in a.polygons]


def add_annotations(viewer: ViewerModel, slide_layer: Layer, shapes: Outlines) -> Shapes:
    """Draw annotations on a slide, in its layer of regions.

    Raises
    ------
    Nh2stError
        If most of them lie off the slide.
    """
    slide = slide_of(slide_layer)
    assert slide is not None
    corners = np.concatenate([outline for _, outline in shapes])
    height, width = slide.shape
    off = float(((corners < 0) | (corners > (width, height))).any(axis=1).mean())
    if off > _OFF:
        reach = ", ".join(f"{round(value):,}" for value in corners.max(axis=0))
        raise Nh2stError(
            f"These regions lie off {slide_layer.name}: they reach to {reach}, and it has {width:,} x {height:,} "
            "pixels. Were they drawn on another slide?"
        )
    layer = region_layer(viewer, slide.fingerprint)
    if layer is None:
        facts = {"fingerprint": slide.fingerprint, "shape": slide.shape, "mpp": slide.mpp or 1.0}
        layer = add_region_layer(viewer, f"{slide_layer.name} · regions", facts)
    keep_colours(layer, {a.title: a.colour for a, _ in shapes if a.title and a.colour is not None})
    first = len(layer.data)
    layer.add([_in_layer(layer, slide_layer, outline) for _, outline in shapes], shape_type="polygon")
    set_names(layer, {first + i: a.title for i, (a, _) in enumerate(shapes) if a.title})
    _set_columns(layer, first, [a for a, _ in shapes])
    layer.visible = slide_layer.visible
    add_rim(viewer, layer)
    return layer


def _in_layer(layer: Shapes, slide_layer: Layer, outline: FloatArray) -> FloatArray:
    """Return an outline (level-0 pixels) in the coordinates of a layer of shapes."""
    return transformed(layer.world_to_data, from_level0(slide_layer, outline))


def _set_columns(layer: Shapes, first: int, annotations: Sequence[Annotation]) -> None:
    """Keep class and lock of new shapes: they are written out again."""
    features = layer.features.copy()
    for column, empty, values in (
        (KIND, "", [a.kind for a in annotations]),
        (LOCKED, False, [a.locked for a in annotations]),
    ):
        before = features[column].tolist() if column in features.columns else [empty] * len(features)
        features[column] = [*before[:first], *values]
    layer.features = features


def annotations_of(drawn: Sequence[Drawn]) -> list[Annotation]:
    """Return what is drawn as annotations, one a name."""
    shapes: dict[str, list[Drawn]] = defaultdict(list)
    for shape in drawn:
        shapes[shape.name].append(shape)
    return [
        Annotation(
            [polygon for shape in mine for polygon in rings_of(shape.outline)],
            name=name,
            kind=str(_column(mine[0], KIND, "")),
            colour=mine[0].colour,
            locked=_column(mine[0], LOCKED, False) is True,
        )
        for name, mine in shapes.items()
    ]


def annotations_on_slide(viewer: ViewerModel, role: Role) -> tuple[list[Annotation], PredictedMap | None]:
    """Return the regions of a layer by its role, and the map that is in sight on their slide, None without one.

    Raises
    ------
    Nh2stError
        If the slide is closed.
    """
    slide_layer = layer_of_slide(viewer, role.fingerprint)
    if slide_layer is None:
        raise Nh2stError("the slide of these regions is closed: open it again, and save them then")
    drawn = [shape for shape in drawn_on(viewer, partial(level0, slide_layer)) if role_of(shape.layer) is role]
    maps = [m for layer in viewer.layers if (m := map_of(layer)) is not None and layer.visible]
    own = [m for m in maps if m.slide.get("fingerprint") == role.fingerprint and m.count]
    return annotations_of(drawn), own[-1] if own else None


def _column(shape: Drawn, column: str, empty: Any) -> Any:
    features = shape.layer.features
    if column not in features.columns or shape.index >= len(features):
        return empty
    value = features[column].iloc[shape.index]
    return bool(value) if isinstance(empty, bool) else value if isinstance(value, str) else empty
