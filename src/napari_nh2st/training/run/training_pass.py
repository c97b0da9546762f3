"""One training, from its first step or last checkpoint to its end: what Lightning is told, what may go wrong."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.errors import Nh2stError
from napari_nh2st.training.data.batches import Batches, spots_a_step, windows_a_step
from napari_nh2st.training.data.embedded import EMBED_WINDOW
from napari_nh2st.training.data.spot_batches import SpotBatches, held_out_targets
from napari_nh2st.training.data.window_batches import WindowBatches
from napari_nh2st.training.data.windows import WindowCutter, spots_a_window, validation_windows
from napari_nh2st.training.network.averaging import TrainedAverage
from napari_nh2st.training.network.network_module import NH2STModule
from napari_nh2st.training.network.setup import TrainingSetup
from napari_nh2st.training.run.callbacks import Reporter, StopWhenAsked, StopWhenNoBetter, progress_bar
from napari_nh2st.training.run.checkpoints import LAST, REFIT, CheckedFiles, EpochCheckpoints, next_epoch
from napari_nh2st.training.run.metrics_file import MetricsFile
from napari_nh2st.training.run.requests import RunRequests

# Targets that a step of the head has for each thread: its many small products wait longer for a second one that sleeps
# than that one saves (docs/performance.md).
SPOTS_A_THREAD = 64


@dataclass
class TrainingPass:
    """One training of a run.

    Attributes
    ----------
    setup : TrainingSetup
    folder : Path
        For Lightning, and for checkpoints where they are kept.
    log : MetricsFile
    requests : RunRequests
    score : bool
        Score the held-out blocks after every epoch, keep the best, and end when it gets no better.
    checkpoints : bool
        EpochCheckpoints what a resumed run goes on from, and go on from what is there.
    epochs_behind, steps_behind : int
        Of the training before.
    last_epoch : int, optional
        Where to end, earlier than the settings say.
    progress : bool
        Show a bar.
    watch : sequence of Callback
        What else looks on.
    """

    setup: TrainingSetup
    folder: Path
    log: MetricsFile
    requests: RunRequests
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
        return self.setup.config.devices * self.setup.config.nodes > 1

    @property
    def steps(self) -> int:
        """Optimiser steps of the schedule, whether or not it ends earlier."""
        return self.batches().steps * self.setup.config.epochs

    def batches(self) -> Batches:
        """Make the batches of an epoch."""
        setup, config = self.setup, self.setup.config
        cutter = WindowCutter(setup.mean, setup.std)
        spots = spots_a_step(sum(int((~s.held_out).sum()) for s in setup.sections))
        shared = (setup.seed, config.devices * config.nodes, self.parts)
        if setup.embedded is not None:
            return SpotBatches(setup.sections, setup.embedded, cutter, config.spots_per_step or spots, *shared)
        each = sum(spots_a_window(s, config.window) for s in setup.sections) / len(setup.sections)
        batch = config.windows_per_step or windows_a_step(spots, each)
        return WindowBatches(setup.sections, cutter, setup.card, config.window, batch, *shared)

    def held_out(self) -> list[tuple[int, Any]]:
        """Make the held-out spots of each section, numbered."""
        setup = self.setup
        cutter = WindowCutter(setup.mean, setup.std)
        if setup.embedded is not None:
            return list(enumerate(held_out_targets(setup.sections, setup.embedded, cutter)))
        return list(enumerate(validation_windows(setup.sections, cutter, setup.card, EMBED_WINDOW)))

    def run(self) -> tuple[NH2STModule, EpochCheckpoints, L.Trainer]:
        """Train; where memory does not hold a step, in smaller parts.

        Raises
        ------
        NotFinite
            The checkpoints of the epochs before stay.
        Nh2stError
            If memory does not hold a single window or spot.
        """
        module = self.setup.module(self.steps, 0 if self.score else 1)
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

    def _fit(self, module: NH2STModule) -> tuple[EpochCheckpoints, L.Trainer]:
        config, batches = self.setup.config, self.batches()
        keep = EpochCheckpoints(self.file, self.score)
        reporter = Reporter(self.log, self.epochs_behind, self.steps_behind)
        callbacks: list[Callback] = [reporter, *self.watch, StopWhenAsked(self.requests)]
        callbacks += [StopWhenNoBetter(config.patience)] if self.score else []
        callbacks += [keep] if self.checkpoints else []
        callbacks += [TrainedAverage(config.ema)] if config.ema else []
        callbacks += [progress_bar()] if self.progress else []
        resumed = self.file if self.checkpoints and self.file.is_file() else None
        batches.epoch = 0 if resumed is None else next_epoch(resumed)
        trainer = self._trainer(callbacks)
        with _threads(torch.get_num_threads() if self.setup.embedded is None else batches.batch // SPOTS_A_THREAD):
            trainer.fit(
                module,
                DataLoader(batches, batch_size=None, collate_fn=_as_is),
                DataLoader(self.held_out(), batch_size=None, collate_fn=_as_is) if self.score else None,  # type: ignore[arg-type]
                ckpt_path=resumed,
                weights_only=True,
            )
        return keep, trainer

    def _trainer(self, callbacks: list[Callback]) -> L.Trainer:
        config = self.setup.config
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


def _out_of_memory(error: BaseException) -> bool:
    words = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or ("memory" in words and "alloc" in words)
