"""Pretraining by contrast, on pixels that are in memory.

SimCLR, Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020: two crops of
one place, shifted, turned and stained a little differently, are to be embedded alike, and unlike crops of other places.
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

from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.errors import Cancelled
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.nh2st import normalise
from napari_nh2st.training.data.stain_jitter import stain_jitter
from napari_nh2st.training.pretraining.crops import CropPairs, Pixels
from napari_nh2st.training.pretraining.settings import PretrainSettings
from napari_nh2st.training.trainer import new_trainer, one_cycle_adamw, quiet

TEMPERATURE, JITTER = 0.2, 0.3
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.05
PROJECTION = 128


def pretrain_on(
    images: Sequence[Pixels],
    places: Sequence[npt.ArrayLike],
    settings: PretrainSettings,
    *,
    wander: Sequence[npt.ArrayLike] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> ResNet18:
    """Pretrain an encoder on pixels that are in memory; it needs no labels.

    The global random state of torch is left as it was.

    Parameters
    ----------
    images : sequence of (H, W, 3) uint8
        At the model's mpp, each at least 7 strides high and wide.
    places : sequence of (n, 2) arrays
        Tissue in each image, (x, y) in its pixels.
    settings : PretrainSettings
    wander : sequence of (n,) arrays, optional
        Model pixels by which each place is moved when it is drawn, so that tissue between the places is seen too.
    progress : callable
        Called with the steps done and all steps.
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
    pairs = CropPairs(images, places, settings, wander)
    return train_by_contrast(pairs, settings, PretrainProgress(settings.steps, progress, cancelled))


def train_by_contrast(pairs: CropPairs, settings: PretrainSettings, progress: PretrainProgress) -> ResNet18:
    """Train a new encoder on pairs of crops."""
    device = choose_device(settings.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), quiet():
        torch.manual_seed(settings.seed)
        encoder = ResNet18(settings.width, settings.stride, settings.blocks)
        module = ContrastModule(encoder, settings.steps)
        module.to(memory_format=torch.channels_last)
        precision = choose_precision(settings.precision, device)
        trainer = new_trainer(device, precision, max_epochs=1, callbacks=[progress])
        trainer.fit(module, DataLoader(pairs, batch_size=None))
    return module.encoder.cpu().eval()


def nt_xent(z: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Normalised temperature-scaled cross-entropy, equation 1 of Chen et al. 2020, in nats.

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
        """AdamW with a one-cycle schedule over all steps."""
        return one_cycle_adamw(self.parameters(), LEARNING_RATE, WEIGHT_DECAY, self.steps)


class PretrainProgress(Callback):
    """Keeps the losses, reports progress, and stops when asked."""

    def __init__(self, steps: int, progress: Callable[[int, int], None], cancelled: Callable[[], bool]) -> None:
        self.steps, self.progress, self.cancelled = steps, progress, cancelled
        self.losses: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report the start, from which the speed is measured."""
        self.progress(0, self.steps)

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Stop before the step."""
        if self.cancelled():
            raise Cancelled("stopped while the encoder was being pretrained: nothing was written")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss."""
        self.losses.append(float(outputs["loss"]))
        self.progress(len(self.losses), self.steps)
