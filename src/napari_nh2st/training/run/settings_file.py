"""A run's settings as a file that a person can edit: every setting with a word on what it does. Quick: no torch."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from napari_nh2st.atomic import finished_file
from napari_nh2st.training.config import TrainingConfig, read_config

FILE = "settings.yaml"


_HEAD = "# Settings of a fine-tuning run, read when it is started. A line that is taken out has its default.\n"


def settings_of(run: str | Path) -> TrainingConfig:
    """Read what was set in a run's folder so far; the defaults where nothing was.

    Raises
    ------
    Nh2stError
        Naming every wrong setting.
    """
    path = Path(run) / FILE
    return read_config(path if path.is_file() else None)


def write_settings(run: str | Path, config: TrainingConfig, elsewhere: Mapping[str, str] | None = None) -> Path:
    """Write the settings into a run's folder, which is made if need be.

    Parameters
    ----------
    run : path
    config : TrainingConfig
    elsewhere : mapping, optional
        Settings that are not to be edited here: name -> where they are set.

    Returns
    -------
    Path
        ``run/settings.yaml``.
    """
    path = Path(run) / FILE
    with finished_file(path) as draft:
        draft.write_text(_HEAD + "".join(_entries(config, elsewhere or {})), "utf-8")
    return path


def _entries(config: TrainingConfig, elsewhere: Mapping[str, str]) -> list[str]:
    values = config.model_dump(mode="json")
    out = []
    for name, field in TrainingConfig.model_fields.items():
        words = [field.description or "", f"set {elsewhere[name]}" if name in elsewhere else ""]
        said = textwrap.wrap("; ".join(w for w in words if w), 110)
        entry: dict[str, Any] = {name: values[name]}
        out.append("\n" + "".join(f"# {line}\n" for line in said) + yaml.safe_dump(entry, sort_keys=False))
    return out
