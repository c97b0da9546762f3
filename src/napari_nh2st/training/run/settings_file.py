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


def write_settings(
    run: str | Path, config: TrainingConfig, elsewhere: Mapping[str, str] | None = None, *, defaults: bool = True
) -> Path:
    """Write the settings into a run's folder, which is made if need be.

    Parameters
    ----------
    run : path
    config : TrainingConfig
    elsewhere : mapping, optional
        Settings that are not to be edited here: name -> where they are set.
    defaults : bool
        Whether settings that have their default are written too.

    Returns
    -------
    Path
        ``run/settings.yaml``.
    """
    path = Path(run) / FILE
    with finished_file(path) as draft:
        values = config.model_dump(mode="json", exclude_defaults=not defaults)
        draft.write_text(_HEAD + "".join(_entries(values, elsewhere or {})), "utf-8")
    return path


def _entries(values: Mapping[str, Any], elsewhere: Mapping[str, str]) -> list[str]:
    entries = []
    for name, field in TrainingConfig.model_fields.items():
        if name not in values:
            continue
        words = [field.description or "", f"set {elsewhere[name]}" if name in elsewhere else ""]
        comment = textwrap.wrap("; ".join(word for word in words if word), 110)
        entry = yaml.safe_dump({name: values[name]}, sort_keys=False)
        entries.append("\n" + "".join(f"# {line}\n" for line in comment) + entry)
    return entries
