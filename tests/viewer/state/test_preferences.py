"""What the dock remembers from one start to the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtCore import Qt

from napari_nh2st.viewer.genes.section import PERCENTILES
from napari_nh2st.viewer.layers.heatmap import COLORMAPS
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.state import preferences
from viewer.fakes import FakeServices, card

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Services(FakeServices):
    """With a folder of a model, and two devices."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        if folder is not None:
            self.cards[str(folder)] = card("own")

    def models(self) -> list[str]:
        return ["her2st", "demo"]

    def devices(self) -> list[str]:
        return ["cuda:0", "cpu"]


@pytest.fixture
def make_dock(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()

    def make(services) -> PredictWidget:
        dock = PredictWidget(viewer, services)
        viewer.window.add_dock_widget(dock, name="NH2ST", area="right")
        qtbot.waitUntil(lambda: dock.result.devices.count() == 3)
        return dock

    make.viewer = viewer
    return make


def pick(qtbot, combo, steps: int) -> None:
    combo.setFocus()
    for _ in range(steps):
        qtbot.keyClick(combo, Qt.Key.Key_Down)


def state(dock) -> dict:
    return {name: choice.read() for name, choice in preferences.dock_choices(dock).items()}


def test_what_a_person_chose_is_there_the_next_time(make_dock, qtbot) -> None:
    dock = make_dock(Services())
    first = state(dock)
    pick(qtbot, dock.models.combo, 1)
    pick(qtbot, dock.result.devices, 2)
    qtbot.mouseClick(dock.where.buttons["whole"], LEFT)
    pick(qtbot, dock.where.detail, 1)
    pick(qtbot, dock.genes.colours, 2)
    pick(qtbot, dock.genes.limits, 1)
    chosen = state(dock) | {"lock": True, "smooth": True}
    for box in (dock.genes.lock, dock.genes.smooth):
        qtbot.mouseClick(box, LEFT, pos=box.rect().center() / 4)
        if not box.isChecked():
            box.click()
    assert state(dock) == chosen
    assert not [name for name in first if first[name] == chosen[name]]
    assert chosen["model"] == "demo"
    make_dock.viewer.window.remove_dock_widget(dock)
    again = make_dock(Services())
    assert state(again) == chosen
    assert again.workspace.state.style.colormap == chosen["colormap"]
    assert again.workspace.state.style.percentiles == PERCENTILES[chosen["percentiles"]]
    assert again.workspace.state.style.locked
    assert again.workspace.state.style.smooth
    assert again.workspace.state.card.name == "demo"


def test_what_the_program_chose_is_not_remembered(make_dock) -> None:
    dock = make_dock(Services())
    before = state(dock)
    dock.use_model("demo")
    dock.genes.colours.setCurrentIndex(1)
    dock.where.buttons["whole"].setChecked(True)
    make_dock.viewer.window.remove_dock_widget(dock)
    assert state(make_dock(Services())) == before


def test_a_model_or_a_device_that_is_gone_is_left_alone(make_dock) -> None:
    preferences.stored().model = "/gone/model"
    preferences.stored().device = "cuda:7"
    dock = make_dock(Services())
    assert (dock.models.model, dock.result.device) == ("her2st", "auto")


def test_preferences_change_an_open_dock(make_dock) -> None:
    dock = make_dock(Services())
    stored = preferences.stored()
    stored.colormap, stored.lock, stored.device, stored.where = "magma", True, "cpu", "whole"
    assert dock.workspace.state.style.colormap == "magma"
    assert dock.workspace.state.style.locked
    assert (dock.result.device, dock.state.where) == ("cpu", "whole")
    make_dock.viewer.window.remove_dock_widget(dock)
    stored.colormap = "viridis"  # a closed dock hears nothing
    assert dock.workspace.state.style.colormap == "magma"


def test_they_lie_in_napari_s_own_file(make_dock, qtbot, tmp_path) -> None:
    dock = make_dock(Services())
    qtbot.mouseClick(dock.where.buttons["whole"], LEFT)
    assert "where: whole" in (tmp_path / "napari-nh2st.yaml").read_text()


def test_a_damaged_file_is_the_first_start_again(make_dock, tmp_path) -> None:
    (tmp_path / "napari-nh2st.yaml").write_text("dock:\n  colormap: nonsense\n  lock: perhaps\n  where: whole\n")
    dock = make_dock(Services())
    assert (dock.workspace.state.style.colormap, dock.workspace.state.style.locked, dock.state.where) == (
        "viridis",
        False,
        "whole",
    )


def test_the_manifest_offers_what_the_dock_does(make_dock) -> None:
    dock = make_dock(Services())
    fields = type(preferences.stored()).model_fields
    assert set(fields) == set(preferences.dock_choices(dock))
    offered = {name: (field.json_schema_extra or {}).get("enum") for name, field in fields.items()}
    assert offered["colormap"] == list(COLORMAPS)
    assert offered["percentiles"] == list(PERCENTILES)
    assert offered["where"] == list(dock.where.buttons)
    assert offered["detail"] == ["coarse", "fine"]
    assert all(field.title and field.description for field in fields.values())


def test_without_the_plugin_s_manifest_nothing_is_remembered(make_napari_viewer, monkeypatch) -> None:
    monkeypatch.setattr(preferences, "PLUGIN", "not-there")
    dock = PredictWidget(make_napari_viewer(), Services())
    assert dock.models.model == "her2st"
    dock.shut_down()
