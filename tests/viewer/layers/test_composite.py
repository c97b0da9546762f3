"""Three genes in one image, on napari's models without a window."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from napari.components import ViewerModel
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_nh2st.formats.limits import Limits, limits_of
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.composite import COLOURS, Composite, mix
from napari_nh2st.viewer.layers.legend import show_legend
from napari_nh2st.viewer.layers.pinned import PinnedLayers
from napari_nh2st.viewer.layers.roles import role_of
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.style import Style
from viewer.fakes import FakeModel, FakeServices, FakeSlide, card, hidden_at

HEX = [colour for _, colour in COLOURS]
# Machado, Oliveira & Fernandes 2009, severity 1, for linear RGB
EYES = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def _map() -> PredictedMap:
    services, slide = FakeServices(), FakeSlide()
    return PredictedMap(services.describe(slide), card(), services.decoder(FakeModel(card())), scale=2.0, pitch=112)


def _fill(shown: PredictedMap, cells: np.ndarray) -> None:
    shown.add(cells, hidden_at(shown.tiles(cells).centres))


def test_each_gene_goes_from_nothing_to_its_full_colour() -> None:
    values = [np.array([[0.0, 1.0, 2.0, 3.0, np.nan]], np.float32)]
    image = mix(values, [Limits(1.0, 3.0)], ["#ff8000"])
    np.testing.assert_array_equal(image[0, :, 3], [0, 0, 127, 255, 0])
    np.testing.assert_array_equal(image[0, 2:4, :3], [[255, 128, 0]] * 2)  # fainter is more see-through, not darker


def test_colours_add_up() -> None:
    one, other = np.float32([[1.0, 0.0, 1.0, 1.0]]), np.float32([[0.0, 1.0, 1.0, 0.5]])
    image = mix([one, other], [Limits(0, 1)] * 2, ["#ff0000", "#0000ff"])
    np.testing.assert_array_equal(image[0, :, :3], [[255, 0, 0], [0, 0, 255], [255, 0, 255], [255, 0, 127]])
    np.testing.assert_array_equal(image[0, :, 3], 255)


def test_a_gene_that_is_the_same_everywhere_colours_nothing() -> None:
    flat = np.full((2, 2), 1.5, np.float32)
    assert mix([flat], [limits_of(flat)], ["#ff0000"])[..., 3].max() == 0


def test_a_million_cells_are_quick() -> None:
    values = [np.random.default_rng(i).normal(size=(1000, 1000)).astype(np.float32) for i in range(3)]
    took = []
    for _ in range(3):
        began = time.process_time()
        mix(values, [limits_of(each) for each in values], HEX)
        took.append(time.process_time() - began)
    assert min(took) < 0.2


@pytest.mark.parametrize("eyes", [None, *EYES])
def test_the_colours_are_told_apart_by_all_eyes_and_seen_on_tissue(eyes: str | None) -> None:
    def seen(rgb: np.ndarray) -> np.ndarray:
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        turned = np.clip(linear if eyes is None else np.array(EYES[eyes]) @ linear, 0, 1)
        return rgb2lab(np.where(turned <= 0.0031308, turned * 12.92, 1.055 * turned ** (1 / 2.4) - 0.055))

    colours = [np.array(list(bytes.fromhex(colour[1:]))) / 255 for colour in HEX]
    for one, other in itertools.combinations(colours, 2):
        assert deltaE_ciede2000(seen(one), seen(other)) > 15
    for tissue in ([0.84, 0.59, 0.76], [0.51, 0.37, 0.65]):  # eosin and haematoxylin
        for colour in colours:
            assert deltaE_ciede2000(seen(0.8 * colour + 0.2 * np.array(tissue)), seen(np.array(tissue))) > 8


def test_the_layer_follows_its_map() -> None:
    viewer, shown = ViewerModel(), _map()
    _fill(shown, np.arange(3))
    made = Composite(viewer, shown, ["ERBB2", "KRT8"], HEX[:2])
    assert viewer.layers[0].name == "C9 · ERBB2 + KRT8 · predicted"
    assert not made.layer.data.reshape(-1, 4)[3:, 3].any()
    _fill(shown, np.arange(3, shown.rows * shown.columns))
    assert made.update()
    whole = [shown.values(gene) for gene in ("ERBB2", "KRT8")]
    expected = mix(whole, [limits_of(each) for each in whole], HEX[:2])
    np.testing.assert_array_equal(made.layer.data, expected)
    assert expected[..., 3].any()
    assert not made.update(final=True)


def test_the_layer_lies_on_its_cells() -> None:
    viewer, shown = ViewerModel(), _map()
    _fill(shown, np.arange(3))
    data, meta, _ = frames.slide_layer_data(FakeSlide())
    slide_layer = viewer.add_image(data, **meta)
    slide_layer.translate = (100, 50)
    made = Composite(viewer, shown, ["ERBB2"], HEX[:1])
    x, y = shown.tiles(np.array([shown.columns + 2])).centres[0]
    np.testing.assert_allclose(made.layer.data_to_world((1, 2)), slide_layer.data_to_world((y - 0.5, x - 0.5)))


def test_the_legend_says_what_is_in_sight() -> None:
    viewer, shown = ViewerModel(), _map()
    _fill(shown, np.arange(shown.rows * shown.columns))
    made = Composite(viewer, shown, ["ERBB2", "FLAT"], HEX[:2])
    said = [o.text for key, o in viewer.canvas.overlays.items() if key.startswith("nh2st_legend") and o.visible]
    low, high = made.gene_limits[0].low, made.gene_limits[0].high
    assert said[0] == "predicted, ln(1 + counts per 10,000)"
    assert said[1] == f"ERBB2  {low:.2f} to {high:.2f}"
    assert said[2] == "FLAT  the same everywhere: 1.00"
    made.layer.visible = False
    show_legend(viewer)
    assert not any(o.visible for key, o in viewer.canvas.overlays.items() if key.startswith("nh2st_legend"))
    assert role_of(made.layer).legend[0][0] == said[0]


def test_a_deleted_layer_stays_away() -> None:
    viewer, shown = ViewerModel(), _map()
    _fill(shown, np.arange(3))
    made = Composite(viewer, shown, ["ERBB2"], HEX[:1])
    viewer.layers.clear()
    _fill(shown, np.arange(9))
    assert not made.update(final=True)
    made.remove()
    assert not len(viewer.layers)


def test_pinned_genes_keep_to_their_genes_and_fill_up() -> None:
    viewer, shown = ViewerModel(), _map()
    pinned = PinnedLayers(viewer)
    _fill(shown, np.arange(5))
    pinned.show(shown, ["KRT8", "NOPE", "CD3E"], Style())
    assert [layer.name for layer in viewer.layers] == ["C9 · KRT8 · predicted, pinned", "C9 · CD3E · predicted, pinned"]
    assert not any(layer.visible for layer in viewer.layers)
    _fill(shown, np.arange(5, 20))
    pinned.draw()
    np.testing.assert_array_equal(viewer.layers[1].data, shown.values("CD3E"))
    dropped = shown.shrink(0)
    pinned.draw()
    assert len(dropped) == 20
    assert np.isnan(viewer.layers[0].data).all()
    viewer.layers.remove(viewer.layers[0])
    pinned.show(shown, ["KRT8", "CD3E", "ERBB2"], Style())  # the one that was deleted stays away
    assert [layer.name.split(" · ")[1] for layer in viewer.layers] == ["CD3E", "ERBB2"]
    pinned.show(shown, ["ERBB2"], Style())
    assert [layer.name.split(" · ")[1] for layer in viewer.layers] == ["ERBB2"]
    pinned.remove()
    assert not len(viewer.layers)


def test_pinned_genes_of_another_model_take_the_place_of_the_first() -> None:
    viewer, first, second = ViewerModel(), _map(), _map()
    second.card = card("demo")
    pinned = PinnedLayers(viewer)
    for shown in (first, second):
        _fill(shown, np.arange(5))
        pinned.show(shown, ["KRT8"], Style())
    assert [layer.name for layer in viewer.layers] == ["C9 · KRT8 · predicted, pinned"]
