"""Frames, limits and manners of our layers, on napari's models without a window."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from napari.utils.colormaps import ensure_colormap

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers import heatmap as heatmap_module
from napari_nh2st.viewer.layers.heatmap import COLORMAPS, HeatmapLayer, Limits, limits_of, smoothed
from napari_nh2st.viewer.layers.roles import role_of
from napari_nh2st.viewer.layers.tissue import add_tissue_layer, tissue_layer_of
from napari_nh2st.viewer.predict.region import drawn_region, level0, visible_box
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.style import Style
from viewer.fakes import FakeServices, FakeSlide, card, hidden_at


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def add_slide(viewer: ViewerModel, slide: FakeSlide | None = None) -> Image:
    data, meta, _ = frames.slide_layer_data(slide or FakeSlide())
    return viewer.add_image(data, **meta)


def full_map(slide: FakeSlide, model_mpp: float = 1.0) -> PredictedMap:
    services = FakeServices()
    made = PredictedMap(
        services.describe(slide), card(mpp=model_mpp), services.decoder(None), scale=model_mpp / slide.mpp, pitch=112
    )
    made.add(np.arange(len(made.done)), hidden_at(made.tiles().centres))
    return made


@pytest.mark.parametrize(("slide_mpp", "model_mpp"), [(0.5, 1.0), (0.4991, 0.694), (0.2528, 0.521)])
@pytest.mark.parametrize("turn", [{}, {"translate": (300.5, -77.25)}, {"rotate": 12.0, "translate": (5, 9)}])
def test_cell_lies_on_its_tile_to_a_twentieth_of_a_pixel(viewer, slide_mpp, model_mpp, turn) -> None:
    slide_layer = add_slide(viewer, FakeSlide(slide_mpp))
    for name, value in turn.items():
        setattr(slide_layer, name, value)
    made = full_map(FakeSlide(slide_mpp), model_mpp)
    heatmap = HeatmapLayer(viewer, made, Style())
    heatmap.show("ERBB2")
    world = np.array([heatmap.layer.data_to_world(cell) for cell in made.tiles().grid])
    assert np.abs(level0(slide_layer, world) - made.tiles().centres).max() < 0.05
    assert [str(u) for u in heatmap.layer.units] == ["micrometer"] * 2


def test_without_a_slide_layer_world_is_micrometres(viewer) -> None:
    made = full_map(FakeSlide(0.4991), 0.694)
    heatmap = HeatmapLayer(viewer, made, Style())
    heatmap.show("KRT8")
    world = np.array([heatmap.layer.data_to_world(cell) for cell in made.tiles().grid])
    expected = (made.tiles().centres[:, ::-1] - 0.5) * 0.4991
    assert np.abs(world - expected).max() < 0.05 * 0.4991


def test_slide_pixel_centres_stand_on_their_micrometres(viewer) -> None:
    slide_layer = add_slide(viewer)
    assert slide_layer.multiscale
    np.testing.assert_allclose(slide_layer.data_to_world((10, 20)), (5.0, 10.0))
    np.testing.assert_allclose(level0(slide_layer, [(5.0, 10.0)]), [(20.5, 10.5)])


def test_limits_for_any_values() -> None:
    assert limits_of(np.full((3, 3), np.nan)) == Limits(0, 1, "nothing predicted yet")
    flat = limits_of(np.array([1.5, 1.5, np.nan]))
    assert flat.low < 1.5 < flat.high
    assert "the same everywhere" in flat.note
    spread = limits_of(np.append(np.linspace(0, 1, 1000), 99.0))
    assert spread.high < 1.1
    rare = limits_of(np.append(np.zeros(1000), 3.0))
    assert (rare.low, rare.high) == (0.0, 3.0)


def test_constant_and_empty_genes_draw(viewer) -> None:
    slide = FakeSlide()
    made = full_map(slide)
    made.shrink(0)
    add_slide(viewer, slide)
    heatmap = HeatmapLayer(viewer, made, Style())
    heatmap.show("FLAT")
    assert heatmap.limits.note == "nothing predicted yet"
    assert not heatmap.layer.colorbar.visible  # it would say "0.00 to 1.00" of nothing
    assert role_of(heatmap.layer).label == ""
    made.add(np.arange(5), np.ones((5, 4), np.float16))
    heatmap.write(np.arange(5))
    heatmap.draw()
    assert "the same everywhere" in heatmap.limits.note
    assert heatmap.layer.colorbar.visible
    assert role_of(heatmap.layer).label.startswith("FLAT, predicted")
    assert np.isfinite(heatmap.layer.data).sum() == 5


def test_order_names_and_selection(viewer) -> None:
    add_slide(viewer)
    shapes = viewer.add_shapes(name="mine", units=("um", "um"))
    heatmap = HeatmapLayer(viewer, full_map(FakeSlide()), Style())
    heatmap.show("ERBB2")
    assert [layer.name for layer in viewer.layers] == ["C9", "C9 · ERBB2 · predicted", "mine"]
    assert viewer.layers.selection.active is shapes
    heatmap.show("KRT8")
    assert heatmap.layer.name == "C9 · KRT8 · predicted"
    heatmap.layer.name = "my favourite"
    heatmap.show("ERBB2")
    assert heatmap.layer.name == "my favourite"
    assert heatmap.layer.colorbar.visible
    assert heatmap.layer.blending == "translucent"


def test_deleting_and_moving_mid_run_breaks_nothing(viewer) -> None:
    slide_layer, made = add_slide(viewer), full_map(FakeSlide())
    heatmap = HeatmapLayer(viewer, made, Style())
    heatmap.show("ERBB2")
    viewer.layers.move(1, 0)
    heatmap.write(np.arange(4))
    heatmap.draw()
    viewer.layers.remove(heatmap.layer)
    heatmap.write(np.arange(4))
    heatmap.draw()
    assert len(viewer.layers) == 1
    viewer.layers.remove(slide_layer)
    heatmap.write(np.arange(4))
    heatmap.draw()
    heatmap.show("KRT8")  # asked for: it comes back, in micrometres
    assert heatmap.layer in viewer.layers


def test_limits_stay_when_locked_or_set_by_hand(viewer) -> None:
    style = Style()
    add_slide(viewer)
    heatmap = HeatmapLayer(viewer, full_map(FakeSlide()), style)
    heatmap.show("ERBB2")
    heatmap.layer.contrast_limits = (0.2, 0.3)
    heatmap.write(np.arange(4))
    heatmap.draw(final=True)
    assert tuple(heatmap.layer.contrast_limits) == pytest.approx((0.2, 0.3))
    style.locked = True
    heatmap.show("CD3E")
    assert tuple(heatmap.layer.contrast_limits) == pytest.approx((0.2, 0.3))
    heatmap.layer.contrast_limits = (0.25, 0.35)  # moved by hand while locked: for all genes
    viewer.layers.remove(heatmap.layer)
    other = HeatmapLayer(viewer, full_map(FakeSlide()), style)
    other.show("KRT8")  # another model, say: comparable only with the same limits
    assert tuple(other.layer.contrast_limits) == pytest.approx((0.25, 0.35))
    viewer.layers.remove(other.layer)
    heatmap.show("CD3E")
    style.locked = False
    heatmap.restyle()
    assert heatmap.layer.contrast_limits[1] > 1


def test_each_gene_keeps_the_limits_that_the_user_gave_it(viewer) -> None:
    style, told = Style(), []
    heatmap = HeatmapLayer(viewer, full_map(FakeSlide()), style, moved=lambda: told.append(heatmap.by_hand))
    heatmap.show("ERBB2")
    fitted = tuple(heatmap.layer.contrast_limits)
    heatmap.show("KRT8")
    heatmap.show("ERBB2")
    assert (told, style.by_hand) == ([], {})  # what was fitted is nobody's wish
    heatmap.layer.contrast_limits = (0.2, 0.3)
    assert told == [True]
    assert (heatmap.limits.low, heatmap.limits.high) == pytest.approx((0.2, 0.3))
    heatmap.show("KRT8")
    assert not heatmap.by_hand
    assert tuple(heatmap.layer.contrast_limits) != pytest.approx((0.2, 0.3))
    style.percentiles = (5.0, 95.0)
    heatmap.restyle()
    heatmap.show("ERBB2")
    assert tuple(heatmap.layer.contrast_limits) == pytest.approx((0.2, 0.3))
    other = HeatmapLayer(viewer, full_map(FakeSlide()), style)
    other.show("ERBB2")  # on another slide
    assert tuple(other.layer.contrast_limits) == pytest.approx((0.2, 0.3))
    style.percentiles = (1.0, 99.0)
    heatmap.forget_limits()
    heatmap.restyle()
    assert not heatmap.by_hand
    assert tuple(heatmap.layer.contrast_limits) == pytest.approx(fitted)
    assert len(told) == 1


def test_a_smoothed_image_keeps_the_edge_and_the_centre_of_each_cell() -> None:
    values = np.array([[0, 1, np.nan], [2, 5, np.nan], [np.nan, 7, 4]], dtype=np.float32)
    image = smoothed(values, 5)  # an odd number: a pixel stands in the middle of its cell
    assert (np.isnan(image) == np.isnan(values).repeat(5, 0).repeat(5, 1)).all()
    np.testing.assert_allclose(image[2::5, 2::5], values)
    assert image[2, 4] == pytest.approx(0.4)  # two fifths of the way from 0 to 1
    assert image[0, 7] == pytest.approx(1)  # outside there is nothing to mix with
    assert image[12, 10] == pytest.approx(0.6 * 4 + 0.4 * 7)
    corner = (0.36 * 0 + 0.24 * 1 + 0.24 * 2 + 0.16 * 5) / 1.0
    assert image[4, 4] == pytest.approx(corner)
    assert image[9, 4] == pytest.approx((0.36 * 2 + 0.24 * 5 + 0.16 * 7) / 0.76)  # without the cell that has no value


@pytest.mark.parametrize("turn", [{}, {"rotate": 12.0, "translate": (5, 9)}])
def test_a_smoothed_pixel_lies_in_its_place(viewer, turn) -> None:
    slide_layer = add_slide(viewer)
    for name, value in turn.items():
        setattr(slide_layer, name, value)
    made, style = full_map(FakeSlide()), Style(smooth=True)
    made.shrink(0)
    made.add(np.arange(20), hidden_at(made.tiles(np.arange(20)).centres))
    heatmap = HeatmapLayer(viewer, made, style)
    heatmap.show("ERBB2")
    assert heatmap.values.shape == (made.rows, made.columns)
    assert heatmap.layer.data.shape == (4 * made.rows, 4 * made.columns)
    limits = tuple(heatmap.layer.contrast_limits)
    centres = [heatmap.layer.data_to_world(4 * cell + 1.5) for cell in made.tiles().grid]
    assert np.abs(level0(slide_layer, np.array(centres)) - made.tiles().centres).max() < 0.05
    heatmap.layer.translate = np.array(heatmap.layer.translate) + 30  # moved by the user
    style.smooth = False
    heatmap.restyle()
    assert heatmap.layer.data is heatmap.values
    assert tuple(heatmap.layer.contrast_limits) == limits  # of the values, however they are drawn
    moved = np.array([heatmap.layer.data_to_world(cell) for cell in made.tiles().grid])
    np.testing.assert_allclose(moved, np.array(centres) + 30, atol=1e-6)


def test_what_arrives_is_smoothed_too_and_large_maps_are_not(viewer, monkeypatch) -> None:
    made, style = full_map(FakeSlide()), Style(smooth=True)
    made.shrink(0)
    heatmap = HeatmapLayer(viewer, made, style)
    heatmap.show("ERBB2")
    assert not np.isfinite(heatmap.layer.data).any()
    made.add(np.arange(3), hidden_at(made.tiles(np.arange(3)).centres))
    heatmap.write(np.arange(3))
    heatmap.draw(final=True)
    assert np.isfinite(heatmap.layer.data).sum() == 3 * 16
    monkeypatch.setattr(heatmap_module, "SMOOTHED", 5)
    heatmap.restyle()
    assert heatmap.layer.data.shape == (made.rows, made.columns)


def visibility(colormap: str) -> dict[str, float]:
    """How far the nearest colour of a heatmap at its usual opacity is from what lies under it, CIEDE2000."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    colours = ensure_colormap(colormap).map(np.linspace(0, 1, 256))[:, :3]
    opacity, out = heatmap_module.HEATMAP.opacity, {}
    for name, under in (("stroma", (226, 178, 205)), ("nuclei", (112, 76, 146)), ("glass", (244, 243, 244))):
        ground = np.array(under) / 255
        mixed = opacity * colours + (1 - opacity) * ground
        out[name] = float(deltaE_ciede2000(rgb2lab(mixed), rgb2lab(ground[None])).min())
        lightness = rgb2lab(mixed)[:, 0]
        out[f"order on {name}"] = float(np.diff(lightness).min())
    return out


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_colours_stay_visible_and_in_order_on_stained_tissue(colormap: str) -> None:
    seen = visibility(colormap)
    assert min(seen["stroma"], seen["glass"]) > 15  # 1 is just noticed side by side, 10 at a glance
    assert seen["nuclei"] > 7  # small, and dark beside all but the darkest colours
    assert all(step > 0 for name, step in seen.items() if name.startswith("order"))
    assert visibility("gray")["glass"] < 2  # so the measure tells


