"""One training, from its first step or last checkpoint to its end: what Lightning is told, what may go wrong."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from napari_nh2st.engine.device import choose_device, choose_precision
from napari_nh2st.errors import Nh2stError
from napari_nh2st.training.averaging import TrainedAverage
from napari_nh2st.training.callbacks import (
    MetricsFile,
    Reporter,
    StopWhenAsked,
    StopWhenNoBetter,
    Wishes,
    progress_bar,
)
from napari_nh2st.training.checkpoints import LAST, REFIT, CheckedFiles, Keep, next_epoch
from napari_nh2st.training.data import (
    Batches,
    TrainingWindows,
    WindowCutter,
    spots_a_step,
    spots_a_window,
    validation_windows,
    windows_a_step,
)
from napari_nh2st.training.embedded import LOOK_WINDOW, EmbeddedSpots, held_out_targets
from napari_nh2st.training.module import Fitter
from napari_nh2st.training.setup import Plan

# Targets that a step of the head has for each thread: its many small products wait longer for a second one that sleeps
# than that one saves (docs/performance.md).
SPOTS_A_THREAD = 64


@dataclass
class Stage:
    """One training of a run.

    Attributes
    ----------
    plan : Plan
    folder : Path
        For Lightning, and for checkpoints where they are kept.
    log : MetricsFile
    wishes : Wishes
    score : bool
        Score the held-out blocks after every epoch, keep the best, and end when it gets no better.
    checkpoints : bool
        Keep what a resumed run goes on from, and go on from what is there.
    epochs_behind, steps_behind : int
        Of the training before.
    last_epoch : int, optional
        Where to end, earlier than the settings say.
    progress : bool
        Show a bar.
    watch : sequence of Callback
        What else looks on.
    """

    plan: Plan
    folder: Path
    log: MetricsFile
    wishes: Wishes
    score: bool = False
    checkpoints: bool = True
    epochs_behind: int = 0
    steps_behind: int = 0
    last_epoch: int | None = None
    progress: bool = False
    watch: Sequence[Callback] = ()
    parts: int = field(default=1, init=False)

    @property
    def file(self) -> Path:
        """The checkpoint from which it goes on."""
        return self.folder / (LAST if self.score else REFIT)

    @property
    def _together(self) -> bool:
        return self.plan.config.devices * self.plan.config.nodes > 1

    @property
    def steps(self) -> int:
        """Optimiser steps of the schedule, whether or not it ends earlier."""
        return self.batches().steps * self.plan.config.epochs

    def batches(self) -> Batches:
        """Make the batches of an epoch."""
        plan, config = self.plan, self.plan.config
        cutter = WindowCutter(plan.mean, plan.std)
        spots = spots_a_step(sum(int((~s.held_out).sum()) for s in plan.sections))
        shared = (plan.seed, config.devices * config.nodes, self.parts)
        if plan.embedded is not None:
            return EmbeddedSpots(plan.sections, plan.embedded, cutter, config.spots_per_step or spots, *shared)
        each = sum(spots_a_window(s, config.window) for s in plan.sections) / len(plan.sections)
        batch = config.windows_per_step or windows_a_step(spots, each)
        return TrainingWindows(plan.sections, cutter, plan.card, config.window, batch, *shared)

    def held_out(self) -> list[tuple[int, Any]]:
        """Make the held-out spots of each section, numbered."""
        plan = self.plan
        cutter = WindowCutter(plan.mean, plan.std)
        if plan.embedded is not None:
            return list(enumerate(held_out_targets(plan.sections, plan.embedded, cutter)))
        return list(enumerate(validation_windows(plan.sections, cutter, plan.card, LOOK_WINDOW)))

    def run(self) -> tuple[Fitter, Keep, L.Trainer]:
        """Train; where memory does not hold a step, in smaller parts.

        Raises
        ------
        NotFinite
            The checkpoints of the epochs before stay.
        Nh2stError
            If memory does not hold a single window or spot.
        """
        module = self.plan.fitter(self.steps, 0 if self.score else 1)
        begin = {k: v.detach().clone() for k, v in module.state_dict().items()}
        while True:
            try:
                return module, *self._fit(module)
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
            if self._together:  # the others stand in the midst of the step
                raise Nh2stError("memory does not hold a step: lower windows_per_step, spots_per_step or window")
            batch = self.batches().batch
            if self.parts >= batch:
                raise Nh2stError("memory does not hold the smallest step: close other programs, or lower window")
            self.parts = min(2 * self.parts, batch)
            gc.collect()
            with suppress(RuntimeError):
                torch.cuda.empty_cache()
            module.cpu().load_state_dict(begin)
            self.log.say(note=f"out of memory: each step is now taken in {self.parts} parts", parts=self.parts)

    def _fit(self, module: Fitter) -> tuple[Keep, L.Trainer]:
        config, batches = self.plan.config, self.batches()
        keep = Keep(self.file, self.score)
        reporter = Reporter(self.log, self.epochs_behind, self.steps_behind)
        callbacks: list[Callback] = [reporter, *self.watch, StopWhenAsked(self.wishes)]
        callbacks += [StopWhenNoBetter(config.patience)] if self.score else []
        callbacks += [keep] if self.checkpoints else []
        callbacks += [TrainedAverage(config.ema)] if config.ema else []
        callbacks += [progress_bar()] if self.progress else []
        resumed = self.file if self.checkpoints and self.file.is_file() else None
        batches.epoch = 0 if resumed is None else next_epoch(resumed)
        trainer = self._trainer(callbacks)
        with _threads(torch.get_num_threads() if self.plan.embedded is None else batches.batch // SPOTS_A_THREAD):
            trainer.fit(
                module,
                DataLoader(batches, batch_size=None, collate_fn=_as_is),
                DataLoader(self.held_out(), batch_size=None, collate_fn=_as_is) if self.score else None,  # type: ignore[arg-type]
                ckpt_path=resumed,
                weights_only=True,
            )
        return keep, trainer

    def _trainer(self, callbacks: list[Callback]) -> L.Trainer:
        config = self.plan.config
        device = choose_device(config.device)
        epochs = config.epochs if self.last_epoch is None else min(config.epochs, self.last_epoch + 1)
        one: Any = 1 if device.index is None else [device.index]
        return L.Trainer(
            default_root_dir=self.folder,
            max_epochs=epochs,
            accelerator={"cuda": "gpu"}.get(device.type, device.type),
            devices=config.devices if self._together else one,
            num_nodes=config.nodes,
            # A step without measured neighbours leaves the weights of their contrastive loss unused.
            strategy="ddp_find_unused_parameters_true" if self._together else "auto",
            use_distributed_sampler=False,  # the batches know which are whose
            precision="bf16-mixed" if choose_precision(config.precision, device) == "bf16" else "32-true",
            callbacks=callbacks,
            plugins=[CheckedFiles()],
            logger=False,
            enable_progress_bar=self.progress,
            enable_checkpointing=self.checkpoints,
            enable_model_summary=False,
            gradient_clip_val=1.0,
            accumulate_grad_batches=self.parts,
            num_sanity_val_steps=0,
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


def _as_is(batch: Any) -> Any:
    return batch


def is_first() -> bool:
    """Tell whether this is the process that prepares and writes; others train along."""
    rank = getattr(rank_zero_only, "rank", 0) or 0
    return rank == 0 and os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")) == "0"


def _out_of_memory(error: BaseException) -> bool:
    words = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or ("memory" in words and "alloc" in words)
