"""The plan of a comparison: its splits, its models and their seeds, before anything is fitted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_nh2st.engine.device import SCORING
from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation.baselines import BASELINES
from napari_nh2st.evaluation.baselines.baseline import Baseline
from napari_nh2st.evaluation.baselines.predictor import competitor
from napari_nh2st.evaluation.splits import Split, parse_protocol
from napari_nh2st.expression import Sample
from napari_nh2st.model.predictors import find_predictor
from napari_nh2st.training.config import TrainingConfig

Budget = Literal["quick", "full"]

SEEDS: dict[Budget, tuple[int, ...]] = {"quick": (0,), "full": (0, 1, 2)}
# The quick budget trains the main model on as many seeds as the full one; both train the models that cost most and
# claim least only once.
ALL_SEEDS = ("nh2st-context", "nh2st-learnt")
ONE_SEED = ("encoder-ridge", "retrieval", "nh2st-paper")

ALARM = "coordinates-knn"
MAIN = "nh2st-context"


@dataclass(frozen=True)
class Plan:
    """The splits, models and seeds that a comparison fits and scores.

    Attributes
    ----------
    splits : list of Split
    baselines : list of Baseline
        In the order of the report.
    budget : "quick" or "full"
    config : TrainingConfig
    seeds : sequence of int or None
        Instead of the budget's.
    """

    splits: list[Split]
    baselines: list[Baseline]
    budget: Budget
    config: TrainingConfig
    seeds: Sequence[int] | None = None

    @classmethod
    def of(
        cls,
        samples: Sequence[Sample],
        protocol: str,
        budget: Budget,
        config: TrainingConfig,
        models: Iterable[str] | None,
        seeds: Sequence[int] | None,
    ) -> Plan:
        """Make the plan of a protocol.

        Raises
        ------
        SampleError, Nh2stError
            If the protocol, or a model, is unknown.
        """
        splits, baselines = parse_protocol(protocol, samples), baselines_of(models, samples)
        if config.precision == "auto":  # the same models whatever the machine is fastest with
            config = config.model_copy(update={"precision": SCORING})
        return cls(splits, baselines, budget, config, seeds)

    @property
    def quick(self) -> bool:
        """Whether the budget is the smaller one."""
        return self.budget == "quick"

    def seeds_of(self, baseline: Baseline) -> tuple[int, ...]:
        """Return the seeds with which a model is fitted; one for a model that has none."""
        if not baseline.seeded:
            return (0,) if self.seeds is None else tuple(self.seeds[:1])
        if self.seeds is not None:
            return tuple(self.seeds)
        if baseline.name in ONE_SEED:
            return SEEDS["quick"]
        return SEEDS["full" if baseline.name in ALL_SEEDS else self.budget]

    def pretrains(self, baseline: Baseline) -> bool:
        """Tell whether a model needs an encoder that is pretrained first, the same for all models of a seed."""
        return self.config.encoder_start is None and baseline.uses_encoder(self.config)

    def fit_name(self, split: Split, baseline: Baseline, seed: int) -> str:
        """Name a fit for people."""
        return f"{split}: {baseline.name}" + (f", seed {seed}" if baseline.seeded else "")


def baselines_of(models: Iterable[str] | None, samples: Sequence[Sample]) -> list[Baseline]:
    """Choose the lines of a report: all baselines, or those that are named, with the mean profile and the coordinates.

    Raises
    ------
    Nh2stError
        If there is no such model.
    """
    if models is None:
        return list(BASELINES.values())
    names = set(models)
    others = {name: find_predictor(name) for name in sorted(names - set(BASELINES))}
    unknown = [name for name, found in others.items() if found is None]
    if unknown:
        raise Nh2stError(f"no model {', '.join(unknown)} to compare: choose from {', '.join(BASELINES)}")
    ours = [b for name, b in BASELINES.items() if name in names | {"mean-profile", ALARM}]
    return [*ours, *(competitor(found, samples) for found in others.values() if found is not None)]


@dataclass(frozen=True)
class SplitOutcome:
    """The scores of a split's models, and the fits that failed.

    Attributes
    ----------
    models : dict
        Figures by model, in the order of the plan.
    maps : dict
        See `ReadySplit.maps`.
    spots : int
        Scored.
    seconds : float
    failed : list of dict
        ``model``, ``seed`` and ``error`` of each fit that failed.
    pairs : dict or None
        See `pairs.differences`.
    """

    models: dict[str, Any]
    maps: dict[str, Any]
    spots: int
    seconds: float
    failed: list[dict[str, Any]] = field(default_factory=list)
    pairs: dict[str, Any] | None = None


def drawn_model(names: Sequence[str]) -> str:
    """Choose the model whose maps are drawn: the main one, or else the first."""
    return MAIN if MAIN in names else names[0]
