"""What a run tells the outside, and how the outside stops it: a metrics file and a stop file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, TQDMProgressBar

STOP = "stop"
METRICS = "metrics.jsonl"


class MetricsFile:
    """Appends one JSON object a line: `step`, `epoch`, and whatever else is known.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.step = self.epoch = 0
        self._started = time.monotonic()

    def write(self, step: int, epoch: int, **values: Any) -> None:
        """Append a line; `seconds` since the start is added. What was written last is kept in `step` and `epoch`."""
        self.step, self.epoch = step, epoch
        line = {"step": step, "epoch": epoch, "seconds": round(time.monotonic() - self._started, 2), **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class Reporter(Callback):
    """Writes the loss of every few steps, the held-out figures of every epoch, and each checkpoint.

    Parameters
    ----------
    metrics : MetricsFile
    epochs : int
        Epochs that the run has behind it: of the training before this one.
    """

    def __init__(self, metrics: MetricsFile, epochs: int = 0) -> None:
        self.metrics, self.epochs = metrics, epochs
        self._steps = metrics.step if epochs else 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the loss of every fifth step."""
        if trainer.global_step % 5 == 0 and isinstance(outputs, dict):
            step, epoch = self._steps + trainer.global_step, self.epochs + trainer.current_epoch
            self.metrics.write(step, epoch, train_loss=round(float(outputs["loss"]), 5))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the held-out figures."""
        known = trainer.callback_metrics
        if trainer.sanity_checking or "val_pcc" not in known:
            return
        values = {k: round(float(known[k]), 5) for k in ("val_loss", "val_pcc")}
        self.metrics.write(trainer.global_step, trainer.current_epoch, event="checkpoint", **values)


class StopWhenAsked(Callback):
    """Ends the run after the current step: for a file named `stop` in the run's folder, or when `cancelled` says so."""

    def __init__(self, run: Path, cancelled: Callable[[], bool]) -> None:
        self.file, self.cancelled = run / STOP, cancelled
        self.asked = False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look for the file."""
        if self.file.exists() or self.cancelled():
            self.asked = trainer.should_stop = True


class EpochBar(TQDMProgressBar):
    """One bar for the whole run, on standard error."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """Leave out the version number that Lightning adds."""
        items = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)
        return items
