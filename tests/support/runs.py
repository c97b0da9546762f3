"""Small fine-tuning runs, and what they leave in their folders."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from napari_nh2st.model.card import Architecture
from napari_nh2st.model.folder import load_model
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data import batches

SHORT = 8
"""Steps of an epoch where no test asks for more."""
WHOLE = {"kernel_share": None, "intervals": True}
"""Settings of a run that chooses the learnt head's share and works out intervals: each takes some more trainings."""
SMALL = Architecture(width=4, dim=16, hidden=8, heads=4, dropout=0.3)


@contextmanager
def short_epochs(steps: int = SHORT) -> Iterator[None]:
    """Give small sections epochs of so few steps: for what does not depend on their number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "FEWEST_STEPS", steps)
        yield


def settings(**more) -> TrainingConfig:
    """Four epochs: two with blocks held out, two on everything. With `WHOLE`, all that a run does by default."""
    values = {"epochs": 2, "device": "cpu", "precision": "fp32", "ema": 0.8, "panel": 4, "mpp": 2.0, "views": 1}
    values |= {"landmarks": 48, "pretrain_steps": 0, "kernel_share": 0.8, "intervals": False}
    return TrainingConfig(**{"architecture": SMALL, **values, **more})


def events(run: Path) -> list[dict]:
    """The lines of a run's metrics, without one that is still being written."""
    path = run / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def losses(run: Path) -> dict[int, float]:
    """The last word on every step: a step that was taken again counts as it was then."""
    return {line["step"]: line["train_loss"] for line in events(run) if "train_loss" in line}


def scores(run: Path) -> dict[int, float]:
    return {line["epoch"]: line["val_pcc"] for line in events(run) if "val_pcc" in line}


def same_weights(a: Path, b: Path) -> bool:
    one, two = (load_model(run / "model").net.state_dict() for run in (a, b))
    return all(torch.equal(one[k], two[k]) for k in one)
