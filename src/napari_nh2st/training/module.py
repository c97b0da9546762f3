"""The Lightning module: windows in, the loss out, held-out correlation after every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_nh2st import metrics
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.nh2st import NH2ST, ContextNH2ST, PaperNH2ST, loss_of, normalise
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data import Window, sample_cells


def stain_jitter(pixels: Tensor, spread: float) -> Tensor:
    """Scale and shift the optical density of each channel, each window for itself.

    Parameters
    ----------
    pixels : (B, S, S, 3) uint8
    spread : float
        Half-width of the uniform factor; the shift is a quarter of it.

    Returns
    -------
    (B, S, S, 3) float32 in 0..255
    """
    shape = (len(pixels), 1, 1, 3)
    factor = 1 + (torch.rand(shape, device=pixels.device) * 2 - 1) * spread
    shift = (torch.rand(shape, device=pixels.device) * 2 - 1) * spread / 4
    density = -torch.log((pixels.float() + 1) / 256)
    return (256 * torch.exp(-(density * factor + shift)) - 1).clamp(0, 255)


@dataclass
class Targets:
    """The targets of a batch of windows.

    Attributes
    ----------
    embeddings : (m, 9, C) or, for a patch encoder, (m, 9, C, 7, 7)
    present, known : (m, 9) bool
    labels : (m, 9, G)
    spots : (m,) int64
    """

    embeddings: Tensor
    present: Tensor
    known: Tensor
    labels: Tensor
    spots: Tensor

    @classmethod
    def of(cls, window: Window, embeddings: Tensor, inside: Tensor, keep: Tensor) -> Targets:
        """Keep some targets of a window; places outside it count as absent."""
        present = (window.present & inside)[keep]
        return cls(embeddings, present, window.known[keep], window.labels[keep], window.spots[keep])

    @classmethod
    def join(cls, parts: Sequence[Targets]) -> Targets:
        """Put the targets of several windows together."""
        return cls(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)))


class Fitter(L.LightningModule):
    """Trains a network on windows of tissue.

    Parameters
    ----------
    net : NH2ST
    config : TrainingConfig
    steps : int
        Optimiser steps in all, for the one-cycle schedule.
    mean, std : (G,) float32
        Of the training labels: labels are standardised, so that every gene weighs the same.
    stain : tuple of (G, rank) tensor and float, optional
        The decoder's columns for the stain head and the head's share, which a prediction adds to the learnt part.
    """

    def __init__(
        self,
        net: NH2ST,
        config: TrainingConfig,
        steps: int,
        mean: npt.NDArray[np.float32],
        std: npt.NDArray[np.float32],
        kernel: tuple[Tensor, float] | None = None,
        train_encoder: bool = True,
    ) -> None:
        super().__init__()
        self.net, self.config, self.steps = net, config, steps
        self.mean, self.std, self.kernel, self.train_encoder = mean, std, kernel, train_encoder
        self._held_out: dict[int, list[tuple[npt.NDArray[Any], ...]]] = {}
        self.train()  # the trainer keeps the modes it finds: a frozen encoder's batch statistics must not move

    @property
    def _arch(self) -> Architecture:
        return self.net.arch

    def targets(self, windows: list[Window], pixels: Tensor) -> Targets:
        """Encode a batch of windows and gather its targets; pixels (B, S, S, 3)."""
        images = normalise(pixels)
        return self._dense(windows, images) if self.net.dense else self._patches(windows, images)

    def _dense(self, windows: list[Window], images: Tensor) -> Targets:
        assert isinstance(self.net, ContextNH2ST)
        # Only the learnt part is trained: its steps need no stain statistics.
        with nullcontext() if self.train_encoder else torch.no_grad():
            maps = self.net.encode_learnt(images) if self.training else self.net.encode(images)
        last = maps.shape[-1] - 1
        parts = []
        for i, w in enumerate(windows):
            cells = w.centres / self._arch.stride - 3
            inside = ((cells >= 0) & (cells <= last)).all(-1)  # (m, 9): the place's whole patch lies in the window
            keep = inside[:, SELF]
            flat = sample_cells(maps[i : i + 1], cells[keep].reshape(1, -1, 2))[0]
            parts.append(Targets.of(w, flat.view(-1, 9, maps.shape[1]), inside, keep))
        return Targets.join(parts)

    def _patches(self, windows: list[Window], images: Tensor) -> Targets:
        """Encode each patch once, however many neighbourhoods it lies in."""
        patch = self._arch.patch
        budget = max(1, self.config.spots_per_step // len(windows))
        crops: list[Tensor] = []
        parts = []
        for image, w in zip(images, windows, strict=True):
            corners = (w.centres - patch / 2).round().long()
            inside = ((corners >= 0) & (corners <= image.shape[-1] - patch)).all(-1)
            keep = torch.nonzero(inside[:, SELF])[:, 0]
            if self.training:
                keep = keep[torch.randperm(len(keep), device=keep.device)[:budget]]
            corner = torch.where(inside[..., None], corners, corners[:, SELF : SELF + 1])[keep]
            unique, inverse = torch.unique(corner.reshape(-1, 2), dim=0, return_inverse=True)
            start = sum(map(len, crops))
            cut = [image[:, y : y + patch, x : x + patch] for x, y in unique.tolist()]
            crops.append(torch.stack(cut) if cut else image.new_zeros((0, 3, patch, patch)))
            parts.append(Targets.of(w, inverse.view(-1, 9) + start, inside, keep))
        out = Targets.join(parts)
        maps = self.net.encoder(torch.cat(crops).contiguous(memory_format=torch.channels_last))
        return replace(out, embeddings=maps[out.embeddings])

    def train(self, mode: bool = True) -> Fitter:
        """Switch to training or back; a frozen encoder keeps evaluating."""
        super().train(mode)
        if not self.train_encoder:
            self.net.encoder.eval()
        return self

    def training_step(self, batch: list[Window], batch_idx: int) -> Tensor | None:
        """One optimiser step over a few windows."""
        pixels = torch.stack([w.pixels for w in batch])
        if self.config.stain_jitter:
            pixels = stain_jitter(pixels, self.config.stain_jitter)
        found = self.targets(batch, pixels)
        if len(found.spots) < 2:
            return None
        out = self.net.branches(found.embeddings, found.present, found.labels, found.known)
        loss = loss_of(self.net, out, found.labels[:, SELF], self.config.spot_weight, self.config.near_weight)
        self.log("train_loss", loss, prog_bar=True, batch_size=len(found.spots))
        return loss

    def predict_window(self, window: Window) -> tuple[Tensor, Tensor, Tensor]:
        """Predict a window's targets from the image alone: spots (m,), truth and prediction (m, G), standardised."""
        found = self.targets([window], window.pixels[None])
        target = found.embeddings[:, SELF]
        if isinstance(self.net, PaperNH2ST):
            hidden = self.net.look(self.net.target_token(target), found.embeddings, found.present)
            return found.spots, found.labels[:, SELF], self.net.decoder(hidden).float()
        hidden = self.net.look(target, found.embeddings, found.present)
        predicted = self.net.learnt(hidden).float()
        if self.kernel is not None:
            rows, share = self.kernel
            answer = hidden[:, self._arch.hidden :].float() @ rows.to(hidden.device).T
            predicted = (1 - share) * predicted + share * answer
        return found.spots, found.labels[:, SELF], predicted

    def validation_step(self, batch: tuple[int, list[Window]], batch_idx: int) -> None:
        """Predict the held-out spots of one section, from images alone."""
        section, windows = batch
        for window in windows:
            spots, truth, predicted = self.predict_window(window)
            mean, std = (torch.from_numpy(a).to(predicted.device) for a in (self.mean, self.std))
            part = (spots, truth * std + mean, predicted * std + mean)
            self._held_out.setdefault(section, []).append(tuple(t.cpu().numpy() for t in part))

    def held_out(self) -> list[tuple[npt.NDArray[Any], ...]]:
        """Spots (n,), truth (n, G) and prediction (n, G) in label units, for each section's held-out block."""
        return [tuple(np.concatenate(p) for p in zip(*parts, strict=True)) for parts in self._held_out.values()]

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's predictions."""
        self._held_out = {}

    def on_validation_epoch_end(self) -> None:
        """Log the loss and the mean PCC, per gene and section, of the held-out blocks."""
        blocks = self.held_out()
        weight = np.array([len(spots) for spots, _, _ in blocks], dtype=float)
        pcc = np.average([metrics.pcc(t, p).per_gene.mean() for _, t, p in blocks], weights=weight)
        error = np.average([(((t - p) / self.std) ** 2).mean() for _, t, p in blocks], weights=weight)
        self.log("val_pcc", float(pcc), prog_bar=True)
        self.log("val_loss", float(error))

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle schedule over the whole run."""
        optimiser = torch.optim.AdamW(
            [p for p in self.net.parameters() if p.requires_grad],
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=self.config.learning_rate,
            total_steps=max(self.steps + 1, 10),  # a warm-up of no step at all divides by zero
            pct_start=0.2,
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move windows; Lightning does not know them."""
        if isinstance(batch, tuple):
            return batch[0], [_to(w, device) for w in batch[1]]
        return [_to(w, device) for w in batch]


def _to(window: Window, device: torch.device) -> Window:
    return Window(*(getattr(window, f.name).to(device, non_blocking=True) for f in fields(window)))
