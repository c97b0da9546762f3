"""Lightning's trainer and optimiser as every training here sets them up, and without its chatter."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only


def new_trainer(device: torch.device, precision: str, **more: Any) -> L.Trainer:
    """Make a trainer for one device.

    Parameters
    ----------
    precision : {"fp32", "bf16"}
    **more
        Of the `Trainer`'s own parameters.
    """
    one: Any = 1 if device.index is None else [device.index]
    settings = {
        "accelerator": {"cuda": "gpu"}.get(device.type, device.type),
        "devices": one,
        "precision": "bf16-mixed" if precision == "bf16" else "32-true",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(**(settings | more))


def one_cycle_adamw(
    parameters: Iterable[torch.nn.Parameter],
    learning_rate: float,
    weight_decay: float,
    steps: int,
    *,
    fused: bool | None = None,
) -> dict[str, Any]:
    """Make AdamW with a one-cycle schedule over all steps, as Lightning's `configure_optimizers` returns them."""
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, fused=fused)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        max_lr=learning_rate,
        total_steps=max(steps + 1, 10),  # a warm-up of no step at all divides by zero
        pct_start=0.2,
    )
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def is_first_process() -> bool:
    """Return whether this is the process that prepares and writes; others train along."""
    rank = getattr(rank_zero_only, "rank", 0) or 0
    return rank == 0 and os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")) == "0"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's banners and its advice about workers off a person's screen; warnings of ours stay."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning(\.|$)")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch(\.|$)")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
