"""A training beside a run: without its folder, its figures or its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from napari_nh2st.errors import Cancelled
from napari_nh2st.training.network.network_module import NH2STModule
from napari_nh2st.training.network.setup import TrainingSetup
from napari_nh2st.training.run.control import RunControl
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.run.training_pass import TrainingPass
from napari_nh2st.training.trainer import quiet


def train_aside(setup: TrainingSetup, cancelled: Callable[[], bool], *, last_epoch: int | None = None) -> NH2STModule:
    """Train on the spots of a setup that are not held out, to the last epoch or an earlier one.

    Parameters
    ----------
    setup : TrainingSetup
    cancelled : callable
        Asked after every step.
    last_epoch : int, optional
        From 0.

    Raises
    ------
    Cancelled
    """
    with quiet(), TemporaryDirectory() as temporary:
        folder = RunFolder(Path(temporary))
        control = RunControl.of(folder, cancelled)
        module = TrainingPass(setup, folder, control, checkpoints=False, last_epoch=last_epoch).run().module
    if control.requests.stop_asked:
        raise Cancelled
    return module
