"""What a run tells the outside, and how the outside holds and stops it: a metrics file, a pause and a stop file."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, EarlyStopping, ProgressBar, TQDMProgressBar

from napari_nh2st.terminal import say
from napari_nh2st.training.memory import memory_mb

STOP, PAUSE = "stop", "pause"
METRICS = "metrics.jsonl"
# Of the inner blocks, by which the best epoch is chosen; of sections that are held out, which choose nothing.
FIGURES = ("val_loss", "val_pcc", "test_loss", "test_pcc")
_LOOK_AGAIN = 0.2  # seconds between two looks whether the pause file has gone


class MetricsFile:
    """Appends one JSON object a line: `step`, `epoch`, and whatever else is known.

    Parameters
    ----------
    path : Path or None
        None writes nothing: for the processes that train along with the one that does.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.step = self.epoch = 0
        self._started = time.monotonic()

    def write(self, step: int, epoch: int, **values: Any) -> None:
        """Append a line; `seconds` since the start is added. What was written last is kept in `step` and `epoch`."""
        self.step, self.epoch = step, epoch
        if self.path is None:
            return
        line = {"step": step, "epoch": epoch, "seconds": round(time.monotonic() - self._started, 2), **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def say(self, **values: Any) -> None:
        """Append a line, the run standing where it stood."""
        self.write(self.step, self.epoch, **values)


class Wishes:
    """What is asked of a run from outside: to stop, or to hold.

    Parameters
    ----------
    run : Path
        Its folder: a file named `stop` ends the run after the current step, one named `pause` holds it until it goes.
    cancelled : callable
        Asks for a stop as well.
    log : MetricsFile
    """

    def __init__(self, run: Path, cancelled: Callable[[], bool], log: MetricsFile) -> None:
        self._stop, self._pause, self.cancelled, self.log = run / STOP, run / PAUSE, cancelled, log
        self.asked = False

    def stop(self) -> bool:
        """Tell whether to stop; holds as long as the run is paused."""
        if self._pause.exists() and not self._stops():
            self.log.say(event="paused")
            while self._pause.exists() and not self._stops():
                time.sleep(_LOOK_AGAIN)
            self.log.say(event="resumed")
        self.asked = self.asked or self._stops()
        return self.asked

    def _stops(self) -> bool:
        return self.cancelled() or self._stop.exists()


class StopWhenAsked(Callback):
    """Ends the run after the current step, in all its processes."""

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look for the files."""
        if trainer.strategy.reduce_boolean_decision(self.wishes.stop(), all=False):
            self.wishes.asked = trainer.should_stop = True


class StopWhenNoBetter(EarlyStopping):
    """Ends a training whose score on the held-out blocks has not risen for some epochs, and a resumed one at once."""

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
        known = trainer.callback_metrics
        values: dict[str, Any] = {k: round(float(known[k]), 5) for k in FIGURES if k in known}
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
        known = trainer.callback_metrics
        figures = {"training loss": "train_loss", "held-out PCC": "val_pcc", "held-out sections": "test_pcc"}
        said = [f"{name} {float(known[key]):.3f}" for name, key in figures.items() if key in known]
        say(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: {', '.join(said)}")


def progress_bar() -> ProgressBar:
    """Choose between a bar and lines."""
    return EpochBar() if sys.stderr.isatty() else EpochLines()
