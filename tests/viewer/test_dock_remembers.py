"""What a person chooses in the dock is there at the next start; what a program sets is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_nh2st.viewer.layers.frames import slide_layer_data
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.state import preferences
from viewer.fakes import FakeServices, FakeSlide, card

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Services(FakeServices):
    """With two devices, and the model of a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        if folder is not None:
            self.cards[str(folder)] = card("own")

    def models(self) -> list[str]:
        return ["her2st", "demo"]

    def devices(self) -> list[str]:
        return ["cuda:0", "cpu"]


@pytest.fixture
def start(qtbot) -> Iterator[Callable[..., PredictWidget]]:
    docks: list[PredictWidget] = []

    def make(folder: Path | None = None) -> PredictWidget:
        for dock in docks:
            dock.shut_down()
        dock = PredictWidget(ViewerModel(), Services(folder))
        qtbot.addWidget(dock)
        docks.append(dock)
        qtbot.waitUntil(lambda: dock.result.devices.count() == 3)
        return dock

    yield make
    docks[-1].shut_down()


def pick(qtbot, combo, steps: int) -> None:
    combo.setFocus()
    for _ in range(steps):
        qtbot.keyClick(combo, Qt.Key.Key_Down)


def chosen_in(dock: PredictWidget) -> dict[str, object]:
    state, style = dock.state, dock.state.style
    return {
        "model": state.model_name,
        "device": state.device,
        "where": state.where,
        "fine": state.fine,
        "colormap": style.colormap,
        "percentiles": style.percentiles,
        "locked": style.locked,
        "smooth": style.smooth,
        "open": [title for title, fold in dock.folds.items() if fold.button.isChecked()],
    }


def test_what_a_person_chose_is_there_the_next_time(start, qtbot) -> None:
    dock = start()
    first = chosen_in(dock)
    pick(qtbot, dock.models.combo, 1)
    pick(qtbot, dock.result.devices, 2)
    qtbot.mouseClick(dock.where.buttons["whole"], LEFT)
    pick(qtbot, dock.where.detail, 1)
    limits = dock.genes.limits
    pick(qtbot, limits.colormap.native, 2)
    pick(qtbot, limits.percentiles.native, 1)
    for button in (limits.lock.native, limits.smooth.native, dock.folds["Trust"].button):
        button.click()
    chosen = chosen_in(dock)
    assert not [name for name in first if first[name] == chosen[name]]
    assert (chosen["model"], chosen["device"], chosen["open"]) == ("demo", "cpu", ["Trust"])
    assert chosen_in(start()) == chosen


def test_what_a_program_set_is_not_remembered(start) -> None:
    dock = start()
    before = chosen_in(dock)
    dock.use_model("demo")
    dock.state.style.colormap = "magma"
    dock.state.style.locked = True
    dock.state.where = "whole"
    dock.folds["Trust"].open()
    assert chosen_in(start()) == before


def test_a_model_or_a_device_that_is_gone_is_left_alone(start) -> None:
    kept = preferences.stored_preferences()
    kept.model, kept.device, kept.model_folders = "/gone/model", "cuda:7", ("/gone/model",)
    dock = start()
    assert (dock.state.model_name, dock.state.device) == ("her2st", "auto")
    assert dock.models.combo.count() == 2


def test_a_folder_that_was_used_is_offered_again(start, tmp_path) -> None:
    folder = tmp_path / "run" / "model"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text("{}")
    start(folder).use_model(str(folder))
    again = start(folder).models
    assert again.model == "her2st"  # the run was used by the fine-tune dock, not chosen here
    assert again.combo.itemData(again.combo.count() - 1) == str(folder)


def test_the_slide_decides_on_the_model_until_a_person_does(start, qtbot) -> None:
    dock = start()
    models = dock.models

    def open_slide(*, synthetic: bool) -> str:
        slide = FakeSlide()
        slide.synthetic, slide.fingerprint = synthetic, f"{synthetic}"
        data, meta, _ = slide_layer_data(slide)
        dock.viewer.add_image(data, **meta)
        assert dock.state.model_name == models.model
        return models.model

    assert open_slide(synthetic=True) == "demo"
    assert models.line.text().endswith("Chosen for the demo tissue.")
    assert open_slide(synthetic=False) == "her2st"
    assert models.line.text().endswith("Chosen for real tissue.")
    pick(qtbot, models.combo, 1)
    assert (models.model, "Chosen" in models.line.text()) == ("demo", False)
    assert open_slide(synthetic=False) == "demo"
    assert open_slide(synthetic=True) == "demo"
    assert start().models.model == "demo"


def test_napari_s_preferences_change_an_open_dock(start) -> None:
    dock, kept = start(), preferences._stored().dock
    kept.colormap, kept.lock, kept.device, kept.where, kept.model = "magma", True, "cpu", "whole", "demo"
    chosen = chosen_in(dock)
    assert (chosen["colormap"], chosen["locked"], chosen["device"]) == ("magma", True, "cpu")
    assert (chosen["where"], chosen["model"]) == ("whole", "demo")
    dock.shut_down()
    kept.colormap = "viridis"  # a closed dock hears nothing
    assert dock.state.style.colormap == "magma"
