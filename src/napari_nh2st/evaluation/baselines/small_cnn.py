"""A small residual net trained on patches from scratch: the bar that NH2ST must clear."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from napari_nh2st.engine.device import choose_device, computing
from napari_nh2st.errors import Cancelled
from napari_nh2st.evaluation.baselines.baseline import Array, Baseline, Fitting, Predict, patches
from napari_nh2st.model.encoder import BasicBlock
from napari_nh2st.model.nh2st import normalise

if TYPE_CHECKING:
    from napari_nh2st.training.sections.section import Section

WIDTH = 32
EPOCHS, BATCH = 20, 32
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.05
JITTER = 0.1  # spread of each patch's colour gain and shift, in standard deviations of natural images


class SmallCnn(nn.Module):
    """Nine convolutions: a stem and four residual blocks of 32, 64, 128 and 256 channels.

    1,290,650 parameters for width 32 and 250 genes. Strided early: the blocks work at a quarter of the side or less.
    """

    def __init__(self, genes: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.blocks = nn.Sequential(*(BasicBlock(a, b, 1 if a == b else 2) for a, b in pairwise(widths)))
        self.head = nn.Linear(8 * width, genes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) normalised RGB -> (B, G) labels less their training mean."""
        maps = self.blocks(self.stem(x))  # (B, 8 width, S / 32, S / 32)
        out: Tensor = self.head(maps.mean(dim=(2, 3)))
        return out


def _turned(tiles: Tensor) -> Tensor:
    """Flip and turn each of (B, S, S, 3) patches."""
    out = torch.empty_like(tiles)
    for i, pose in enumerate(torch.randint(8, (len(tiles),)).tolist()):
        turned = torch.rot90(tiles[i], pose % 4, (0, 1))
        out[i] = turned.flip(1) if pose >= 4 else turned
    return out


def _jittered(x: Tensor) -> Tensor:
    """Change the colours of each of (B, 3, S, S) patches a little."""
    gain, shift = (JITTER * torch.randn(len(x), 3, 1, 1).to(x.device) for _ in range(2))
    return x * (1 + gain) + shift


def _train(net: SmallCnn, tiles: Tensor, labels: Tensor, fitting: Fitting) -> None:
    """AdamW over one cycle of the learning rate; `tiles` (n, S, S, 3) uint8, `labels` (n, G) centred."""
    device = next(net.parameters()).device
    steps = max(1, round(len(tiles) / BATCH))
    optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=EPOCHS * steps)
    net.train()
    for _ in range(EPOCHS):
        # Batches of nearly equal size: a last one of a single spot would upset the batch statistics.
        for some in torch.randperm(len(tiles)).tensor_split(steps):
            if fitting.cancelled():
                raise Cancelled("stopped while the small CNN was being trained")
            out = net(_jittered(normalise(_turned(tiles[some]).to(device))))
            loss = nn.functional.mse_loss(out, labels[some].to(device))
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()


def _fit(fitting: Fitting) -> Predict:
    device = choose_device(fitting.config.device)
    side, labels = fitting.card.patch, fitting.labels
    mean = labels.mean(axis=0, dtype=np.float64).astype(np.float32)
    tiles = torch.from_numpy(np.concatenate([patches(s, side) for s in fitting.sections]))
    with torch.random.fork_rng():
        torch.manual_seed(fitting.seed)
        net = SmallCnn(labels.shape[1], WIDTH).to(device)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        _train(net, tiles, torch.from_numpy(labels - mean), fitting)
    net.eval()

    @torch.inference_mode()
    def predict(section: Section) -> Array:
        """Mean over three views: as it is, mirrored left to right, mirrored top to bottom."""
        out = [np.zeros((0, len(mean)), dtype=np.float32)]
        tiles = patches(section, side)
        for i in range(0, len(tiles), BATCH):
            if fitting.cancelled():
                raise Cancelled("stopped while the small CNN was predicting")
            x = normalise(torch.from_numpy(tiles[i : i + BATCH]).to(device))
            with computing(device):
                views = torch.stack([net(x), net(x.flip(3)), net(x.flip(2))])
            out.append(views.mean(dim=0).cpu().numpy() + mean)
        return np.concatenate(out)

    return predict


SMALL_CNN = Baseline(
    name="small-cnn",
    about=(
        "A residual net of 9 convolutions and 1.3 million parameters, trained on the patches from scratch for 20 "
        "epochs, mean over three views (as it is and mirrored)."
    ),
    seeded=True,
    fit=_fit,
)
