"""One contract for every kind of layer that the plugin adds, on napari's models without a window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.layers._layer_actions import _convert_to_image, _convert_to_labels, _duplicate_layer

from napari_nh2st.analysis.domains import Domains
from napari_nh2st.formats.limits import Limits, limits_of
from napari_nh2st.viewer.context.inspected import Outline
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.composite import COLOURS, Composite
from napari_nh2st.viewer.layers.context_effect import ContextEffect, EffectLayer
from napari_nh2st.viewer.layers.domains import DomainsLayer, image_of
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer, heatmap_data
from napari_nh2st.viewer.layers.legend import UNIT_OVERLAY
from napari_nh2st.viewer.layers.map_layer import Look, MapLayer
from napari_nh2st.viewer.layers.owned_layer import OwnedLayer
from napari_nh2st.viewer.layers.roles import KEY, Kind, kind_of, layer_of_slide, map_role, role_of
from napari_nh2st.viewer.layers.signature import add_signature
from napari_nh2st.viewer.layers.spots import SpotsLayer
from napari_nh2st.viewer.layers.tile_values import TileValues
from napari_nh2st.viewer.predict.region import level0
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.style import Style
from viewer.fakes import FakeServices, FakeSlide, card, hidden_at

HEX = [colour for _, colour in COLOURS]
SOME = np.arange(12)


def full_map() -> PredictedMap:
    services = FakeServices()
    made = PredictedMap(services.describe(FakeSlide()), card(), services.decoder(None), scale=2.0, pitch=112)
    made.add(np.arange(len(made.done)), hidden_at(made.tiles().centres))
    return made


def add_slide(viewer: ViewerModel) -> Image:
    data, meta, _ = frames.slide_layer_data(FakeSlide())
    return viewer.add_image(data, **meta)


def _heatmap(kind: Kind) -> Callable[[ViewerModel, PredictedMap], HeatmapLayer]:
    def show(viewer: ViewerModel, prediction_map: PredictedMap) -> HeatmapLayer:
        made = HeatmapLayer(viewer, prediction_map, Style(), kind=kind)
        made.show("ERBB2")
        return made

    return show


def _effect(viewer: ViewerModel, prediction_map: PredictedMap) -> EffectLayer:
    effect = ContextEffect(prediction_map)
    effect.alone.add(SOME, hidden_at(effect.alone.tiles(SOME).centres) - np.float16(0.5))
    made = EffectLayer(viewer, effect)
    made.bring()
    made.draw_gene("ERBB2")
    return made


def _draw_values(made: TileValues, gene: str) -> None:
    values = made.map.values(gene)
    made.retitle(f"{gene} · {made.role.kind}")
    made.draw(values, limits_of(values), gene=gene, label=f"{gene}\nunit")


def _marks(viewer: ViewerModel, prediction_map: PredictedMap) -> TileValues:
    made = TileValues(viewer, map_role(Kind.NOVELTY, prediction_map, "marks"), Look("inferno", bar=False))
    made.retitle("unlike the training")
    made.draw(prediction_map.values("ERBB2"), Limits(0.2, 0.4))
    made.bring()
    return made


def _values(kind: Kind) -> Callable[[ViewerModel, PredictedMap], TileValues]:
    def show(viewer: ViewerModel, prediction_map: PredictedMap) -> TileValues:
        made = TileValues(viewer, map_role(kind, prediction_map, kind.value), Look("inferno"))
        _draw_values(made, "ERBB2")
        made.bring()
        return made

    return show


def _signature(viewer: ViewerModel, prediction_map: PredictedMap) -> TileValues:
    scores = np.linspace(-1, 1, len(SOME)).astype(np.float32)
    how = {"name": "mine", "genes": "2 of its 3 genes", "colormap": "viridis"}
    return add_signature(viewer, prediction_map, SOME, scores, **how)


def _domains(viewer: ViewerModel, prediction_map: PredictedMap) -> DomainsLayer:
    made = DomainsLayer(viewer, prediction_map)
    made.show(image_of(prediction_map, SOME, Domains(1 + SOME % 2, clustered=len(SOME))))
    return made


def _spots(kind: Kind) -> Callable[[ViewerModel, PredictedMap], SpotsLayer]:
    def show(viewer: ViewerModel, prediction_map: PredictedMap) -> SpotsLayer:
        made = SpotsLayer(viewer, kind)
        slide_layer = layer_of_slide(viewer, "f" * 8)
        made.create(prediction_map.tiles(SOME).centres, 100.0, slide_layer, 0.5, f"C9, {kind}")
        return made

    return show


def _outline(viewer: ViewerModel, prediction_map: PredictedMap) -> Outline:
    made = Outline(viewer)
    made.show(prediction_map.tiles(np.array([15])), prediction_map.card, layer_of_slide(viewer, "f" * 8))
    return made


@dataclass(frozen=True)
class Example:
    """A kind of layer: how it is shown, and how it is asked for again with another gene."""

    kind: Kind
    show: Callable[[ViewerModel, PredictedMap], OwnedLayer]
    follow: Callable[[OwnedLayer, str], None] = lambda made, gene: None


EXAMPLES = [
    Example(Kind.HEATMAP, _heatmap(Kind.HEATMAP), lambda made, gene: made.show(gene)),
    Example(Kind.PINNED, _heatmap(Kind.PINNED), lambda made, gene: made.show(gene)),
    Example(Kind.EFFECT, _effect, lambda made, gene: made.draw_gene(gene)),
    Example(Kind.SPREAD, _values(Kind.SPREAD), _draw_values),
    Example(Kind.HALF_WIDTH, _values(Kind.HALF_WIDTH), _draw_values),
    Example(Kind.VAIN, _values(Kind.VAIN), _draw_values),
    Example(Kind.DISAGREEMENT, _values(Kind.DISAGREEMENT), _draw_values),
    Example(Kind.NOVELTY, _marks),
    Example(Kind.COMPOSITE, lambda viewer, shown: Composite(viewer, shown, ["ERBB2", "KRT8"], HEX[:2])),
    Example(Kind.SIGNATURE, _signature),
    Example(Kind.DOMAINS, _domains),
]
OTHERS = [
    Example(Kind.MEASURED, _spots(Kind.MEASURED), lambda made, gene: made.colour("red", gene, f"{gene} here", {})),
    Example(Kind.DIFFERENCE, _spots(Kind.DIFFERENCE), lambda made, gene: made.colour("red", gene, f"{gene} less", {})),
    Example(Kind.NEARER, _spots(Kind.NEARER), lambda made, gene: made.colour("red", gene, f"{gene} nearer", {})),
    Example(Kind.RINGS, _spots(Kind.RINGS)),
    Example(Kind.ANCHORS, _spots(Kind.ANCHORS)),
    Example(Kind.NEXT, _spots(Kind.NEXT)),
    Example(Kind.SPOT_MARKS, _spots(Kind.SPOT_MARKS)),
    Example(Kind.SLIDE_MARKS, _spots(Kind.SLIDE_MARKS)),
    Example(Kind.OUTLINE, _outline),
]


class Scene:
    """A slide with a layer of ours, and a shape that the user has drawn."""

    def __init__(self, example: Example, *, turned: bool = False) -> None:
        self.viewer, self.map, self.example = ViewerModel(), full_map(), example
        self.slide_layer = add_slide(self.viewer)
        if turned:
            self.slide_layer.rotate, self.slide_layer.translate = 12.0, (5, 9)
        self.shapes = self.viewer.add_shapes(name="mine", units=("um", "um"))
        self.made = example.show(self.viewer, self.map)

    @property
    def layer(self):
        return self.made.layer


@pytest.fixture(params=[*EXAMPLES, *OTHERS], ids=lambda example: example.kind.name.lower())
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param)


@pytest.fixture(params=EXAMPLES, ids=lambda example: example.kind.name.lower())
def on_map(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param, turned=True)


def test_every_kind_has_an_example() -> None:
    # made by a reader, found on the slide, and drawn or edited by the user
    elsewhere = {Kind.SLIDE, Kind.COPY, Kind.TISSUE, Kind.ARTEFACTS, Kind.REGIONS, Kind.LINKS}
    assert {example.kind for example in [*EXAMPLES, *OTHERS]} == set(Kind) - elsewhere


def test_it_comes_above_the_slide_and_all_but_the_frame_below_what_the_user_draws(scene: Scene) -> None:
    above = [scene.layer, scene.shapes] if scene.example.kind is not Kind.OUTLINE else [scene.shapes, scene.layer]
    assert list(scene.viewer.layers) == [scene.slide_layer, *above]
    assert scene.viewer.layers.selection.active is scene.shapes
    assert kind_of(scene.layer) is scene.example.kind
    assert role_of(scene.layer).fingerprint == "f" * 8
    assert scene.made.visible


def test_the_name_that_the_user_gave_it_stays(scene: Scene) -> None:
    before = scene.layer.name
    assert before
    scene.layer.name = "favourite"
    scene.example.follow(scene.made, "KRT8")
    assert scene.layer.name == "favourite"
    assert scene.made.present


def test_two_of_a_name_are_told_apart_and_still_renamed() -> None:
    scene = Scene(EXAMPLES[0])
    other = HeatmapLayer(scene.viewer, full_map(), Style())
    other.show("ERBB2")
    assert other.layer.name == "C9 · ERBB2 · predicted [1]"
    other.show("KRT8")
    assert other.layer.name == "C9 · KRT8 · predicted"


def test_hidden_it_stays_hidden_until_it_is_asked_for(on_map: Scene) -> None:
    on_map.layer.visible = False
    assert on_map.made.present
    assert not on_map.made.visible
    assert not on_map.made.bring()
    assert on_map.made.visible
    on_map.made.hide()
    assert not on_map.layer.visible


def test_deleted_it_stays_away_and_comes_back_when_it_is_asked_for(on_map: Scene) -> None:
    made, before = on_map.made, on_map.layer
    pixels = before.data.copy()
    on_map.viewer.layers.remove(before)
    assert not made.present
    assert not made.visible
    made.hide()
    made.show_values()
    made.describe(gene="ERBB2")
    made.retitle("another")
    assert list(on_map.viewer.layers) == [on_map.slide_layer, on_map.shapes]
    assert made.bring()
    assert list(on_map.viewer.layers) == [on_map.slide_layer, made.layer, on_map.shapes]
    assert made.layer is not before
    assert kind_of(made.layer) is on_map.example.kind
    np.testing.assert_array_equal(made.layer.data, pixels)
    for _ in range(5):
        on_map.viewer.layers.remove(made.layer)
        assert made.bring()


def test_another_gene_after_it_was_deleted(scene: Scene) -> None:
    scene.viewer.layers.remove(scene.layer)
    scene.example.follow(scene.made, "KRT8")
    asked_for = scene.example.kind in (Kind.HEATMAP, Kind.PINNED)
    assert scene.made.present == asked_for
    scene.viewer.layers.clear()
    scene.example.follow(scene.made, "CD3E")
    scene.made.hide()
    scene.made.remove()
    assert not len(scene.viewer.layers)


def test_its_cells_lie_on_their_tiles(on_map: Scene) -> None:
    cells = np.array([0, on_map.map.columns + 2, 20])
    places = on_map.map.tiles(cells)
    world = np.array([on_map.layer.data_to_world(cell) for cell in places.grid])
    assert np.abs(level0(on_map.slide_layer, world) - places.centres).max() < 0.05
    assert [str(unit) for unit in on_map.layer.units] == ["micrometer"] * 2


def test_without_its_slide_it_stands_in_micrometres(on_map: Scene) -> None:
    on_map.viewer.layers.clear()
    on_map.made.bring()
    places = on_map.map.tiles(np.array([7]))
    world = on_map.made.layer.data_to_world(places.grid[0])
    np.testing.assert_allclose(world, (places.centres[0, ::-1] - 0.5) * 0.5)


def test_it_says_what_it_shows_and_where_it_comes_from(on_map: Scene) -> None:
    facts = role_of(on_map.layer).provenance
    assert facts["what"]
    assert facts["slide"]["fingerprint"] == "f" * 8


def test_a_layer_of_another_plugin_with_our_key_breaks_nothing(scene: Scene) -> None:
    for kept in (("tissue",), "heatmap", {"map": None}, 7):
        scene.viewer.add_image(np.zeros((3, 3)), metadata={KEY: kept})
    again = scene.example.show(scene.viewer, scene.map)
    again.hide()
    again.remove()
    scene.example.follow(scene.made, "KRT8")
    assert scene.made.present


def test_copies_and_conversions_break_nothing(on_map: Scene) -> None:
    viewer = on_map.viewer
    viewer.layers.selection = {on_map.layer}
    _duplicate_layer(viewer.layers)
    copy = viewer.layers[viewer.layers.index(on_map.layer) + 1]
    viewer.layers.selection = {copy}
    if on_map.example.kind is Kind.DOMAINS:
        _convert_to_image(viewer.layers)
    elif on_map.example.kind is not Kind.COMPOSITE:  # napari cannot convert colours
        with np.errstate(invalid="ignore"), pytest.warns(UserWarning, match="projection mode"):
            _convert_to_labels(viewer.layers)
    on_map.example.follow(on_map.made, "KRT8")
    on_map.viewer.layers.remove(on_map.layer)
    on_map.made.bring()
    on_map.example.follow(on_map.made, "ERBB2")
    assert on_map.made.present


def test_the_values_follow_the_gene(on_map: Scene) -> None:
    on_map.example.follow(on_map.made, "KRT8")
    if on_map.example.kind in (Kind.HEATMAP, Kind.PINNED, Kind.SPREAD):
        np.testing.assert_array_equal(on_map.layer.data, on_map.map.values("KRT8"))
    if isinstance(on_map.made, MapLayer) and role_of(on_map.layer).gene:
        assert role_of(on_map.layer).gene == on_map.made.gene == "KRT8"
        assert on_map.layer.name.startswith("C9 · KRT8 · ")


# the label beside the colour bar, and limits


def _label(viewer: ViewerModel) -> str:
    overlay = viewer.canvas.overlays.get(UNIT_OVERLAY)
    return overlay.text.split("\n")[0] if overlay is not None and overlay.visible else ""


def test_the_label_is_that_of_what_is_on_top() -> None:
    scene = Scene(EXAMPLES[0])
    assert _label(scene.viewer) == "ERBB2, predicted"
    spread = _values(Kind.SPREAD)(scene.viewer, scene.map)
    assert _label(scene.viewer) == "ERBB2"
    scene.made.hide()
    assert _label(scene.viewer) == "ERBB2"
    _draw_values(spread, "KRT8")
    assert _label(scene.viewer) == "KRT8"
    scene.made.show("CD3E")
    scene.made.bring()
    spread.hide()
    assert _label(scene.viewer) == "CD3E, predicted"
    spread.bring()
    scene.viewer.layers.move(scene.viewer.layers.index(spread.layer), 0)
    assert _label(scene.viewer) == "CD3E, predicted"
    scene.viewer.layers.clear()
    assert _label(scene.viewer) == ""


def test_the_label_waits_until_the_layer_stands_in_the_window() -> None:
    viewer, waiting = ViewerModel(), []
    made = HeatmapLayer(viewer, full_map(), Style(), waiting.append)
    made.show("ERBB2")
    assert _label(viewer) == ""
    assert not made.layer.colorbar.visible
    while waiting:
        waiting.pop(0)()
    assert _label(viewer) == "ERBB2, predicted"
    assert made.layer.colorbar.visible


def test_limits_that_the_user_set_stay_for_their_gene() -> None:
    scene = Scene(next(example for example in EXAMPLES if example.kind is Kind.SPREAD))
    fitted = tuple(scene.layer.contrast_limits)
    scene.layer.contrast_limits = (0.2, 0.3)
    _draw_values(scene.made, "ERBB2")
    assert tuple(scene.layer.contrast_limits) == pytest.approx((0.2, 0.3))
    assert (scene.made.limits.low, scene.made.limits.high) == pytest.approx((0.2, 0.3))
    _draw_values(scene.made, "KRT8")
    assert tuple(scene.layer.contrast_limits) != pytest.approx((0.2, 0.3))
    _draw_values(scene.made, "ERBB2")
    assert tuple(scene.layer.contrast_limits) == pytest.approx(fitted)


def test_sliders_reach_as_far_as_the_values_and_on_both_sides_of_0_as_far() -> None:
    scene = Scene(next(example for example in EXAMPLES if example.kind is Kind.SPREAD))
    values = np.full_like(scene.made.values, 0.1)
    values[0, :2] = -3.0, 7.0
    scene.made.draw(values, Limits(-0.5, 0.5))
    assert tuple(scene.layer.contrast_limits_range) == (-7.0, 7.0)
    scene.made.draw(values, Limits(0.0, 0.5))
    assert tuple(scene.layer.contrast_limits_range) == (-3.0, 7.0)


def test_a_heatmap_from_a_file_is_taken_over_whatever_became_of_it() -> None:
    viewer, prediction_map = ViewerModel(), full_map()
    values, meta = heatmap_data(prediction_map, "ERBB2")
    layer = viewer.add_image(values, **meta)
    made = HeatmapLayer(viewer, prediction_map, Style())
    made.adopt(layer)
    assert (made.gene, made.layer, made.values) == ("ERBB2", layer, layer.data)
    cropped = viewer.add_image(values[:3, :3].astype(np.float64), **{**meta, "name": "cropped by another plugin"})
    other = HeatmapLayer(viewer, prediction_map, Style())
    other.adopt(cropped)
    other.show("KRT8")
    np.testing.assert_array_equal(cropped.data, prediction_map.values("KRT8"))
