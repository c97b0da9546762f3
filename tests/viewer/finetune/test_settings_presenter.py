"""All settings of a run: from its file and the dock, and back there; only what was touched changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.run.settings_file import read_config
from napari_nh2st.viewer.finetune.choices_presenter import IN_DOCK
from napari_nh2st.viewer.finetune.choices_state import FROM_BASE
from napari_nh2st.viewer.finetune.hold_out import HoldOut
from napari_nh2st.viewer.finetune.panel_choice import LISTED
from napari_nh2st.viewer.finetune.settings_presenter import GROUPS, SettingsPresenter
from napari_nh2st.viewer.kit.model_draft import fields_of
from viewer.finetune.test_choices_presenter import Dock
from viewer.finetune.test_hold_out import B1, C4, C5


@pytest.fixture
def dock() -> Dock:
    made = Dock()
    made.give(C4, C5, B1)
    return made


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def written(run: Path) -> dict[str, object]:
    return yaml.safe_load((run / "settings.yaml").read_text()) or {}


def test_every_setting_is_in_one_group() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(TrainingConfig.model_fields)


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, field in fields_of(TrainingConfig).items() if not field.description] == []


def test_nothing_touched_nothing_written(dock, run: Path) -> None:
    settings = SettingsPresenter(run, dock.presenter)
    assert settings.draft.base.name == "run"
    settings.save()
    assert written(run) == {}


def test_what_is_touched_is_written_and_the_rest_stays_as_it_was(dock, run: Path) -> None:
    run.mkdir()
    (run / "settings.yaml").write_text("epochs: 8\nlearning_rate: 3.3e-6\narchitecture: {width: 4}\n")
    settings = SettingsPresenter(run, dock.presenter)
    settings.draft.change("patience", 9)
    settings.draft.change("pitch", "12")
    settings.draft.change("architecture.heads", 4)
    settings.save()
    assert written(run) == {
        "epochs": 8,
        "learning_rate": 3.3e-6,
        "patience": 9,
        "pitch": 12,
        "architecture": {"width": 4, "heads": 4},
    }
    assert dock.choices.epochs == 0  # the dock still takes those of the file


def test_what_the_dock_has_controls_for_goes_there(dock, run: Path) -> None:
    dock.choices.train, dock.choices.epochs = "everything", 3
    settings = SettingsPresenter(run, dock.presenter)
    assert settings.draft.value("train") == "everything"
    assert settings.draft.value("epochs") == 3
    for name, value in (
        ("panel", 30),
        ("panel_kind", "most-variable"),
        ("train", "last-blocks"),
        ("epochs", 12),
        ("hold_out_sections", ["C4", "B1"]),
        ("mpp", "0.9"),
    ):
        settings.draft.change(name, value)
    settings.save()
    assert written(run) == {"mpp": 0.9}
    choices = dock.choices
    assert (choices.panel, choices.number, choices.train, choices.epochs) == ("most-variable", 30, "last-blocks", 12)
    assert choices.hold_out == HoldOut("section", ("C4", "B1"))
    again = SettingsPresenter(run, dock.presenter)
    assert {name: again.draft.value(name) for name in ("panel", "epochs", "hold_out_sections")} == {
        "panel": 30,
        "epochs": 12,
        "hold_out_sections": ["C4", "B1"],
    }
    again.draft.reset("epochs")
    again.draft.reset("hold_out_sections")
    again.save()
    assert (choices.epochs, choices.hold_out) == (0, HoldOut())


def test_genes_are_listed_and_given_up(dock, run: Path) -> None:
    settings = SettingsPresenter(run, dock.presenter)
    settings.draft.change("genes", ["ERBB2"])
    settings.save()
    assert (dock.choices.panel, dock.choices.gene_list) == (LISTED, "ERBB2")
    dock.settle()
    settings = SettingsPresenter(run, dock.presenter)
    assert settings.draft.value("genes") == ["ERBB2"]
    settings.draft.reset("genes")
    settings.save()
    assert dock.choices.panel == "highest-mean"


def test_a_model_to_start_from_decides_some_settings(dock, run: Path) -> None:
    assert SettingsPresenter(run, dock.presenter).reasons_off == {}
    dock.choices.base = "her2st"
    dock.settle()
    settings = SettingsPresenter(run, dock.presenter)
    assert settings.reasons_off.keys() == {"panel", "panel_kind", "architecture", "mpp", "pitch"}
    settings.draft.change("genes", ["ERBB2"])
    settings.save()
    dock.settle()
    settings = SettingsPresenter(run, dock.presenter)
    settings.draft.reset("genes")
    settings.save()
    assert dock.choices.panel == FROM_BASE


def test_a_wrong_combination_is_one_line_and_writes_nothing(dock, run: Path) -> None:
    settings = SettingsPresenter(run, dock.presenter)
    settings.draft.change("hold_out_sections", ["C4"])
    settings.draft.change("hold_out_patients", ["B"])
    assert settings.draft.problem == "hold out either sections or patients, not both"
    with pytest.raises(ValidationError):
        settings.save()
    assert not run.exists()
    assert dock.choices.hold_out == HoldOut()


def test_the_file_for_those_who_edit_it_has_every_setting(dock, run: Path) -> None:
    settings = SettingsPresenter(run, dock.presenter)
    settings.draft.change("patience", 9)
    path = settings.save_as_yaml()
    assert read_config(path) == TrainingConfig(name="run", patience=9)
    assert written(run).keys() == TrainingConfig.model_fields.keys()
    text = path.read_text().replace("\n# ", " ")
    overridden = text.count("set in the dock, which overrides this line")
    assert overridden == len(IN_DOCK) - 1  # the epochs of the file count where the dock leaves them to it
