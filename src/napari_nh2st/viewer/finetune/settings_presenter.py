"""All settings of a run while a person edits them: what the dock shows goes back there, the rest into a file. No Qt."""

from __future__ import annotations

from pathlib import Path

from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.run.settings_file import settings_of, write_settings
from napari_nh2st.viewer.finetune.choices_presenter import IN_DOCK, ChoicesPresenter
from napari_nh2st.viewer.kit.model_draft import Draft

# The groups of the form. A test holds that every setting is in one.
GROUPS = {
    "Genes": ("panel_kind", "panel", "genes", "labels"),
    "What is trained": ("train", "encoder_start", "pretrain_steps", "kernel_share", "landmarks", "gene_weight"),
    "How long": ("epochs", "patience", "learning_rate", "weight_decay", "ema"),
    "Held out": ("inner_validation", "hold_out_sections", "hold_out_patients", "refit", "intervals"),
    "Model card": ("name", "description", "tissue", "citation", "licence", "synthetic", "half"),
    "Machine": ("device", "precision", "devices", "nodes"),
    "Advanced: tissue and losses": (
        "mpp",
        "pitch",
        "window",
        "windows_per_step",
        "spots_per_step",
        "weigh_spots",
        "mixup",
        "components",
        "views",
        "stain_jitter",
        "objectives",
    ),
    "Advanced: a new network": ("architecture",),
}
# In the settings file, above what the dock decides.
ELSEWHERE = {name: "in the dock, which overrides this line" for name in IN_DOCK if name != "epochs"}
_FROM_BASE = "The base model decides this"


class SettingsPresenter:
    """The settings of a run, from its file and from the dock.

    Parameters
    ----------
    run : Path
        Folder of the run, which is made when the settings are saved.
    choices : ChoicesPresenter

    Raises
    ------
    Nh2stError
        If the file has a wrong setting.
    """

    def __init__(self, run: Path, choices: ChoicesPresenter) -> None:
        self._run, self._choices = run, choices
        config = choices.config(run)
        self.draft = Draft(config.model_copy(update={"epochs": choices.choices.epochs or config.epochs}))

    @property
    def reasons_off(self) -> dict[str, str]:
        """The settings that cannot be changed just now -> why."""
        if self._choices.choices.base is None:
            return {}
        genes = dict.fromkeys(("panel", "panel_kind"), "The base model brings its own genes")
        return genes | dict.fromkeys(("architecture", "mpp", "pitch"), _FROM_BASE)

    def save(self) -> Path:
        """Hand over to the dock what it shows, and write what else is not the default into the run's folder.

        Raises
        ------
        pydantic.ValidationError
            If a value or a combination of values is wrong.
        OSError
            If the folder cannot be used.
        """
        config = self._in_file()
        path = write_settings(self._run, config, defaults=False)
        self._choices.take(self.draft.result(), set(self.draft.touched))
        return path

    def save_as_yaml(self) -> Path:
        """Save, with every setting and a word on it, for those who edit the file.

        Raises
        ------
        pydantic.ValidationError, OSError
            As `save`.
        """
        self.save()
        return write_settings(self._run, self._choices.config(self._run), ELSEWHERE)

    def _in_file(self) -> TrainingConfig:
        """Return the settings of the file: of those that the dock shows, what was there stays unless it was touched."""
        result, before, default = self.draft.result(), settings_of(self._run), TrainingConfig()
        kept = {name: getattr(default if name in self.draft.touched else before, name) for name in IN_DOCK}
        if "name" not in self.draft.touched:
            kept["name"] = before.name  # the folder's own name is given when the run starts
        return result.model_copy(update=kept)
