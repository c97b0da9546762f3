"""The role of a layer: what it is to the plugin, kept with the layer under one key and read in one place.

What other plugins add has no role, nor has what the user draws, but for regions: they belong to a slide. Copies and
conversions of a layer take its metadata along: a layer that is not of the type in which a role is drawn has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.expression import Sample
    from napari_nh2st.slides import Slide
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

Line = tuple[str, str | None]

KEY = "napari_nh2st"  # in a layer's metadata: its Role, and nothing else


class Kind(StrEnum):
    """The kinds of layers that the plugin adds."""

    SLIDE = "slide"
    COPY = "slide beside itself"
    TISSUE = "tissue"
    ARTEFACTS = "artefacts"
    HEATMAP = "heatmap"
    PINNED = "pinned gene"
    EFFECT = "context effect"
    SPREAD = "spread"
    HALF_WIDTH = "half-width"
    VAIN = "not informative"
    DISAGREEMENT = "disagreement of models"
    NOVELTY = "unlike the training"
    COMPOSITE = "composite"
    SIGNATURE = "signature"
    DOMAINS = "domains"
    MEASURED = "measured spots"
    DIFFERENCE = "difference"
    NEARER = "nearer model"
    RINGS = "spots to align"
    SPOT_MARKS = "landmarks of the spots"
    SLIDE_MARKS = "landmarks on the slide"
    ANCHORS = "anchor spots"
    NEXT = "where to measure next"
    REGIONS = "regions"
    LINKS = "links between places"
    OUTLINE = "inspected tile"


HEATMAPS = (Kind.HEATMAP, Kind.PINNED)
_LABELS = (Kind.TISSUE, Kind.ARTEFACTS, Kind.DOMAINS)
_MARKS = (Kind.SPOT_MARKS, Kind.SLIDE_MARKS)
_POINTS = (Kind.MEASURED, Kind.DIFFERENCE, Kind.NEARER, Kind.RINGS, Kind.ANCHORS, Kind.NEXT, *_MARKS)


@dataclass(frozen=True, eq=False, kw_only=True)
class Role:
    """The role of a layer in the plugin.

    Attributes
    ----------
    kind : Kind
    fingerprint : str or None
        Of the slide that it shows or lies on.
    gene : str
        The gene that it shows, empty where it shows none.
    title : str
        What it shows, in its name behind the slide: "ERBB2 · predicted".
    provenance : mapping
        What it shows, and the slide, model and command that made it.
    label : str
        Written beside the colour bar: what is shown, and its unit.
    legend : tuple of (text, "#rrggbb" or None)
        Further lines on the canvas, None for plain writing.
    left : bool
        The dock that drew it is closed: the next one takes it over, or draws its own in its place.
    """

    kind: Kind
    fingerprint: str | None
    gene: str = ""
    title: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    legend: tuple[Line, ...] = ()
    left: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class OpeningRole(Role):
    """A slide that is being opened."""

    kind: Kind = Kind.SLIDE
    fingerprint: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class SlideRole(Role):
    """A slide.

    Attributes
    ----------
    measurement : Sample or None
        How its measurement is read, where the user has loaded one.
    loaded : object
        What the dock holds of that measurement, for the next dock in this window.
    """

    slide: Slide
    measurement: Sample | None = None
    loaded: object = None


@dataclass(frozen=True, eq=False, kw_only=True)
class MapRole(Role):
    """Something on the lattice of a map.

    Attributes
    ----------
    preview : bool
        Whether part of it is a quick preview.
    say : callable, optional
        ``say(gene, cell)`` returns what the status line says of a cell (its flat index), where that is not the
        prediction; empty where there is nothing to say.
    """

    map: PredictedMap
    preview: bool = False
    say: Callable[[str, int], str] | None = None


def slide_role(slide: Slide, measurement: Sample | None = None) -> SlideRole:
    """Return the role of a slide's layer."""
    return SlideRole(kind=Kind.SLIDE, fingerprint=slide.fingerprint, slide=slide, measurement=measurement)


def map_role(
    kind: Kind, prediction_map: PredictedMap, what: str, *, gene: str = "", title: str = "", **more: Any
) -> MapRole:
    """Return the role of a layer on the lattice of a map.

    Parameters
    ----------
    what : str
        What it shows, for its provenance: "predicted expression".
    title : str
        What it shows, for its name.
    more
        What else it takes to repeat it.
    """
    return MapRole(
        kind=kind,
        fingerprint=prediction_map.slide.get("fingerprint"),
        map=prediction_map,
        gene=gene,
        title=title,
        provenance=provenance_of(prediction_map, what, **more),
    )


