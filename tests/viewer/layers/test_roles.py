"""What a layer is to the plugin: read from its metadata, whoever wrote them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Shapes, Vectors
from napari.layers._layer_actions import _convert_to_labels, _duplicate_layer

from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.context_effect import effect_of
from napari_nh2st.viewer.layers.roles import (
    KEY,
    Kind,
    Role,
    change_role,
    fingerprint_of,
    gene_of,
    kind_of,
    layer_of_slide,
    map_of,
    map_role,
    role_in,
    role_of,
    slide_of,
)
from napari_nh2st.viewer.layers.slide_layer import set_slide
from napari_nh2st.viewer.layers.stacking import ORDER, place
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from viewer.fakes import FakeServices, FakeSlide, card

READERS = (role_of, kind_of, slide_of, map_of, gene_of, fingerprint_of, effect_of)


def empty_map() -> PredictedMap:
    services = FakeServices()
    return PredictedMap(services.describe(FakeSlide()), card(), services.decoder(None), scale=2.0, pitch=112)


def heatmap_image(prediction_map: PredictedMap) -> Image:
    role = map_role(Kind.HEATMAP, prediction_map, "predicted expression", gene="ERBB2")
    return Image(np.zeros((4, 5), np.float32), metadata={KEY: role})


@pytest.mark.parametrize("kept", [None, "heatmap", ("tissue",), ("tissue", "ff", 3), {"map": 1}, 5, [], np.zeros(3)])
def test_what_others_keep_under_our_key_is_no_role(kept) -> None:
    layer = Image(np.zeros((4, 5)), metadata={KEY: kept})
    assert [read(layer) for read in READERS] == [None, None, None, None, "", None, None]


@pytest.mark.parametrize(
    "thing", [None, 3, "layer", object(), SimpleNamespace(metadata=None), SimpleNamespace(metadata=[KEY])]
)
def test_what_is_no_layer_has_no_role(thing) -> None:
    assert [read(thing) for read in READERS] == [None, None, None, None, "", None, None]
    assert role_in(getattr(thing, "metadata", None)) is None


def test_a_heatmap_knows_its_map_its_gene_and_where_it_comes_from() -> None:
    prediction_map = empty_map()
    layer = heatmap_image(prediction_map)
    assert (kind_of(layer), gene_of(layer), fingerprint_of(layer)) == (Kind.HEATMAP, "ERBB2", "f" * 8)
    assert map_of(layer) is prediction_map
    assert role_of(layer).provenance["what"] == "predicted expression"
    assert role_of(layer).provenance["slide"]["path"] == "/nowhere/C9.svs"
    change_role(layer, gene="KRT8", preview=True)
    assert (gene_of(layer), role_of(layer).preview, map_of(layer)) == ("KRT8", True, prediction_map)


def test_only_heatmaps_show_a_map() -> None:
    layer = heatmap_image(empty_map())
    for kind in Kind:
        change_role(layer, kind=kind)
        assert (map_of(layer) is not None) == (kind in (Kind.HEATMAP, Kind.PINNED))


@pytest.mark.filterwarnings("ignore:projection mode")
def test_a_copy_keeps_its_role_and_a_conversion_loses_it() -> None:
    viewer, prediction_map = ViewerModel(), empty_map()
    layer = heatmap_image(prediction_map)
    viewer.add_layer(layer)
    _duplicate_layer(viewer.layers)
    copy = next(other for other in viewer.layers if other is not layer)
    assert map_of(copy) is prediction_map
    change_role(copy, gene="KRT8")  # a role of its own
    assert gene_of(layer) == "ERBB2"
    viewer.layers.selection = {layer}
    _convert_to_labels(viewer.layers)
    labels = next(other for other in viewer.layers if isinstance(other, Labels))
    assert KEY in labels.metadata
    assert [read(labels) for read in READERS] == [None, None, None, None, "", None, None]


def test_a_layer_without_a_role_gets_none_by_a_change() -> None:
    layer = Image(np.zeros((4, 5)))
    change_role(layer, gene="ERBB2")
    assert layer.metadata == {}


def test_a_slide_is_found_by_its_fingerprint() -> None:
    viewer, slide = ViewerModel(), FakeSlide()
    data, meta, _ = frames.slide_layer_data(slide)
    layer = viewer.add_image(data, **meta)
    assert slide_of(layer) is slide
    assert layer_of_slide(viewer, "f" * 8) is layer
    assert layer_of_slide(viewer, None) is None
    assert layer_of_slide(viewer, "other") is None


def _any_layer(kind: Kind, fingerprint: str | None = "f" * 8) -> Layer:
    metadata = {KEY: Role(kind=kind, fingerprint=fingerprint)}
    if kind in (Kind.TISSUE, Kind.ARTEFACTS, Kind.DOMAINS):
        return Labels(np.zeros((2, 2), np.uint8), name=kind.value, metadata=metadata)
    marks = (Kind.SPOT_MARKS, Kind.SLIDE_MARKS)
    if kind in (Kind.MEASURED, Kind.DIFFERENCE, Kind.NEARER, Kind.RINGS, Kind.ANCHORS, Kind.NEXT, *marks):
        return Points(np.zeros((1, 2)), name=kind.value, metadata=metadata)
    if kind is Kind.LINKS:
        return Vectors(np.zeros((1, 2, 2)), name=kind.value, metadata=metadata)
    if kind is Kind.REGIONS:
        return Shapes(name=kind.value, metadata=metadata)
    return Image(np.zeros((2, 2)), name=kind.value, metadata=metadata)


def test_every_kind_has_its_height() -> None:
    assert sorted(kind for kinds in ORDER for kind in kinds) == sorted(Kind)


@pytest.mark.parametrize("seed", range(3))
def test_layers_lie_in_their_order_below_what_the_user_draws_however_they_come(seed: int) -> None:
    viewer = ViewerModel()
    viewer.add_layer(_any_layer(Kind.SLIDE))
    viewer.add_shapes(name="mine")
    kinds = [kind for kind in Kind if kind is not Kind.SLIDE]
    for i in np.random.default_rng(seed).permutation(len(kinds)):
        place(viewer, _any_layer(kinds[i]))
    *below, mine, frame = viewer.layers
    heights = [next(h for h, line in enumerate(ORDER) if kind_of(layer) in line) for layer in below]
    assert heights == sorted(heights)
    assert (mine.name, kind_of(frame)) == ("mine", Kind.OUTLINE)
    assert viewer.layers.selection.active.name == "mine"


def test_what_lies_on_another_slide_is_passed_over() -> None:
    viewer = ViewerModel()
    for fingerprint in ("one", "two"):
        viewer.add_layer(_any_layer(Kind.SLIDE, fingerprint))
    viewer.add_layer(_any_layer(Kind.HEATMAP, "two"))
    place(viewer, _any_layer(Kind.EFFECT, "one"))
    place(viewer, _any_layer(Kind.SPREAD, "two"))
    assert [fingerprint_of(layer) for layer in viewer.layers] == ["one", "one", "two", "two", "two"]


@pytest.mark.parametrize("fingerprint", [None, "of no open slide"])
def test_without_its_slide_a_layer_comes_on_top(fingerprint: str | None) -> None:
    viewer = ViewerModel()
    viewer.add_layer(_any_layer(Kind.SLIDE))
    place(viewer, _any_layer(Kind.HEATMAP, fingerprint))
    assert kind_of(viewer.layers[-1]) is Kind.HEATMAP


def test_another_pixel_size_takes_away_what_lies_on_the_tiles() -> None:
    viewer, slide = ViewerModel(), FakeSlide()
    data, meta, _ = frames.slide_layer_data(slide)
    slide_layer = viewer.add_image(data, **meta)
    change_role(slide_layer, measurement="how it is read")
    for kind in (Kind.HEATMAP, Kind.EFFECT, Kind.COMPOSITE):
        layer = heatmap_image(empty_map())
        layer.metadata[KEY] = replace(role_of(layer), kind=kind)
        viewer.add_layer(layer)
    set_slide(viewer, slide_layer, slide.with_mpp(0.25))
    assert list(viewer.layers) == [slide_layer]
    assert slide_layer.scale[0] == 0.25
    assert role_of(slide_layer).measurement == "how it is read"
