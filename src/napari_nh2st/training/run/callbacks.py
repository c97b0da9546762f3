"""Callbacks of a training: what it reports, and when it ends."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, EarlyStopping, ProgressBar, TQDMProgressBar

from napari_nh2st.terminal import say
from napari_nh2st.training.run.memory import memory_mb
from napari_nh2st.training.run.metrics_file import MetricsFile
from napari_nh2st.training.run.requests import RunRequests

# Of the inner blocks, by which the best epoch is chosen; of held-out blocks or sections, which choose nothing.
FIGURES = ("val_loss", "val_pcc", "test_loss", "test_pcc")


class StopWhenAsked(Callback):
    """Ends the run after the current step, in all its processes."""

    def __init__(self, requests: RunRequests) -> None:
        self.requests = requests

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look for the files."""
        if trainer.strategy.reduce_boolean_decision(self.requests.should_stop(), all=False):
            self.requests.stop_asked = trainer.should_stop = True


class StopWhenNoBetter(EarlyStopping):
    """Ends a training whose score on the inner blocks has not risen for some epochs, and a resumed one at once."""

    def __init__(self, patience: int) -> None:
        super().__init__("val_pcc", patience=patience, mode="max", check_on_train_epoch_end=False)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember how it ended before."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class Reporter(Callback):
    """Writes the loss of every step, and of every epoch the held-out figures, the speed and the memory.

    Parameters
    ----------
    metrics : MetricsFile
    epochs, steps : int
        That the run has behind it: of the training before this one.
    """

    def __init__(self, metrics: MetricsFile, epochs: int = 0, steps: int = 0) -> None:
        self.metrics, self.epochs, self.steps = metrics, epochs, steps
        self._losses: list[float] = []
        self._spots = 0
        self._since = self._until = time.monotonic()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the epoch's clock."""
        if batch_idx == 0:
            self._spots, self._since = 0, time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the step's loss, the mean of its parts."""
        parts = trainer.accumulate_grad_batches
        self._losses.append(float(outputs["loss"]) * parts)  # Lightning gives each part's share
        self._spots += outputs["spots"] * trainer.world_size
        self._until = time.monotonic()
        if (batch_idx + 1) % parts == 0:
            loss, self._losses = sum(self._losses) / len(self._losses), []
            self.metrics.write(*self._at(trainer), train_loss=round(loss, 5))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the epoch's figures, unless it was stopped halfway."""
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        logged = trainer.callback_metrics
        values: dict[str, Any] = {k: round(float(logged[k]), 5) for k in FIGURES if k in logged}
        values["spots_per_second"] = round(self._spots / max(self._until - self._since, 1e-6), 1)
        values["memory_mb"] = round(memory_mb(pl_module.device)[1])
        self.metrics.write(*self._at(trainer), event="checkpoint", device=str(pl_module.device), **values)

    def _at(self, trainer: L.Trainer) -> tuple[int, int]:
        return self.steps + trainer.global_step, self.epochs + trainer.current_epoch


class EpochBar(TQDMProgressBar):
    """One bar for the whole run, on standard error, where a person looks at it."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """Leave out the version number that Lightning adds."""
        items = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)
        return items


class EpochLines(ProgressBar):
    """A line an epoch, on standard error, where it goes into a file."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write it."""
        logged = trainer.callback_metrics
        figures = {"training loss": "train_loss", "PCC on inner blocks": "val_pcc", "on what is held out": "test_pcc"}
        said = [f"{name} {float(logged[key]):.3f}" for name, key in figures.items() if key in logged]
        say(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: {', '.join(said)}")


def progress_bar() -> ProgressBar:
    """Choose between a bar and lines."""
    return EpochBar() if sys.stderr.isatty() else EpochLines()