def provenance_of(prediction_map: PredictedMap, what: str, **more: Any) -> dict[str, Any]:
    """Return what was worked out from a map, and the slide, model and command that made the map."""
    keys = ("path", "fingerprint", "mpp", "mpp_source")
    slide = {key: prediction_map.slide.get(key) for key in keys}
    return {"what": what, **more, "slide": slide, "pitch": prediction_map.pitch, **prediction_map.provenance}


def role_in(metadata: object) -> Role | None:
    """Return the role that a layer's metadata hold, whatever type the layer has."""
    role = metadata.get(KEY) if isinstance(metadata, Mapping) else None
    return role if isinstance(role, Role) else None


def gene_in(metadata: object) -> str:
    """Return the gene that a layer with these metadata shows, empty where it shows none."""
    role = role_in(metadata)
    return "" if role is None else role.gene


def role_of(layer: object) -> Role | None:
    """Return the role of a layer, None for any object that is no layer of ours."""
    role = role_in(getattr(layer, "metadata", None))
    return role if role is not None and _is_drawn_as(role.kind, layer) else None


def _is_drawn_as(kind: Kind, layer: object) -> bool:
    from napari.layers import Image, Labels, Points, Shapes, Vectors

    others = {Kind.REGIONS: Shapes, Kind.LINKS: Vectors}
    drawn_as = Labels if kind in _LABELS else Points if kind in _POINTS else others.get(kind, Image)
    return isinstance(layer, drawn_as)


def give_role(layer: Layer, role: Role) -> None:
    """Give a layer a role."""
    layer.metadata[KEY] = role


def leave_roles(viewer: ViewerModel) -> None:
    """Take note that the dock which drew the layers of a window is closed."""
    for layer in viewer.layers:
        role = role_of(layer)
        if role is not None and role.kind not in (Kind.SLIDE, Kind.TISSUE):
            give_role(layer, replace(role, left=True))


def left_in_place_of(viewer: ViewerModel, role: Role) -> list[Layer]:
    """Return what a closed dock left of just what a layer with this role is about to show."""
    return [
        layer
        for layer in viewer.layers
        if (other := role_of(layer)) is not None
        and other.left
        and (other.kind, other.fingerprint) == (role.kind, role.fingerprint)
        and getattr(other, "map", None) is getattr(role, "map", None)
        and (role.kind is not Kind.PINNED or other.gene == role.gene)
    ]


def change_role(layer: Layer, **changes: Any) -> None:
    """Change some attributes of the role that a layer has."""
    role = role_in(layer.metadata)
    if role is not None:
        give_role(layer, replace(role, **changes))


def kind_of(layer: object) -> Kind | None:
    """Return the kind of a layer of ours."""
    role = role_of(layer)
    return None if role is None else role.kind


def is_opening(layer: object) -> bool:
    """Tell whether a layer holds the place of a slide that is being opened."""
    return isinstance(role_of(layer), OpeningRole)


def slide_of(layer: object) -> Slide | None:
    """Return the slide behind a slide's layer."""
    role = role_of(layer)
    return role.slide if isinstance(role, SlideRole) else None


def map_of(layer: object) -> PredictedMap | None:
    """Return the map that a heatmap shows, the main one or one of a pinned gene; None for any other layer."""
    return heatmap_map(role_of(layer))


def heatmap_map(role: Role | None) -> PredictedMap | None:
    """Return the map of a heatmap's role, None for any other role."""
    return role.map if isinstance(role, MapRole) and role.kind in HEATMAPS else None


def gene_of(layer: object) -> str:
    """Return the gene that a layer shows, empty where it shows none."""
    role = role_of(layer)
    return "" if role is None else role.gene


def fingerprint_of(layer: object) -> str | None:
    """Return the fingerprint of the slide that a layer of ours shows or lies on."""
    role = role_of(layer)
    return None if role is None else role.fingerprint


def layer_of_slide(viewer: ViewerModel, fingerprint: str | None) -> Layer | None:
    """Return the layer of the slide with this fingerprint, None where it is not open."""
    for layer in viewer.layers:
        slide = slide_of(layer)
        if slide is not None and slide.fingerprint == fingerprint:
            return layer
    return None
