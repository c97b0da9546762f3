"""Sheets and runs that the tests of this folder share. They are read only: a test that changes one makes its own."""

from pathlib import Path

import pytest

from napari_nh2st.training.data import batches
from napari_nh2st.training.finetune import finetune
from support.runs import settings
from support.sections import sheet

SHORT = 8
"""Steps of an epoch where no test asks for more."""


@pytest.fixture
def short_epochs(monkeypatch):
    """Epochs of few steps: for what does not depend on their number."""
    monkeypatch.setattr(batches, "FEWEST_STEPS", SHORT)


@pytest.fixture(scope="session")
def samples(tmp_path_factory) -> Path:
    """Two sections of 25 spots, of two patients."""
    return sheet(tmp_path_factory.mktemp("sheet"), ("S1", "P1", 1, 1000), ("S2", "P2", 2, 1000))


@pytest.fixture(scope="session")
def three_samples(tmp_path_factory) -> Path:
    """Three sections of 25 spots, two of them of one patient."""
    folder = tmp_path_factory.mktemp("three")
    return sheet(folder, ("S1", "P1", 1, 1000), ("S2", "P2", 2, 1000), ("S3", "P2", 3, 1000))


@pytest.fixture(scope="session")
def straight(tmp_path_factory, samples) -> Path:
    """The folder of a run that nothing disturbed: pretraining, a training with blocks held out, one on everything."""
    out = tmp_path_factory.mktemp("straight") / "r"
    finetune(samples, out, config=settings(pretrain_steps=2), seed=1, progress=False)
    return out
