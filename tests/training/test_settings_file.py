"""The settings as a file: what is written is read back, and a person's edit counts."""

import pytest
import yaml

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.card import Architecture
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.run.settings_file import settings_of, write_settings


def test_what_is_written_is_read_back(tmp_path):
    config = TrainingConfig(
        train="everything", genes=["A1BG", "NO", "1"], citation="Someone: a title # 3", stain_jitter=0.2
    )
    path = write_settings(tmp_path / "run", config, {"train": "in the dock"})
    assert settings_of(tmp_path / "run") == config
    text = path.read_text()
    assert "set in the dock\ntrain: everything\n" in text
    assert "# stop after so many epochs without a better score\npatience: 5\n" in text
    assert all(f"\n{name}:" in text for name in TrainingConfig.model_fields)


def test_only_what_is_not_the_default_is_written_where_that_is_asked_for(tmp_path):
    config = TrainingConfig(patience=9, architecture=Architecture(width=4))
    path = write_settings(tmp_path, config, defaults=False)
    written = yaml.safe_load(path.read_text())
    assert written == {"patience": 9, "architecture": {"width": 4}}
    assert settings_of(tmp_path) == config


def test_an_edit_counts_and_a_wrong_one_is_named(tmp_path):
    path = write_settings(tmp_path, TrainingConfig())
    path.write_text(path.read_text().replace("patience: 5", "patience: 9").replace("half: false\n", ""))
    assert settings_of(tmp_path) == TrainingConfig(patience=9)
    path.write_text("patience: many\n")
    with pytest.raises(Nh2stError, match="patience"):
        settings_of(tmp_path)


def test_no_file_means_the_defaults(tmp_path):
    assert settings_of(tmp_path / "nowhere") == TrainingConfig()
