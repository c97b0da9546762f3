"""The folder of a run: the names of its files. Quick to import: neither Qt nor torch.

RUN/start.json, config.yaml    what the run was started with
RUN/environment.json           the machine and versions of the last start
RUN/metrics.jsonl              one line per step
RUN/held_out.safetensors       held-out spots as the last epoch predicts them
RUN/summary.json               the held-out figures, beside those of simpler models
RUN/model/                     the model, once there is one
RUN/stop                       asks for a stop that keeps the best model so far
RUN/pause                      holds the run after the current step, as long as it is there
RUN/lock                       which process writes just now
RUN/job.json, log.txt          the command and what it printed, where a window started it
RUN/checkpoints/               what a resumed run goes on from
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Paths of the files of a run.

    Attributes
    ----------
    path : Path
        It need not exist.
    """

    path: Path

    @property
    def metrics(self) -> Path:
        """One JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def stop(self) -> Path:
        """Asks for a stop by being there."""
        return self.path / "stop"

    @property
    def pause(self) -> Path:
        """Holds the run by being there."""
        return self.path / "pause"

    def forget_requests(self, before: float) -> None:
        """Remove the requests that were made before a moment (seconds since 1970): they were meant for another run."""
        for asked in (self.stop, self.pause):
            with suppress(OSError):
                if asked.stat().st_mtime < before:
                    asked.unlink()

    @property
    def model(self) -> Path:
        """The model folder."""
        return self.path / "model"

    @property
    def start(self) -> Path:
        """Base, seed and samples that the run was started with."""
        return self.path / "start.json"

    @property
    def config(self) -> Path:
        """Settings that the run was started with."""
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        """Versions, device and memory of the last start."""
        return self.path / "environment.json"

    @property
    def process(self) -> Path:
        """The process that was started last, and its command."""
        return self.path / "job.json"

    @property
    def log(self) -> Path:
        """Everything that the command printed."""
        return self.path / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """The folder of what a resumed run goes on from."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """Checkpoint of the best epoch of the first training."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """Checkpoint of the last epoch of the first training."""
        return self.checkpoints / "last.ckpt"

    @property
    def refit(self) -> Path:
        """Checkpoint of the last epoch of the second training."""
        return self.checkpoints / "refit.ckpt"

    @property
    def encoder(self) -> Path:
        """The pretrained encoder, which has not seen the blocks that are scored."""
        return self.checkpoints / "encoder.safetensors"

    @property
    def encoder_again(self) -> Path:
        """The encoder of the second training, pretrained on those blocks too."""
        return self.checkpoints / "encoder-again.safetensors"

    @property
    def learnt_share(self) -> Path:
        """The learnt head's share, as it was chosen."""
        return self.checkpoints / "learnt-share.json"

    @property
    def embedded(self) -> Path:
        """The sections that are trained on, as the encoder sees them."""
        return self.checkpoints / "embedded.safetensors"

    @property
    def embedded_again(self) -> Path:
        """The same sections, as the encoder of the second training sees them, where that is another one."""
        return self.checkpoints / "embedded-again.safetensors"

    @property
    def embedded_held_out(self) -> Path:
        """The sections that are held out, as the encoder sees them."""
        return self.checkpoints / "embedded-apart.safetensors"

    @property
    def measurements(self) -> Path:
        """Checksums of what is trained on."""
        return self.checkpoints / "measurements.json"

    @property
    def ready(self) -> Path:
        """There once the first process has prepared what all processes train on."""
        return self.checkpoints / "ready"

    @property
    def ready_again(self) -> Path:
        """There once it has done so for the second training."""
        return self.checkpoints / "ready-again"
