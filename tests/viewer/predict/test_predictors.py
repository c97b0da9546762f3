"""Someone else's model behind the sections of the dock, with the real engine and without a window."""

from pathlib import Path

import numpy as np
import pytest

from napari_nh2st.analysis.measured import Frame
from napari_nh2st.analysis.regions import region_table
from napari_nh2st.engine.store import open_prediction
from napari_nh2st.formats import export
from napari_nh2st.geometry import Box
from napari_nh2st.slides import open_slide
from napari_nh2st.viewer.measured.measurement import compare_at_spots, read_measurement
from napari_nh2st.viewer.predict.controller import PredictionInputs
from napari_nh2st.viewer.predict.events import Previewed, Request
from napari_nh2st.viewer.predict.region import Region
from napari_nh2st.viewer.regions.domains import _find
from napari_nh2st.viewer.regions.messages import NO_EMBEDDINGS, domains_words
from napari_nh2st.viewer.state.services import Services
from support.predictors import DARK, name_files, predictor_file
from support.sections import section
from viewer.fakes import Bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A controller on a measured section, and a model that sees how dark tissue is."""
    section(tmp_path, "S1", "P1", 1)
    name_files(monkeypatch, tmp_path, predictor_file(tmp_path, more=DARK))
    slide = open_slide(tmp_path / "S1.tif")
    return Bench(Services(), slide)


def test_a_view_then_the_whole_slide_fill_one_map_and_nothing_is_asked_twice(bench: Bench) -> None:
    bench.predict(model="dark", follow=True, region=Region(Box(300, 300, 900, 900)))
    shown = bench.controller.map
    assert shown is not None
    seen = shown.count
    assert 0 < seen < shown.rows * shown.columns
    assert not any(isinstance(event, Previewed) for event in bench.view.redrawn)
    bench.predict(model="dark")
    assert bench.controller.map is shown
    assert shown.count > seen
    predictor = bench.services.load_model("dark").predictor
    assert sum(len(batch) for batch in predictor.batches) == shown.count
    assert shown.provenance["model_version"] == "1"


def test_a_measurement_regions_domains_and_files(bench: Bench, tmp_path: Path) -> None:
    bench.predict(model="dark")
    shown, slide = bench.controller.map, bench.slide
    inputs: PredictionInputs = bench.controller.inputs_for(Request(slide, "dark"))
    measurement = read_measurement([str(tmp_path / "S1.h5ad")], slide, [], lambda *_: None, lambda: False)
    measurement.frame = Frame()
    found = compare_at_spots(measurement, bench.services, "cpu", inputs, lambda *_: None, lambda: False)
    assert found.table().loc["DARK", "PCC"] > 0.8
    assert found.same_unit
    prediction = shown.prediction()
    half = np.array([(0, 0), (800, 0), (800, 1600), (0, 1600)], dtype=float)
    table = region_table(prediction, {"left": [half]}).set_index("gene")
    inside = prediction.places.centres[:, 0] < 800
    assert table.loc["DARK", "mean"] == pytest.approx(prediction["DARK"][inside].mean(), rel=1e-3)
    outcome = _find(shown, lambda tell, cancelled: inputs, 0.4, lambda *_: None, lambda: False)
    assert outcome[3] == NO_EMBEDDINGS
    assert NO_EMBEDDINGS in domains_words(outcome[2], outcome[3])
    assert export(prediction, "csv", tmp_path / "out.csv").read_text().count("\n") == len(prediction) + 1
    folder = export(prediction, "nh2st", tmp_path / "out.nh2st")
    np.testing.assert_array_equal(open_prediction(folder)["LIGHT"], prediction["LIGHT"])