def test_visible_box_follows_the_view(viewer) -> None:
    slide_layer = add_slide(viewer)
    viewer.canvas.size = (100, 200)
    viewer.scene.camera.center = (0, 200.0, 300.0)
    viewer.scene.camera.zoom = 2.0
    box = visible_box(viewer, slide_layer)
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((500.5, 350.5, 700.5, 450.5))
    viewer.scene.camera.center = (0, -5000.0, 0.0)
    with pytest.raises(Nh2stError, match="out of sight"):
        visible_box(viewer, slide_layer)
    viewer.canvas.grid.enabled = True
    with pytest.raises(Nh2stError, match="grid"):
        visible_box(viewer, slide_layer)


def test_drawn_shapes(viewer) -> None:
    slide_layer = add_slide(viewer)
    triangle, corners = [[0, 0], [0, 400], [400, 0]], [[100, 100], [100, 300], [200, 300], [200, 100]]
    shapes = Shapes(units=("um", "um"))
    viewer.add_layer(shapes)
    with pytest.raises(Nh2stError, match="Draw a rectangle"):
        drawn_region(shapes, slide_layer)
    shapes.add_polygons([np.array(triangle)])
    places = full_map(FakeSlide()).tiles()
    inside = drawn_region(shapes, slide_layer).select(places).centres
    assert 0 < len(inside) < len(places)
    assert (inside.sum(axis=1) < 801).all()
    shapes.add_ellipses([np.array(corners)])
    shapes.selected_data = {1}
    ellipse = drawn_region(shapes, slide_layer)
    assert ellipse.box.width == pytest.approx(400, rel=0.01)


def test_tissue_layer_is_aligned_and_found_again(viewer) -> None:
    slide = FakeSlide()
    slide_layer = add_slide(viewer, slide)
    layer = add_tissue_layer(viewer, slide, slide.tissue(), slide_layer)
    assert tissue_layer_of(viewer, slide) is layer
    centre = level0(slide_layer, [layer.data_to_world((0, 8))])[0]
    np.testing.assert_allclose(centre, (8.5 * 16, 8.0))
    layer.name = "anything"
    assert tissue_layer_of(viewer, slide) is layer
