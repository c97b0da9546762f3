"""The card of a model: its genes, its input, its origin and how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from napari_nh2st.model.heads.table import HEADS, Head, HeadOptions, Need
from napari_nh2st.model.intervals import NO_INTERVALS, SOME_GENES, Intervals
from napari_nh2st.targets import LN1P_CP10K, TARGETS, SpotCounts, Target

SCHEMA_VERSION = 1

# Label recipes: our targets, over all genes of a spot; and that of the code released with NH2ST, over the panel's genes
# alone, then the mean over the spots around (only models converted from its checkpoints have it).
# "other" is that of someone else's model, which states its unit itself (model/predictor.py).
RELEASED, OTHER = "log10-cp10k-panel-smoothed", "other"
UNITS: dict[str, str] = {
    **{target.name: target.unit for target in TARGETS.values()},
    RELEASED: "log10(1 + counts per 10,000 of the panel), smoothed",
}
NO_ACCURACY = "no held-out accuracy is known for this model"


Symbol = Annotated[str, Field(min_length=1, max_length=200)]
Correlation = Annotated[float, Field(ge=-1.001, le=1.001)]  # a hair more: sums are rounded


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        """Refuse NUL characters: HDF5 and C libraries end a text there."""
        parts = value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else [value]
        if any(isinstance(part, str) and "\0" in part for part in parts):
            raise ValueError("a text holds a NUL character")
        return value


class Architecture(_Strict):
    """Everything needed to build the network before its weights are read."""

    variant: str = Field(
        default="context",
        description="the head, which looks at a place and what is round it: " + ", ".join(HEADS),
        json_schema_extra={"choices": list(HEADS)},
    )
    head_options: dict[str, Any] = Field(
        default_factory=dict, description="options of the head, by name; when empty, its defaults"
    )
    encoder: Literal["resnet10", "resnet18"] = Field(
        default="resnet10", description="network that looks at tissue; resnet18 is larger and slower"
    )
    width: int = Field(
        default=32,
        ge=4,
        le=64,
        description="channels of the encoder's first stage; 64 is the usual ResNet-18. More take longer",
    )
    stride: Literal[16, 32] = Field(
        default=16, description="side of a cell of the encoder's map, in model pixels; a patch is seven cells wide"
    )
    dim: int = Field(default=64, ge=8, le=8192, description="length of the vector that stands for a place")
    hidden: int = Field(default=64, ge=4, le=8192, description="length of the vector from which genes are decoded")
    heads: int = Field(
        default=8, ge=1, le=512, description="attention heads; the length of a place's vector is a multiple"
    )
    dropout: float = Field(
        default=0.2, ge=0, lt=1, description="part of the values left out in a step, against overfitting"
    )
    landmarks: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="spots that the kernel head compares with, set in training; 0 is none. Beside a dense head only",
    )
    kernel_on: Literal["both", "stain"] = Field(
        default="both", description="input of the kernel head: the encoder's map and the stain, or the stain alone"
    )
    kernel_rank: int = Field(
        default=0,
        ge=0,
        le=8192,
        description="length of the kernel head's vector, set in training. Beside a dense head only",
    )
    kernel_share: float = Field(
        default=0,
        ge=0,
        le=1,
        description="how much of the kernel head's answer is in the prediction, set in training. Beside a dense head "
        "only",
    )
    learnt_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="how much of the learnt head's answer is in the prediction, set in training; when empty, what the "
        "kernel head leaves to 1",
    )
    columns: int = Field(
        default=0,
        ge=0,
        le=8192,
        description="main directions of the encoder's map that the learnt head sees beside the stain, set in training; "
        "0 is the map itself, without the stain. For a dense head only",
    )
    neighbours: bool = Field(
        default=True, description="look at the eight places round a place, too. Beside a dense head only"
    )

    @field_validator("variant")
    @classmethod
    def _a_row(cls, value: str) -> str:
        if value not in HEADS:
            raise ValueError(f"there is no head {value!r}: choose one of {', '.join(HEADS)}")
        return value

    @model_validator(mode="after")
    def _whole_options(self) -> Architecture:
        """Write down every option of the head: a card stays what it is if a default changes."""
        try:
            self.head_options = self.options.model_dump(mode="json")
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            known = ", ".join(self.row.options.model_fields) or "none"
            raise ValueError(f"head {self.variant}: option {name}: {first['msg']} (it has {known})") from error
        return self

    @model_validator(mode="after")
    def _heads_divide(self) -> Architecture:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}")
        return self

    @property
    def row(self) -> Head:
        """The head's row of the table."""
        return HEADS[self.variant]

    @property
    def options(self) -> HeadOptions:
        """The head's options, checked."""
        return self.row.options.model_validate(self.head_options)

    @property
    def needs(self) -> frozenset[Need]:
        """Needs of the head beside the place itself; see `Head.needs`."""
        return self.row.needs if self.neighbours else self.row.needs - {"nine"}

    @property
    def learnt_part(self) -> float:
        """Part of the learnt head's answer that is in the prediction."""
        return 1 - self.kernel_share if self.learnt_share is None else self.learnt_share

    @property
    def blocks(self) -> int:
        """Residual blocks in each of the encoder's four stages."""
        return {"resnet10": 1, "resnet18": 2}[self.encoder]

    @property
    def patch(self) -> int:
        """Side of a patch in model pixels: seven feature-map cells."""
        return 7 * self.stride

    @property
    def halo(self) -> int:
        """Model pixels round a cell's middle that the encoder sees at most, in whole cells."""
        cells = {(1, 16): 6, (1, 32): 4, (2, 16): 11, (2, 32): 7}
        return self.stride * cells[self.blocks, self.stride]


