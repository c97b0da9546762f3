"""What a person can set about a fine-tuning run. The defaults stand here, and only here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.card import Architecture

Train = Literal["head", "last-blocks", "everything"]


class TrainingConfig(BaseModel):
    """Settings of a run; a YAML file may give any of them.

    Lengths are in model pixels. Where `mpp` and `pitch` are None they follow from the spots' own distance, so that the
    neighbour places fall on the measured array and on the encoder's cells.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = "model"
    description: str = ""
    licence: str = "unknown"
    tissue: str | None = Field(default=None, description="what tissue it is trained on, as a person would say it")
    citation: str | None = Field(default=None, description="how to cite the data it is trained on")
    synthetic: bool = False
    half: bool = Field(default=False, description="store float16 weights")

    architecture: Architecture = Architecture()
    mpp: float | None = Field(default=None, gt=0.05, lt=10)
    pitch: int | None = Field(default=None, gt=0)
    panel: int = Field(default=250, ge=1, description="genes to predict, where no list is given")
    panel_kind: Literal["highest-mean", "most-variable", "spatially-variable"] = Field(
        default="highest-mean", description="how they are chosen from the training sections"
    )
    genes: list[str] | None = Field(
        default=None, min_length=1, description="the genes to predict, as the counts spell them"
    )

    encoder_start: Path | None = Field(default=None, description="an encoder file to start from, as of nh2st pretrain")
    pretrain_steps: int = Field(
        default=60, ge=0, description="context only: steps of contrast on the sections' own tiles"
    )
    train: Train = Field(
        default="head",
        description="context only: head leaves the encoder as it is and so has to look at the tissue only once; "
        "last-blocks trains its last stage as well; everything trains it from end to end, as paper always is",
    )
    kernel_share: float = Field(default=0.8, ge=0, lt=1, description="context only: the kernel head's part; 0 is none")
    landmarks: int = Field(default=1024, ge=1, description="of the kernel head, at most; fewer where spots are fewer")

    epochs: int = Field(default=4, ge=1, description="each meets a spot about once, in 30 to 1000 steps")
    patience: int = Field(default=5, ge=1, description="stop after so many epochs without a better score")
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    window: int = Field(default=384, ge=256, description="side of a block of tissue, before it is cropped to its spots")
    windows_per_step: int | None = Field(default=None, ge=1, description="None: more, the more spots there are")
    spots_per_step: int | None = Field(
        default=None, ge=2, description="head: targets at once, None: more, the more spots there are; paper: None is 48"
    )
    spot_weight: float = Field(default=0.1, ge=0, description="weight of the target's contrastive loss")
    near_weight: float = Field(default=0.05, ge=0, description="weight of the neighbourhood's contrastive loss")
    stain_jitter: float = Field(default=0.15, ge=0, le=1, description="spread of the colour augmentation")
    views: int = Field(default=0, ge=0, description="head only: times that tissue is seen turned and in other colours")
    gene_weight: Literal["equal", "variance"] = Field(
        default="equal", description="equal: every gene weighs the same; variance: as its labels vary (plain MSE)"
    )
    ema: float = Field(default=0.95, ge=0, lt=1, description="decay of the averaged weights")
    inner_validation: float = Field(default=0.15, gt=0, lt=0.5, description="part of each section held out as a block")
    hold_out_sections: list[str] | None = Field(
        default=None, min_length=1, description="samples that are only scored: nothing is learnt or chosen from them"
    )
    hold_out_patients: list[str] | None = Field(
        default=None, min_length=1, description="instead of samples: patients, with all their sections"
    )
    refit: bool = Field(default=True, description="after the held-out blocks have been scored, train on them too")
    device: str = "auto"
    devices: int = Field(default=1, ge=1, description="processes that train together on a machine, each on a device")
    nodes: int = Field(default=1, ge=1, description="machines")
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @model_validator(mode="after")
    def _one_way_to_hold_out(self) -> TrainingConfig:
        if self.hold_out_sections and self.hold_out_patients:
            raise ValueError("hold out either sections or patients: leave one of the two away")
        return self


def read_config(path: str | Path | None) -> TrainingConfig:
    """Read a YAML file of settings; the defaults where there is none.

    Raises
    ------
    Nh2stError
        Naming every wrong setting at once.
    """
    if path is None:
        return TrainingConfig()
    try:
        values = yaml.safe_load(Path(path).expanduser().read_text("utf-8"))
        return TrainingConfig.model_validate(values or {})
    except (OSError, yaml.YAMLError) as error:
        raise Nh2stError(f"cannot read the settings {path}: {error}") from error
    except ValidationError as error:
        raise Nh2stError(f"{path}: {_wrong(error)}") from error


def with_settings(config: TrainingConfig, values: dict[str, Any]) -> TrainingConfig:
    """Change some settings.

    Raises
    ------
    Nh2stError
        Naming every wrong one.
    """
    try:
        return TrainingConfig.model_validate({**config.model_dump(), **values})
    except ValidationError as error:
        raise Nh2stError(_wrong(error)) from error


def _wrong(error: ValidationError) -> str:
    each = [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
    return "; ".join(f"{where}: {what}" if where else what for where, what in each)
