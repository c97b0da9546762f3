"""The section of the dock in CONTRIBUTING.md: its presenter with fakes, and the fold in a real window."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from support.contributing import examples, new_module, run
from viewer.fakes import FakeServices, FakeSlide, card, hidden_at

viewer = pytest.mark.viewer
ROOM = "src/napari_nh2st/viewer/summary"


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The section's code; its presenter can be imported."""
    found = examples("A section of the dock")
    new_module(monkeypatch, f"{ROOM}/presenter.py", found[f"{ROOM}/presenter.py"])
    return found


def test_the_presenter_follows_the_state(blocks):
    from napari_nh2st.viewer.predict.workspace import NO_MAP
    from napari_nh2st.viewer.state.dock_state import DockState
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

    said: list[str] = []
    state, services = DockState(), FakeServices()
    presenter = sys.modules["napari_nh2st.viewer.summary.presenter"].SummaryPresenter(SimpleNamespace(state=state))
    presenter.said.connect(said.append)
    presenter.update()
    assert said == [NO_MAP]
    prediction_map = PredictedMap(
        services.describe(FakeSlide()), card(), services.decoder(services.load_model("her2st")), scale=2.0, pitch=112
    )
    cells = np.arange(prediction_map.rows * prediction_map.columns)
    prediction_map.add(cells, hidden_at(prediction_map.tiles(cells).centres))
    state.show_map(prediction_map)
    mean = prediction_map.values(state.gene).mean()
    assert said[-1].startswith(f"{state.gene}: mean {mean:.2f}, 5 to 95% from ")
    state.choose_gene("KRT8")
    assert said[-1].startswith("KRT8: ")


@viewer
def test_the_section_stands_in_the_dock(blocks, make_napari_viewer, qtbot, monkeypatch):
    from napari_nh2st.viewer import predict_dock
    from napari_nh2st.viewer.predict.workspace import NO_MAP

    section = new_module(monkeypatch, f"{ROOM}/section.py", blocks[f"{ROOM}/section.py"])
    names = {**vars(predict_dock), "SummarySection": section.SummarySection}
    monkeypatch.setattr(
        predict_dock, "FOLDS", run(blocks["src/napari_nh2st/viewer/predict_dock.py"], "", names)["FOLDS"]
    )
    dock = predict_dock.PredictWidget(make_napari_viewer(), services=FakeServices())
    qtbot.addWidget(dock)
    assert dock.folds["Summary"].open().sentence.text() == NO_MAP
    dock.shut_down()