class GeneTrust(_Strict):
    """Held-out correlation of one gene, with its interval."""

    pcc: Correlation
    low: Correlation | None = Field(default=None, description="lower end of the 95% interval")
    high: Correlation | None = None

    @model_validator(mode="after")
    def _ends_in_order(self) -> GeneTrust:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"the interval of a PCC ends ({self.high:g}) below its beginning ({self.low:g})")
        return self

    @property
    def chance(self) -> bool:
        """True if the interval reaches down to 0: no better than chance. False without an interval."""
        return self.low is not None and self.low <= 0


class Evaluation(_Strict):
    """Held-out figures. `kind` says whether the patients were new to the model."""

    kind: Literal["cross-patient", "same-patient", "synthetic"]
    samples: list[str] = Field(
        description="what was held out and chose nothing; 'section (block)' where a part of a section was"
    )
    pcc_mean: Correlation
    genes: dict[str, GeneTrust] = Field(default_factory=dict)

    @property
    def kind_words(self) -> str:
        """The kind as a person would say it."""
        return "synthetic tissue" if self.kind == "synthetic" else self.kind.replace("-", " ")


class TrainingSample(_Strict):
    """One section that the model was trained on."""

    sample: str
    patient: str
    spots: int = Field(ge=0)
    fingerprint: str | None = None


class Readout(_Strict):
    """A value that a model predicts beside its genes: ``hidden @ weight + bias`` of a hidden vector."""

    unit: str = Field(min_length=1, max_length=200)
    weight: list[float] = Field(min_length=1)
    bias: float


class PredictorFacts(_Strict):
    """Facts about someone else's model that our own models do not have."""

    version: str = Field(min_length=1, max_length=200)
    unit: str = Field(min_length=1, max_length=200)
    tile: int = Field(gt=0, le=8192, description="side of a tile in model pixels")
    encoder: str | None = Field(default=None, description="the NH2ST model whose embeddings it needs; None for tiles")
    neighbours: bool = Field(default=False, description="it needs the eight places round a place, too")
    whole_slide: bool = Field(default=False, description="it needs all tiles of a slide together")
    source: str = Field(default="", description="the package or file it comes from")


