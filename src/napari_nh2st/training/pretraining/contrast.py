"""Pretrain the encoder on unlabelled tissue: slides in, an encoder file out.

SimCLR, Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020: two crops of
one place, shifted, turned and stained a little differently, shall be embedded alike, and unlike crops of other places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from napari_nh2st.engine.device import Precision, choose_device
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.errors import Cancelled
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.nh2st import normalise
from napari_nh2st.training.data.stain_jitter import stain_jitter
from napari_nh2st.training.pretraining.crops import CropPairs, Pixels
from napari_nh2st.training.trainer import quiet

STEPS, BATCH = 200, 64


TEMPERATURE, JITTER = 0.2, 0.3


LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.05


PROJECTION = 128


def nt_xent(z: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Give the normalised temperature-scaled cross-entropy, equation 1 of Chen et al. 2020, in nats.

    Parameters
    ----------
    z : (2 B, d)
        Rows i and B + i are two views of one place; every other row is another place.
    temperature : float
        Divides cosine similarities.

    Returns
    -------
    ()
        With every embedding equal it is ln(2 B - 1): collapse is never rewarded.
    """
    z = F.normalize(z.float(), dim=1)
    logits = z @ z.T / temperature
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z), device=z.device).roll(len(z) // 2))


class ContrastModule(L.LightningModule):
    """An encoder and the projection head that only pretraining needs."""

    def __init__(self, encoder: ResNet18, steps: int) -> None:
        super().__init__()
        self.encoder, self.steps = encoder, steps
        c = encoder.channels
        self.head = nn.Sequential(nn.Linear(c, c), nn.BatchNorm1d(c), nn.ReLU(), nn.Linear(c, PROJECTION))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """(2 B, S, S, 3) uint8 -> the loss."""
        maps = self.encoder(normalise(stain_jitter(batch, JITTER)))  # (2 B, C, 7, 7)
        return nt_xent(self.head(maps.mean(dim=(2, 3))))

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle schedule over the whole run."""
        optimiser = torch.optim.AdamW(self.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        steps = max(self.steps + 1, 10)  # a shorter cycle would divide by zero
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.2)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class PretrainProgress(Callback):
    """Keeps the losses, tells how far it is, and stops when asked."""

    def __init__(self, steps: int, progress: Callable[[int, int], None], cancelled: Callable[[], bool]) -> None:
        self.steps, self.progress, self.cancelled = steps, progress, cancelled
        self.losses: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of whoever shows it."""
        self.progress(0, self.steps)

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Stop before the step."""
        if self.cancelled():
            raise Cancelled("stopped while the encoder was being pretrained: nothing was written")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take down the loss."""
        self.losses.append(float(outputs["loss"]))
        self.progress(len(self.losses), self.steps)


def _silent(*_: Any) -> None:
    pass


def _never() -> bool:
    return False


def pretrain_on(
    images: Sequence[Pixels],
    places: Sequence[npt.ArrayLike],
    *,
    width: int = 32,
    stride: int = 16,
    blocks: int = 1,
    wander: float = 0.0,
    steps: int = STEPS,
    batch: int = BATCH,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    progress: Callable[[int, int], None] = _silent,
    cancelled: Callable[[], bool] = _never,
) -> ResNet18:
    """Pretrain an encoder on pixels that are in memory; no label is asked for.

    Parameters
    ----------
    images : sequence of (H, W, 3) uint8
        At the model's mpp, each at least 7 strides high and wide.
    places : sequence of (n, 2) arrays
        Tissue in each image, (x, y) in its pixels.
    width, stride, blocks : int
        Of the `ResNet18`.
    wander : float
        Model pixels by which a place is moved each time it is drawn, so that tissue between the places is seen too.
    steps, batch : int
        Optimiser steps; places in each, two crops of each.
    seed : int
        The global random state of torch is left as it was.
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "fp32", "bf16"}
    progress : callable
        Told the steps done and the steps in all.
    cancelled : callable
        Asked before every step.

    Returns
    -------
    ResNet18
        In eval mode on the CPU.

    Raises
    ------
    Cancelled
        When `cancelled` says so.
    Nh2stError
        If there are fewer places than a batch takes.
    """
    crops = CropPairs(images, places, stride, steps, batch, seed, wander)
    chosen, watch = choose_device(device), PretrainProgress(steps, progress, cancelled)
    return train_by_contrast(crops, (width, stride, blocks), chosen, choose_precision(precision, chosen), watch)


def train_by_contrast(
    crops: CropPairs, shape: tuple[int, int, int], device: torch.device, precision: str, watch: PretrainProgress
) -> ResNet18:
    """Train an encoder of this width, stride and depth on pairs of crops."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), quiet():
        torch.manual_seed(crops.seed)
        module = ContrastModule(ResNet18(*shape), crops.steps)
        module.to(memory_format=torch.channels_last)
        trainer = L.Trainer(
            max_epochs=1,
            accelerator={"cuda": "gpu"}.get(device.type, device.type),
            devices=1 if device.index is None else [device.index],
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            callbacks=[watch],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, DataLoader(crops, batch_size=None))
    return module.encoder.cpu().eval()
