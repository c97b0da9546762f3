"""Settings of a fine-tuning run. The defaults stand here, and only here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.card import Architecture
from napari_nh2st.reading import expanded, read_yaml
from napari_nh2st.targets import TARGETS
from napari_nh2st.training.objectives.table import checked

Train = Literal["head", "last-blocks", "everything"]
SpotWeight = Literal["equal", "root-depth"]
# Of a run without a base model; chosen on inner splits (docs/results-tried.md).
DEFAULT_TARGET = "ln1p-cp10k"


class TrainingConfig(BaseModel):
    """Settings of a run; a YAML file may give any of them.

    Descriptions are shown to people, in the settings file and in the form of the fine-tune dock. Where `mpp` and
    `pitch` are None they follow from the spots' own distance, so that the neighbour places fall on the measured array
    and on the encoder's cells.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field(default="model", description="name of the model, as the list of models shows it")
    description: str = Field(default="", description="a sentence or two about the model, for its card")
    licence: str = Field(default="unknown", description="licence of the model; the licence of your data may limit it")
    tissue: str | None = Field(default=None, description="tissue that it is trained on, such as human breast cancer")
    citation: str | None = Field(default=None, description="how to cite the data that it is trained on")
    synthetic: bool = Field(
        default=False, title="computer-made tissue", description="the tissue is computer-made, not measured"
    )
    half: bool = Field(
        default=False,
        title="16-bit weights",
        description="store weights as 16-bit numbers: files half as large, predictions hardly differ",
    )

    architecture: Architecture = Field(default=Architecture(), description="the network")
    mpp: float | None = Field(
        default=None,
        gt=0.05,
        lt=10,
        title="pixel size, µm",
        description="width of a pixel as the model sees tissue, in µm; when empty, it follows from the distance of the "
        "measured spots. Smaller pixels show more detail and take longer",
    )
    pitch: int | None = Field(
        default=None,
        gt=0,
        description="distance between a place and its neighbours, in model pixels; when empty, it follows from the "
        "distance of the measured spots",
    )
    panel: int = Field(
        default=250, ge=1, title="number of genes", description="number of genes to predict, unless you list them"
    )
    panel_kind: Literal["highest-mean", "most-variable", "spatially-variable"] = Field(
        default="highest-mean",
        title="choose the genes that are",
        description="genes to choose, unless you list them: those with the highest mean, those that vary most between "
        "spots, or those that vary most from region to region",
    )
    genes: list[str] | None = Field(
        default=None,
        min_length=1,
        description="genes to predict, by symbol or another name; when empty, they are chosen",
    )

    labels: str | None = Field(
        default=None,
        title="predict",
        description="what the model learns to predict, one of: " + ", ".join(TARGETS) + "; when empty, what the model "
        f"that it starts from predicts, else {DEFAULT_TARGET}",
        json_schema_extra={"placeholder": DEFAULT_TARGET},
    )

    encoder_start: Path | None = Field(
        default=None,
        title="pretrained encoder",
        description="file of a pretrained encoder to start from, made by nh2st pretrain",
    )
    pretrain_steps: int = Field(
        default=60,
        ge=0,
        title="pretraining steps",
        description="steps in which the encoder first learns the look of your tissue, without gene counts; variant "
        "context only, and not when it starts from a model or an encoder file",
    )
    train: Train = Field(
        default="head",
        description="part of the network to train. head: the encoder stays as it is, so tissue is encoded only once "
        "(fastest). last-blocks: the encoder's last stage learns too. everything: the whole network learns (slowest; "
        "variant paper always does this)",
    )
    kernel_share: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        json_schema_extra={"placeholder": "auto"},
        description="how much of the answer of the kernel head, which is fitted in one go, is in the prediction; the "
        "learnt head learns what it leaves. When empty, or auto: all of it, and as much of the learnt head's as helps "
        "on tissue that is left out in turn. 0 leaves the kernel head out; variant paper has none",
    )
    components: int = Field(
        default=32,
        ge=0,
        description="main directions of the encoder's map that the learnt head sees beside the stain, where there is a "
        "kernel head; 0 is the whole map, without the stain. For train head",
    )
    landmarks: int = Field(
        default=1024, ge=1, description="most spots that the kernel head compares with; more take longer to fit"
    )

    epochs: int = Field(
        default=4, ge=1, description="rounds of training; each meets every spot about once, in 30 to 1000 steps"
    )
    patience: int = Field(default=5, ge=1, description="stop after so many epochs without a better score")
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="size of a learning step; when empty, 0.003 for train head and 0.001 otherwise. Halve it if the "
        "loss jumps or becomes infinite",
    )
    weight_decay: float = Field(default=0.05, ge=0, description="pull of all weights towards 0, against overfitting")
    window: int = Field(
        default=384,
        ge=256,
        description="side of a block of tissue that is encoded at once, in model pixels, before it is cropped to its "
        "spots; smaller blocks need less memory. Not for train head",
    )
    windows_per_step: int | None = Field(
        default=None,
        ge=1,
        description="blocks of tissue in a step; when empty, more for more spots. Fewer need less memory. Not for "
        "train head",
    )
    spots_per_step: int | None = Field(
        default=None,
        ge=2,
        description="spots in a step; when empty, more for more spots (variant paper: 48). For train head and variant "
        "paper",
    )
    objectives: dict[str, Any] | None = Field(
        default=None,
        description="losses beside the squared error, each with its options, such as {info-nce: {spot: 0.1, near: "
        "0.05}}; when empty, those of the head, and {} is none",
    )
    stain_jitter: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="how far stain colours are varied in training, so that the model stands other stainings; 0 is not "
        "at all. With train head, in views only",
    )
    mixup: float = Field(
        default=1.0,
        ge=0,
        description="mix each spot with another one in training, by a share from a beta distribution of this "
        "parameter; 0 is not at all. For train head",
    )
    views: int = Field(
        default=0,
        ge=0,
        title="turned views",
        description="times that tissue is encoded again, turned and in other colours; each takes as long as the first. "
        "For train head",
    )
    gene_weight: Literal["equal", "variance"] = Field(
        default="equal",
        description="equal: every gene counts the same. variance: genes that vary more count more",
    )
    weigh_spots: SpotWeight = Field(
        default="root-depth",
        title="weigh spots",
        description="equal: every spot counts the same. root-depth: spots of a section count by the square "
        "root of their counts, since those with few are noisy",
    )
    ema: float = Field(
        default=0.95,
        ge=0,
        lt=1,
        title="smoothing of weights",
        description="smoothing of the weights over the last steps; 0 is none",
    )
    inner_validation: float = Field(
        default=0.15,
        title="block of each section",
        gt=0,
        lt=0.4,
        description="part of each section, as one block, that is left out to choose the best epoch: 0.15 is 15%. "
        "Unless whole sections are held out, a second block as large is held out, chooses nothing, and is scored",
    )
    hold_out_sections: list[str] | None = Field(
        default=None,
        min_length=1,
        description="sections to score the model on: it learns nothing from them, and they choose nothing",
    )
    hold_out_patients: list[str] | None = Field(
        default=None,
        min_length=1,
        description="instead of sections: patients to score the model on, with all their sections",
    )
    refit: bool = Field(
        default=True,
        title="train again on all spots",
        description="when the held-out blocks have been scored, train once more, on all spots",
    )
    intervals: bool = Field(
        default=True,
        description="work out how far predictions lie from measurements: with train head, train up to four times more, "
        "each time without some of the tissue; otherwise from the held-out blocks",
    )
    device: str = Field(
        default="auto", description="where to compute: auto, cpu, cuda, cuda:1 (a second graphics card), or mps (Apple)"
    )
    devices: int = Field(
        default=1,
        ge=1,
        title="processes",
        description="processes that train together on one machine, each on a device of its own",
    )
    nodes: int = Field(default=1, ge=1, title="machines", description="machines that train together")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="precision of numbers in training: fp32 is full, bf16 is faster where the processor has it",
    )

    @field_validator("labels")
    @classmethod
    def _known_target(cls, name: str | None) -> str | None:
        if name is not None and name not in TARGETS:
            raise ValueError(f"there are no labels {name!r}: choose among {', '.join(TARGETS)}")
        return name

    @model_validator(mode="before")
    @classmethod
    def _weights_before_objectives(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.keys().isdisjoint(("spot_weight", "near_weight")):
            raise ValueError(
                "spot_weight and near_weight are written objectives: {info-nce: {spot: 0.1, near: 0.05}} now"
            )
        return values

    @field_validator("objectives")
    @classmethod
    def _rows_of_the_table(cls, chosen: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if chosen is None else checked(chosen)

    @model_validator(mode="after")
    def _looks_beyond(self) -> TrainingConfig:
        refuse_moving_encoder(self.architecture, self.train)
        return self

    def losses(self, architecture: Architecture) -> dict[str, dict[str, Any]]:
        """Return the objectives that a network is trained with, with their options: those chosen, or its head's."""
        return checked(architecture.row.objectives) if self.objectives is None else self.objectives

    @field_validator("kernel_share", mode="before")
    @classmethod
    def _auto(cls, value: Any) -> Any:
        return None if value == "auto" else value

    @property
    def with_kernel(self) -> bool:
        """True if a dense head gets a kernel head beside it."""
        return self.kernel_share != 0

    @property
    def rate(self) -> float:
        """Largest size of a learning step."""
        return self.learning_rate or (3e-3 if self.train == "head" else 1e-3)

    @model_validator(mode="after")
    def _one_way_to_hold_out(self) -> TrainingConfig:
        if self.hold_out_sections and self.hold_out_patients:
            raise ValueError("hold out either sections or patients, not both")
        return self


def with_head(architecture: Architecture, name: str) -> Architecture:
    """Give an architecture another head; the options that it has stay where it is the same one."""
    if name == architecture.variant:
        return architecture
    return Architecture.model_validate(architecture.model_dump() | {"variant": name, "head_options": {}})


def refuse_moving_encoder(architecture: Architecture, train: Train) -> None:
    """Refuse to train the encoder under a head that looks beyond its nine places: it would have to see all at once.

    Raises
    ------
    ValueError
    """
    if train != "head" and architecture.row.looks_beyond:
        raise ValueError(f"head {architecture.variant} looks at the whole slide: it is trained with train: head")


def read_config(path: str | Path | None) -> TrainingConfig:
    """Read a YAML file of settings; the defaults where there is none.

    Raises
    ------
    Nh2stError
        Naming every wrong setting at once.
    """
    if path is None:
        return TrainingConfig()
    values = read_yaml(expanded(path), "the settings")
    try:
        return TrainingConfig.model_validate({} if values is None else values)
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
