"""What the status line says over a heatmap."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, QThread
from scipy.stats import percentileofscore

from napari_nh2st.viewer.genes.hover import Hover, ValueDistribution, percentile_words, spot_words
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.context_effect import ContextEffect, EffectLayer
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer
from napari_nh2st.viewer.layers.spots import SpotValues
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.regions.drawn import add_region_layer, set_names
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.style import Style
from viewer.fakes import FakeModel, FakeServices, FakeSlide, card, hidden_at

TRUST = "held-out PCC 0.41 (0.33 to 0.48), same patient"


def made_map(slide: FakeSlide, done: int = 30) -> PredictedMap:
    services = FakeServices()
    made = PredictedMap(services.describe(slide), card(), services.decoder(FakeModel(card())), scale=2.0, pitch=112)
    cells = np.arange(made.rows * made.columns)[:done]
    made.add(cells, hidden_at(made.tiles(cells).centres))
    return made


class Scene:
    """A slide with a heatmap, without a window."""

    def __init__(self, done: int = 12) -> None:
        self.viewer, self.slide = ViewerModel(), FakeSlide()
        data, meta, _ = frames.slide_layer_data(self.slide)
        self.slide_layer = self.viewer.add_image(data, **meta)
        self.map = made_map(self.slide, done)
        self.heatmap = HeatmapLayer(self.viewer, self.map, Style())
        self.heatmap.show("ERBB2")
        self.hover = Hover(self.viewer)
        self.viewer.mouse_over_canvas = True
        self.viewer.cursor.events.position.connect(self.hover.moved)
        self.viewer.events.status.connect(self.hover.said)

    def point_at(self, cell: int, *, off: float = 0.0) -> str:
        """Put the cursor on a cell's centre, `off` cells to the right of it, from elsewhere."""
        self.viewer.cursor.position = (-9.0, -9.0)
        x, y = self.map.tiles(np.array([cell])).centres[0] + (off * self.map.cell, 0)
        self.viewer.cursor.position = tuple(self.slide_layer.data_to_world((y - 0.5, x - 0.5)))
        return self.viewer.status if isinstance(self.viewer.status, str) else self.viewer.status["coordinates"]


@pytest.mark.parametrize(
    ("percentile", "words"),
    [(0, "1st"), (1.6, "2nd"), (3, "3rd"), (11, "11th"), (12.2, "12th"), (22, "22nd"), (87, "87th"), (100, "99th")],
)
def test_percentiles_are_written_as_people_say_them(percentile: float, words: str) -> None:
    assert percentile_words(percentile) == f"{words} percentile"


def test_a_measured_spot_gives_predicted_measured_and_their_difference() -> None:
    words = spot_words(SpotValues("ERBB2", 1.8, 2.13, *2 * ["ln(1 + counts per 10,000)"]))
    assert words == "ERBB2 predicted 2.13, measured 1.80, difference +0.33 ln(1 + counts per 10,000)"
    words = spot_words(SpotValues("ERBB2", 1.8, -0.001, "z", "ln(1 + counts per 10,000)"))
    assert words == "ERBB2 predicted 0.00 z, measured 1.80 ln(1 + counts per 10,000)"


def test_the_line_gives_gene_value_percentile_and_trust() -> None:
    scene = Scene()
    values = scene.map.values("ERBB2", np.arange(12))
    for cell in (0, 3, 11):
        rank = percentileofscore(values, values[cell], kind="mean")
        expected = f"ERBB2 {values[cell]:.2f} ln(1 + counts per 10,000) · {percentile_words(rank)} of what is predicted"
        assert scene.point_at(cell) == f"{expected} · {TRUST}"
        assert scene.point_at(cell, off=0.45) == f"{expected} · {TRUST}"
    assert scene.point_at(3, off=0.55).startswith(f"ERBB2 {values[4]:.2f} ")
    scene.heatmap.show("KRT8")
    assert scene.point_at(3).endswith("not evaluated")


def test_where_nothing_is_predicted_napari_says_what_it_says() -> None:
    scene = Scene()
    assert scene.point_at(0).startswith("ERBB2")
    assert "percentile" not in scene.point_at(12)
    scene.viewer.cursor.position = (-5000.0, -5000.0)
    assert "ERBB2" not in str(scene.viewer.status)


def test_what_napari_says_afterwards_does_not_stay() -> None:
    scene = Scene()
    said = scene.point_at(3)
    scene.viewer.status = {"coordinates": "[1 2]: 3", "layer_base": "C9", "source_type": "", "plugin": ""}
    assert scene.viewer.status == said
    scene.viewer.status = ""  # the mouse leaves the canvas
    assert scene.viewer.status == ""
    scene.viewer.mouse_over_canvas = False
    scene.viewer.status = "Ready"
    assert scene.viewer.status == "Ready"