class Card(_Strict):
    """A model's card, stored as `card.json` beside `model.safetensors`."""

    schema_version: int = SCHEMA_VERSION
    name: str
    description: str = ""
    licence: str = "unknown"
    tissue: str | None = Field(
        default=None,
        description="what tissue it was trained on, as a person would say it: 'HER2-positive breast tumours'",
    )
    citation: str | None = Field(default=None, description="how to cite the data it was trained on")
    synthetic: bool = Field(default=False, description="trained on procedural tissue: says nothing of real slides")
    architecture: Architecture = Architecture()
    mpp: float = Field(gt=0.05, lt=10, description="micrometres per model pixel")
    pitch: int = Field(gt=0, le=100_000, description="distance to the neighbour places, model pixels")
    genes: list[Symbol] = Field(min_length=1, description="panel symbols, in the order of the decoder's rows")
    ensembl: list[str | None] | None = None
    label_recipe: str = Field(default=LN1P_CP10K.name, description="what it predicts: a target, or someone else's")
    label_facts: dict[str, float | list[float]] = Field(
        default_factory=dict,
        description="facts of the training spots, one number or one a gene, with which labels are made",
    )
    outputs: dict[str, Readout] = Field(
        default_factory=dict, description="what it predicts beside its genes, such as the library size"
    )
    gene_means: list[float] | None = Field(
        default=None, description="mean label of each gene over the training spots; None where that is not known"
    )
    gene_stds: list[Annotated[float, Field(ge=0)]] | None = Field(
        default=None, description="spread of each label over the training spots"
    )
    training: list[TrainingSample] = Field(default_factory=list)
    training_mpp: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=list, description="mpp of the training slides"
    )
    seen_before: list[TrainingSample] = Field(
        default_factory=list,
        description="training sections of the models it was fine-tuned from",
    )
    base: str | None = Field(default=None, description="name and hash of the model it was fine-tuned from")
    encoder_hash: str | None = None
    evaluation: Evaluation | None = None
    intervals: Intervals | None = Field(
        default=None,
        description="how far held-out spots lay from their predictions; None if not known",
    )
    recipe: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    predictor: PredictorFacts | None = Field(
        default=None, description="of someone else's model, which has no folder; None for NH2ST"
    )

    @model_validator(mode="after")
    def _lengths_agree(self) -> Card:
        if self.schema_version > SCHEMA_VERSION:
            raise ValueError(
                f"card schema {self.schema_version} is newer than this napari-nh2st knows ({SCHEMA_VERSION}): update it"
            )
        n = len(self.genes)
        if len(set(self.genes)) != n:
            raise ValueError("the panel names a gene twice")
        if both := sorted(set(self.genes) & set(self.outputs)):
            raise ValueError(f"{', '.join(both)} is both a gene and an output")
        width = self.architecture.hidden + (self.architecture.kernel_rank if self.architecture.landmarks else 0)
        if wrong := [name for name, of in self.outputs.items() if len(of.weight) != width]:
            raise ValueError(f"the output {wrong[0]} is not read from hidden vectors of {width} numbers")
        if any(len(of) != n for of in (self.gene_means, self.gene_stds, self.ensembl) if of is not None):
            raise ValueError(f"the panel has {n} genes, but gene_means, gene_stds or ensembl has another length")
        known = self.gene_means is not None and self.gene_stds is not None
        if self.intervals is not None and not (known and len(self.intervals.widths[0]) == n):
            raise ValueError("intervals need gene_means, gene_stds and a width for each gene")
        if self.label_recipe == OTHER and self.predictor is None:
            raise ValueError("a label recipe of its own is for other people's models")
        return self

    @model_validator(mode="after")
    def _labels_can_be_made(self) -> Card:
        if self.label_recipe not in (*UNITS, OTHER):
            raise ValueError(f"label recipe {self.label_recipe!r} is not known: choose among {', '.join(UNITS)}")
        needed = TARGETS[self.label_recipe].facts if self.label_recipe in TARGETS else ()
        if set(self.label_facts) != set(needed):
            raise ValueError(f"labels {self.label_recipe} need these facts: {', '.join(needed) or 'none'}")
        if any(len(of) != len(self.genes) for of in self.label_facts.values() if isinstance(of, list)):
            raise ValueError(f"the panel has {len(self.genes)} genes, but label_facts has another length")
        return self

    def __repr__(self) -> str:
        kind = "synthetic" if self.synthetic else self.trained_on or "training not recorded"
        kind = f"version {self.predictor.version}, {kind}" if self.predictor else kind
        return f"Card({self.name!r}, {len(self.genes):,} genes, {self.mpp:.4g} um per pixel, {kind})"

    __str__ = __repr__

    @property
    def patch(self) -> int:
        """Side of a patch in model pixels."""
        return self.architecture.patch if self.predictor is None else self.predictor.tile

    @property
    def step(self) -> int:
        """Smallest distance between tiles, of which a pitch is a multiple, in model pixels."""
        return 1 if self.predictor is not None and self.predictor.encoder is None else self.architecture.stride

    @property
    def variant(self) -> str:
        """Variant of NH2ST, the name of its head, or "predictor" for someone else's model."""
        return self.architecture.variant if self.predictor is None else "predictor"

    @property
    def fine_detail(self) -> bool:
        """True if it answers between the tiles of its coarse lattice for little more."""
        encoder_only = self.predictor is None or (self.predictor.encoder is not None and not self.predictor.whole_slide)
        return encoder_only and self.architecture.row.dense

    @property
    def sees_neighbours(self) -> bool:
        """True if it looks at the tiles round a tile, and answers without some of them."""
        if self.predictor is not None:
            return self.predictor.neighbours and not self.predictor.whole_slide
        return self.architecture.row.dense and self.architecture.neighbours

    @property
    def unit(self) -> str:
        """Unit of a predicted value, as colour bars and files show it."""
        return UNITS[self.label_recipe] if self.predictor is None else self.predictor.unit

    @property
    def target(self) -> Target:
        """Target in which measurements are put beside its predictions: its own, where it can be made from counts."""
        return TARGETS.get(self.label_recipe, LN1P_CP10K)

    @property
    def answers_in_target(self) -> bool:
        """True if measured values can be put into its unit, so that values can be compared, not only correlations."""
        return self.label_recipe in TARGETS

    def labels(self, spots: SpotCounts) -> npt.NDArray[np.float32]:
        """Make labels (n, G) in its `target` from counts of its panel, of any section."""
        return self.target.make(spots, self.label_facts)

    @property
    def seen(self) -> list[TrainingSample]:
        """Sections that it has learnt from, those of the model it was fine-tuned from included."""
        return [*self.training, *self.seen_before]

    @property
    def patients(self) -> int:
        """Number of patients that it was trained on; 0 if not recorded."""
        return len({t.patient for t in self.training})

    @property
    def trained_on(self) -> str:
        """Training sections in words: '5 sections of 2 patients'; empty if not recorded."""
        sections, patients = len(self.training), self.patients
        if not sections:
            return ""
        said = f"{sections} section{'' if sections == 1 else 's'}"
        return said if self.synthetic else f"{said} of {patients} patient{'' if patients == 1 else 's'}"

    def only(self, genes: Sequence[str]) -> Card:
        """Return the card of a part of the panel, in this order; the figures of the whole model stay."""
        rows = {gene: row for row, gene in enumerate(self.genes)}
        picked = [rows[gene] for gene in genes]
        changes: dict[str, Any] = {"genes": list(genes)}
        for name in ("ensembl", "gene_means", "gene_stds"):
            of = getattr(self, name)
            changes[name] = None if of is None else [of[row] for row in picked]
        changes["label_facts"] = {
            name: [of[row] for row in picked] if isinstance(of, list) else of for name, of in self.label_facts.items()
        }
        if self.intervals is not None:
            changes["intervals"] = self.intervals.only(picked)
        if self.evaluation is not None:
            figures = {gene: self.evaluation.genes[gene] for gene in genes if gene in self.evaluation.genes}
            changes["evaluation"] = self.evaluation.model_copy(update={"genes": figures})
        return self.model_copy(update=changes)

    def by_trust(self) -> list[str]:
        """Order the genes by their held-out PCC, the best first.

        Genes that were no better than chance follow. Genes without a figure come last, in the panel's order.
        """
        figures = self.evaluation.genes if self.evaluation else {}
        evaluated = sorted((g for g in self.genes if g in figures), key=lambda g: (figures[g].chance, -figures[g].pcc))
        return evaluated + [g for g in self.genes if g not in figures]

    @property
    def why_no_intervals(self) -> str:
        """Reason why predictions have no intervals; empty where they have."""
        if self.intervals is None:
            return NO_INTERVALS
        return "" if len(self.genes) == self.intervals.panel else SOME_GENES

    @property
    def accuracy(self) -> str:
        """Held-out accuracy over all genes, in words."""
        if self.predictor is not None:
            return NO_ACCURACY
        if self.evaluation is None:
            return "not evaluated"
        e = self.evaluation
        return f"mean held-out PCC {e.pcc_mean:z.2f} over {len(e.genes):,} genes, {e.kind_words}"

    def scale_on(self, slide_mpp: float) -> float:
        """Level-0 pixels per model pixel on a slide of this mpp."""
        return self.mpp / slide_mpp

    def trust(self, gene: str) -> str:
        """Write the gene's held-out PCC and its kind for people, or 'not evaluated'."""
        if self.predictor is not None:
            return NO_ACCURACY
        figures = self.evaluation.genes.get(gene) if self.evaluation else None
        if self.evaluation is None or figures is None:
            return "not evaluated"
        interval = (
            "" if figures.low is None or figures.high is None else f" ({figures.low:z.2f} to {figures.high:z.2f})"
        )
        chance = ": not better than chance in the held-out tissue" if figures.chance else ""
        return f"held-out PCC {figures.pcc:z.2f}{interval}, {self.evaluation.kind_words}{chance}"
