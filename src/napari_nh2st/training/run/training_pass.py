"""One training, from its first step or last checkpoint to its end, and what may go wrong in it."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.out_of_memory import out_of_memory
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.errors import Nh2stError
from napari_nh2st.training.data.data_module import SectionDataModule
from napari_nh2st.training.network.averaging import TrainedAverage
from napari_nh2st.training.network.network_module import NH2STModule
from napari_nh2st.training.network.setup import TrainingSetup
from napari_nh2st.training.run.callbacks import Reporter, StopWhenAsked, StopWhenNoBetter, progress_bar
from napari_nh2st.training.run.checkpoints import CheckedFiles, EpochCheckpoints, next_epoch
from napari_nh2st.training.run.control import RunControl
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.trainer import new_trainer

# Targets that a step of the head has for each thread: its many small products wait longer for a second one that sleeps
# than that one saves (docs/performance.md).
SPOTS_A_THREAD = 64


@dataclass(frozen=True, eq=False)
class TrainedPass:
    """Result of a training.

    Attributes
    ----------
    module : NH2STModule
        With the weights of its last step.
    steps : int
        Optimiser steps.
    last_epoch, best_epoch : int
        -1 if no epoch was finished, or none scored.
    best_score : float
        Of the best epoch.
    """

    module: NH2STModule
    steps: int
    last_epoch: int
    best_epoch: int
    best_score: float


@dataclass
class TrainingPass:
    """One training of a run.

    Attributes
    ----------
    setup : TrainingSetup
    folder : RunFolder
        For checkpoints, where they are kept.
    control : RunControl
    score : bool
        Score the inner blocks after every epoch, keep the best, and end when it gets no better.
    checkpoints : bool
        Keep what a resumed run goes on from, and go on from what is there.
    before : tuple of int
        Epochs and steps of the training before.
    last_epoch : int, optional
        Where to end, earlier than the settings say.
    watch : sequence of Callback
        Further callbacks.
    """

    setup: TrainingSetup
    folder: RunFolder
    control: RunControl
    score: bool = False
    checkpoints: bool = True
    before: tuple[int, int] = (0, 0)
    last_epoch: int | None = None
    watch: Sequence[Callback] = ()

    def __post_init__(self) -> None:
        """Make the data module, which all attempts share."""
        self.data: SectionDataModule = self.setup.data_module()
        self.data.scored = self.score
        self.checkpoint = self.folder.last if self.score else self.folder.refit

    @property
    def _together(self) -> bool:
        return self.setup.config.devices * self.setup.config.nodes > 1

    @property
    def steps(self) -> int:
        """Optimiser steps of the schedule, whether or not it ends earlier."""
        return self.data.batches().steps * self.setup.config.epochs

    def run(self) -> TrainedPass:
        """Train; where memory does not hold a step, in smaller parts.

        Raises
        ------
        NotFinite
            The checkpoints of the epochs before stay.
        Nh2stError
            If memory does not hold a single window or spot.
        """
        module = NH2STModule(self.setup, self.steps, 0 if self.score else 1)
        begin = {k: v.detach().clone() for k, v in module.state_dict().items()}
        while True:
            try:
                return self._fit(module)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            self._halve_parts()
            module.cpu().load_state_dict(begin)

    def _halve_parts(self) -> None:
        """Take steps in parts half as large, or give up."""
        if self._together:  # the others stand in the midst of the step
            raise Nh2stError("memory does not hold a step: lower windows_per_step, spots_per_step or window")
        if self.data.parts >= self.data.batch_size:
            raise Nh2stError("memory does not hold the smallest step: close other programs, or lower window")
        parts = self.data.parts = min(2 * self.data.parts, self.data.batch_size)
        gc.collect()
        with suppress(RuntimeError):
            torch.cuda.empty_cache()
        self.control.log.say(note=f"out of memory: each step is now taken in {parts} parts", parts=parts)

    def _fit(self, module: NH2STModule) -> TrainedPass:
        resumed = self.checkpoint if self.checkpoints and self.checkpoint.is_file() else None
        self.data.epoch = 0 if resumed is None else next_epoch(resumed)
        kept = EpochCheckpoints(self.checkpoint, self.folder.best if self.score else None)
        trainer = self._trainer(self._callbacks(kept))
        embedded = self.setup.embedded is not None
        with _threads(self.data.batch_size // SPOTS_A_THREAD if embedded else torch.get_num_threads()):
            trainer.fit(module, datamodule=self.data, ckpt_path=resumed, weights_only=True)
        return TrainedPass(module, trainer.global_step, kept.last_epoch, kept.best_epoch, kept.best_score)

    def _callbacks(self, kept: EpochCheckpoints) -> list[Callback]:
        config, control = self.setup.config, self.control
        callbacks: list[Callback] = [Reporter(control.log, *self.before), *self.watch, StopWhenAsked(control.requests)]
        callbacks += [StopWhenNoBetter(config.patience)] if self.score else []
        callbacks += [kept] if self.checkpoints else []
        callbacks += [TrainedAverage(config.ema)] if config.ema else []
        callbacks += [progress_bar()] if control.show_bar else []
        return callbacks

    def _trainer(self, callbacks: list[Callback]) -> L.Trainer:
        config = self.setup.config
        device = choose_device(config.device)
        together: dict[str, Any] = {
            "devices": config.devices,
            "num_nodes": config.nodes,
            # A step without measured neighbours leaves the weights of their contrastive loss unused.
            "strategy": "ddp_find_unused_parameters_true",
        }
        return new_trainer(
            device,
            choose_precision(config.precision, device),
            default_root_dir=self.folder.checkpoints,
            max_epochs=config.epochs if self.last_epoch is None else min(config.epochs, self.last_epoch + 1),
            use_distributed_sampler=False,  # the batches know which are whose
            callbacks=callbacks,
            plugins=[CheckedFiles()],
            enable_progress_bar=self.control.show_bar,
            enable_checkpointing=self.checkpoints,
            gradient_clip_val=1.0,
            accumulate_grad_batches=self.data.parts,
            num_sanity_val_steps=0,
            **(together if self._together else {}),
        )


@contextmanager
def _threads(most: int) -> Iterator[None]:
    """Compute with no more threads than these, one at least."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, most)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