def test_the_top_heatmap_in_sight_wins_and_the_value_is_the_raw_one() -> None:
    scene = Scene()
    other = HeatmapLayer(scene.viewer, made_map(scene.slide), Style())
    other.show("CD3E")
    other.layer.data[...] = 99.0  # smoothed, say
    value = scene.map.values("CD3E", np.array([2]))[0]
    assert scene.point_at(2).startswith(f"CD3E {value:.2f} ")
    other.layer.visible = False
    assert scene.point_at(2).startswith("ERBB2 ")
    other.layer.visible = True
    assert scene.point_at(2).startswith("CD3E ")
    other.layer.opacity = 0
    assert scene.point_at(2).startswith("ERBB2 ")
    scene.viewer.layers.clear()
    scene.viewer.cursor.position = (1.0, 1.0)
    assert "ERBB2" not in str(scene.viewer.status)


def test_over_the_effect_of_the_surroundings_the_line_gives_it_too() -> None:
    scene = Scene()
    effect = ContextEffect(scene.map)
    effect.alone.add(np.array([2]), hidden_at(effect.alone.tiles(np.array([2])).centres) - np.float16(0.5))
    layer = EffectLayer(scene.viewer, effect)
    layer.bring()
    layer.draw_gene("ERBB2")
    assert " · +0.50 from its surroundings · " in scene.point_at(2)
    assert "surroundings" not in scene.point_at(3)
    assert scene.point_at(3).startswith("ERBB2")


def test_a_region_under_the_mouse_is_named_before_the_value() -> None:
    scene = Scene()
    bare = scene.point_at(0)
    scene.point_at(5)
    y, x = scene.viewer.cursor.position
    square = [(y - 9, x - 9), (y - 9, x + 9), (y + 9, x + 9), (y + 9, x - 9)]
    facts = {"fingerprint": scene.slide.fingerprint, "shape": scene.slide.shape, "mpp": 0.5}
    layer = add_region_layer(scene.viewer, "regions", facts)
    outline = [layer.world_to_data(corner) for corner in square]
    layer.add_polygons([outline])
    set_names(layer, {0: "tumour"})
    assert scene.point_at(5).startswith("tumour · ERBB2 ")
    assert scene.point_at(0) == bare
    scene.heatmap.layer.visible = False
    assert scene.point_at(5) == "tumour"
    scene.point_at(0)
    scene.viewer.status = {"coordinates": "[1, 2]", "value": "[, ]"}  # napari's of a place beside all shapes
    assert scene.viewer.status["value"] == ""


def test_the_distribution_is_drawn_anew_when_gene_map_or_count_change() -> None:
    distribution, shown = ValueDistribution(), made_map(FakeSlide(), done=10)
    values = shown.values("ERBB2", np.arange(10))
    assert distribution.percentile(shown, "ERBB2", float(values.max())) > 80
    high = float(shown.values("KRT8", np.arange(10)).max()) + 1
    assert distribution.percentile(shown, "KRT8", high) == 100
    shown.add(np.arange(10, 20), np.full((10, 4), 50, dtype=np.float16))
    assert distribution.percentile(shown, "KRT8", high) == 50
    assert distribution.percentile(made_map(FakeSlide(), done=5), "KRT8", high) == 100


@pytest.mark.viewer
def test_napari_does_not_write_over_it(make_napari_viewer, qtbot) -> None:
    """In a real window, where napari works its line out in a thread after the mouse has moved."""
    viewer = make_napari_viewer(show=True)
    slide = FakeSlide()
    data, meta, _ = frames.slide_layer_data(slide)
    viewer.add_image(data, **meta)
    widget = PredictWidget(viewer, FakeServices())
    viewer.window.add_dock_widget(widget, name="NH2ST", area="right")
    made = made_map(slide)
    widget.controller.adopt(made)
    qtbot.wait(300)
    thread = viewer.window._qt_window.status_thread
    QThread.start(thread)  # napari's fixture keeps it from starting
    heard = []
    thread.status_and_tooltip_changed.connect(heard.append)
    canvas = viewer.window._qt_viewer.canvas.native
    viewer._window._qt_viewer._enter_canvas()
    middle = canvas.rect().center()
    for i in range(5):
        qtbot.mouseMove(canvas, middle + QPoint(3 * i, 2 * i))
        qtbot.wait(20)
    qtbot.waitUntil(lambda: len(heard) > 0)
    qtbot.wait(200)
    assert isinstance(viewer.status, str)
    assert viewer.status.startswith("ERBB2 ")
    assert viewer.status.endswith(TRUST)
    assert viewer.window._status_bar._status.text() == viewer.status
    row, column = np.round(widget.heatmap.layer.world_to_data(viewer.cursor.position)).astype(int)
    assert viewer.status.startswith(f"ERBB2 {made.values('ERBB2')[row, column]:.2f} ")
    widget.state.choose_gene("KRT8")  # with a key, while the mouse rests
    assert viewer.status.startswith("KRT8 ")
    thread.terminate()
    thread.wait()
    widget.shut_down()
    viewer.status = "after"
    qtbot.mouseMove(canvas, middle - QPoint(20, 20))
    assert "ERBB2" not in str(viewer.status)
