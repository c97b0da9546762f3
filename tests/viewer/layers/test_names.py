"""Names of layers: slide first, the model where there are two, and whatever the user chose stays."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel

from napari_nh2st.viewer.layers.frames import slide_layer_data
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer, heatmap_data
from napari_nh2st.viewer.layers.names import name_layers
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.style import Style
from viewer.fakes import FakeServices, FakeSlide, card, hidden_at


def predicted(slide: FakeSlide, model: str, pitch: int = 112) -> PredictedMap:
    services = FakeServices()
    made = PredictedMap(services.describe(slide), card(model), services.decoder(None), scale=2.0, pitch=pitch)
    made.add(np.arange(len(made.done)), hidden_at(made.tiles().centres))
    return made


def names(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers]


def test_the_model_is_named_while_two_lie_on_the_slide() -> None:
    viewer, slide = ViewerModel(), FakeSlide()
    data, meta, _ = slide_layer_data(slide)
    viewer.add_image(data, **meta)
    first, second = (HeatmapLayer(viewer, predicted(slide, model), Style()) for model in ("her2st", "demo"))
    first.show("ERBB2")
    assert names(viewer) == ["C9", "C9 · ERBB2 · predicted"]
    second.show("ERBB2")
    assert names(viewer) == ["C9", "C9 · ERBB2 · predicted (her2st)", "C9 · ERBB2 · predicted (demo)"]
    first.layer.name = "mine"
    second.show("KRT8")
    viewer.layers.remove(second.layer)
    assert names(viewer) == ["C9", "mine"]
    first.show("KRT8")
    assert names(viewer) == ["C9", "mine"]


def test_names_follow_the_slide_and_a_map_from_a_file_joins_in() -> None:
    viewer, slide = ViewerModel(), FakeSlide()
    values, meta = heatmap_data(predicted(slide, "her2st", pitch=16), "ERBB2")
    opened = viewer.add_image(values, **meta)
    assert names(viewer) == ["C9 · ERBB2 · predicted (fine)"]
    data, meta, _ = slide_layer_data(slide, "Patient 7")
    layer = viewer.add_image(data, **meta)
    name_layers(viewer)
    assert opened.name == "Patient 7 · ERBB2 · predicted (fine)"
    layer.name = "Patient 8"
    name_layers(viewer)
    assert opened.name == "Patient 8 · ERBB2 · predicted (fine)"
    opened.name = "mine"
    layer.name = "Patient 9"
    name_layers(viewer)
    assert opened.name == "mine"
