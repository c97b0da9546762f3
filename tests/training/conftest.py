"""Sheets and runs that the tests of this folder share. They are read only: a test that changes one makes its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_nh2st.training.finetune import finetune
from support import runs
from support.runs import WHOLE, settings
from support.sections import sheet


@pytest.fixture
def short_epochs() -> Iterator[None]:
    """Epochs of few steps."""
    with runs.short_epochs():
        yield


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
    """The folder of a run that nothing disturbed: pretraining, a training with blocks held out, one on everything.

    Of short epochs: what is compared with it has them, too.
    """
    out = tmp_path_factory.mktemp("straight") / "r"
    with runs.short_epochs():
        finetune(samples, out, config=settings(pretrain_steps=2, **WHOLE), seed=1, progress=False)
    return out
