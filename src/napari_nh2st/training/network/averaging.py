"""The running average of what is trained: validated, kept in checkpoints, and what a training ends with."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class TrainedAverage(WeightAveraging):
    """Lightning's average, without copies of what is not trained: a frozen encoder, the kernel head.

    Parameters
    ----------
    decay : float
        Of the exponential average, per step.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Find what moves; let the average and the model share the rest."""
        average = self._average_model
        assert average is not None
        average.to(pl_module.device)  # it was copied before the model was moved there
        self._moving: list[tuple[Tensor, Tensor]] = []
        for ours, theirs in zip(average.module.modules(), pl_module.modules(), strict=True):
            pairs = [
                *zip(ours.parameters(recurse=False), theirs.parameters(recurse=False), strict=True),
                *zip(ours.buffers(recurse=False), theirs.buffers(recurse=False), strict=True),
            ]
            if any(p.requires_grad for p in theirs.parameters(recurse=False)):
                self._moving += [(a.detach(), b.detach()) for a, b in pairs]
            else:
                for a, b in pairs:
                    a.data = b.data

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the average on after an optimiser step; the first one is taken as it is."""
        average = self._average_model
        assert average is not None
        if trainer.global_step == self._latest_update_step:  # a part of a step
            return
        floats = [pair for pair in self._moving if pair[0].is_floating_point()]
        whole = [pair for pair in self._moving if not pair[0].is_floating_point()]
        if average.n_averaged == 0:
            floats, whole = [], self._moving
        for a, b in whole:
            a.copy_(b)
        if floats:
            mine, now = (list(each) for each in zip(*floats, strict=True))
            torch._foreach_lerp_(mine, now, 1 - self.decay)
        average.n_averaged += 1
        self._latest_update_step = trainer.global_step
