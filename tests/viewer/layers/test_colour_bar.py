"""Colour bars and the words beside them: in which corner, how large, and what they say on any canvas and in a grid."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_nh2st.viewer.layers.colour_bar import span_words
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer
from napari_nh2st.viewer.layers.roles import Kind
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.style import Style
from viewer.fakes import FakeServices, FakeSlide, hidden_at

UNIT = "ln(1 + counts per 10,000)"


def full_map() -> PredictedMap:
    services, slide = FakeServices(), FakeSlide()
    card = services.cards["her2st"]
    scale = card.scale_on(slide.mpp)
    shown = PredictedMap(services.describe(slide), card, services.decoder(None), scale=scale, pitch=card.pitch)
    cells = np.arange(shown.rows * shown.columns)
    shown.add(cells, hidden_at(shown.tiles(cells).centres))
    return shown


class Scene:
    """A viewer with a canvas of some size, and heatmaps of genes on one another, the last on top."""

    def __init__(self, *genes: str, size: tuple[int, int] = (700, 600)) -> None:
        self.viewer = ViewerModel()
        self.viewer.canvas.size = size
        shown = full_map()
        self.maps = [HeatmapLayer(self.viewer, shown, Style(), kind=Kind.PINNED) for _ in genes]
        for heatmap, gene in zip(self.maps, genes, strict=True):
            heatmap.show(gene)

    def words(self) -> dict[str, str]:
        """What is written on the canvas, by corner."""
        overlays = self.viewer.canvas.overlays
        seen = [o for key, o in overlays.items() if key.startswith("nh2st_unit") and o.visible]
        return {str(o.position): o.text for o in seen}

    def bars(self) -> list[str]:
        return [str(heatmap.layer.colorbar.position) for heatmap in self.maps]


def limits_of(heatmap: HeatmapLayer) -> str:
    low, high = heatmap.layer.contrast_limits
    return f"{low:.2f} to {high:.2f}"


def test_a_bar_has_its_gene_its_unit_and_its_ends() -> None:
    scene = Scene("ERBB2")
    assert scene.words() == {"top_left": f"ERBB2, predicted\n{UNIT}\n{limits_of(scene.maps[0])}"}
    scene.maps[0].layer.contrast_limits = (0.25, 0.75)
    assert scene.words()["top_left"].endswith("\n0.25 to 0.75")
    scene.maps[0].layer.colorbar.visible = False
    scene.maps[0].show("KRT8")
    assert scene.words() == {"top_left": f"KRT8, predicted\n{UNIT}"}


def test_each_of_two_maps_has_its_words_beside_its_own_bar() -> None:
    scene = Scene("ERBB2", "KRT8")
    assert scene.bars() == ["bottom_left", "top_left"]
    assert [text.split(",")[0] for text in scene.words().values()] == ["KRT8", "ERBB2"]
    assert scene.viewer.canvas.overlay_tiling.bottom_left == "vertical"
    scene.maps[1].layer.visible = False
    assert scene.bars()[0] == "top_left"
    assert list(scene.words()) == ["top_left"]
    assert scene.words()["top_left"].startswith("ERBB2")
    scene.maps[1].layer.visible = True
    scene.viewer.layers.move(1, 0)
    assert scene.bars() == ["top_left", "bottom_left"]


def test_further_maps_stand_to_the_right() -> None:
    scene = Scene("ERBB2", "KRT8", "CD3E", "FLAT")
    assert scene.bars() == ["top_right", "top_right", "bottom_left", "top_left"]


@pytest.mark.parametrize(("height", "bars", "least", "most"), [(700, 1, 150, 150), (260, 1, 80, 160), (300, 2, 40, 90)])
def test_bars_fit_into_a_low_canvas(height: int, bars: int, least: float, most: float) -> None:
    scene = Scene(*("ERBB2", "KRT8")[:bars], size=(height, 600))
    for heatmap in scene.maps:
        assert least <= heatmap.layer.colorbar.size[1] <= most
    scene.viewer.canvas.size = (900, 600)
    assert scene.maps[0].layer.colorbar.size[1] == 150


def test_words_are_broken_in_a_narrow_canvas() -> None:
    scene = Scene("ERBB2", size=(600, 190))
    text = scene.words()["top_left"]
    assert max(len(line) for line in text.split("\n")) <= 20
    assert text.replace("\n", " ").startswith(f"ERBB2, predicted {UNIT}")
    scene.viewer.canvas.size = (600, 600)
    assert scene.words()["top_left"].split("\n")[1] == UNIT


def test_in_a_grid_each_cell_is_named_and_no_cell_says_what_is_true_of_another() -> None:
    scene = Scene("ERBB2", "KRT8")
    names = [heatmap.layer.name_overlay for heatmap in scene.maps]
    names[0].visible = False
    scene.viewer.canvas.grid.enabled = True
    assert scene.bars() == ["top_left"] * 2
    assert scene.words() == {"top_left": UNIT}
    assert scene.viewer.canvas.overlays["nh2st_unit"].gridded
    assert [name.visible for name in names] == [True, True]
    scene.viewer.canvas.grid.enabled = False
    assert [name.visible for name in names] == [False, False]
    assert list(scene.words()) == ["top_left", "bottom_left"]
    assert not scene.viewer.canvas.overlays["nh2st_unit"].gridded


def test_the_same_gene_in_a_grid_is_written_in_full_and_names_are_left_alone() -> None:
    scene = Scene("ERBB2", "ERBB2")
    scene.maps[0].layer.name_overlay.visible = True  # as the user has it
    scene.viewer.canvas.grid.enabled = True
    assert scene.words() == {"top_left": f"ERBB2, predicted\n{UNIT}\n{limits_of(scene.maps[0])}"}
    assert not scene.maps[1].layer.name_overlay.visible
    scene.viewer.canvas.grid.enabled = False
    assert scene.maps[0].layer.name_overlay.visible


def test_ends_keep_two_digits_of_what_they_span() -> None:
    assert span_words(0.136, 1.264) == "0.14 to 1.26"
    assert span_words(0, 0.001) == "0.0000 to 0.0010"
    assert span_words(3, 3) == "3.00 to 3.00"
