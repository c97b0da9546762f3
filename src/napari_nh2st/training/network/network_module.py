"""The Lightning module: windows in, the loss out, held-out correlation after every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch import distributed as dist

from napari_nh2st import metrics
from napari_nh2st.engine.device import computing
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.nh2st import NH2ST, Branches, ContextNH2ST, PaperNH2ST, loss_of, normalise
from napari_nh2st.training.config import Train, TrainingConfig
from napari_nh2st.training.data.stain_jitter import stain_jitter
from napari_nh2st.training.data.targets import Targets, sample_cells
from napari_nh2st.training.data.windows import Window

Part = TypeVar("Part", Window, Targets)


# Targets of a step of a patch encoder, unless the settings say otherwise.
PATCH_SPOTS = 48


class NotFinite(Nh2stError):
    """The loss or the weights are no numbers any more."""


class NH2STModule(L.LightningModule):
    """Trains a network on windows of tissue, or on what its frozen encoder has seen of it.

    Parameters
    ----------
    net : NH2ST
    config : TrainingConfig
    steps : int
        Optimiser steps in all, for the one-cycle schedule.
    mean, std : (G,) float32
        Of the training labels: labels are standardised, so that every gene weighs the same.
    kernel : tuple of (G, rank) tensor and float, optional
        The decoder's columns for the kernel head and the head's share, which a prediction adds to the learnt part.
    train : {"everything", "last-blocks", "head"}
        What of the network is trained.
    names : sequence of str
        Of the sections, for what goes wrong.
    seed : sequence of int
        Each step's dropout and colours follow from it and the step alone, so that a resumed run goes on as if it had
        never been stopped.
    """

    def __init__(
        self,
        net: NH2ST,
        config: TrainingConfig,
        steps: int,
        mean: npt.NDArray[np.float32],
        std: npt.NDArray[np.float32],
        kernel: tuple[Tensor, float] | None = None,
        train: Train = "everything",
        names: Sequence[str] = (),
        seed: Sequence[int] = (0,),
    ) -> None:
        super().__init__()
        self.net, self.config, self.steps = net, config, steps
        self.mean, self.std, self.kernel = mean, std, kernel
        self.names, self.seed = names, list(seed)
        encoder = net.encoder
        early = [encoder.conv1, encoder.bn1, encoder.layer1, encoder.layer2, encoder.layer3]
        frozen: dict[Train, list[nn.Module]] = {"everything": [], "last-blocks": early, "head": [encoder]}
        self._frozen = frozen[train]
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
        maps = self.net.encode_learnt(images) if self.training else self.net.encode(images)
        last = torch.tensor([maps.shape[-1] - 1, maps.shape[-2] - 1], device=maps.device)
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
        budget = max(1, (self.config.spots_per_step or PATCH_SPOTS) // len(windows))
        crops: list[Tensor] = []
        parts = []
        for image, w in zip(images, windows, strict=True):
            corners = (w.centres - patch / 2).round().long()
            last = torch.tensor([image.shape[-1] - patch, image.shape[-2] - patch], device=image.device)
            inside = ((corners >= 0) & (corners <= last)).all(-1)
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

    def train(self, mode: bool = True) -> NH2STModule:
        """Switch to training or back; what is frozen keeps evaluating."""
        super().train(mode)
        for stage in self._frozen:
            stage.eval()
        return self

    def training_step(self, batch: list[Window] | Targets, batch_idx: int) -> dict[str, Any]:
        """One step over a few windows, or over targets whose embeddings are known; tells its loss and its targets."""
        self._seed_step(batch_idx)
        found = self.gather(batch)
        out = self.net.branches(found.embeddings, found.present, found.labels, found.known)
        loss = loss_of(self.net, out, found.labels[:, SELF], self.config.spot_weight, self.config.near_weight)
        self._check_finite(loss, found, out)
        self.log("train_loss", loss, prog_bar=True, batch_size=len(found.spots))
        return {"loss": loss, "spots": len(found.spots)}

    def _seed_step(self, batch_idx: int) -> None:
        seed = _mixed(*self.seed, batch_idx, self.global_step, self.global_rank)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes as long as a step of the head
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def gather(self, batch: list[Window] | Targets) -> Targets:
        """Encode the targets of a training batch, where that has not been done before."""
        if isinstance(batch, Targets):
            return batch
        pixels = torch.stack([w.pixels for w in batch])
        if self.config.stain_jitter:
            pixels = stain_jitter(pixels, self.config.stain_jitter)
        return self.targets(batch, pixels)

    def _check_finite(self, loss: Tensor, found: Targets, out: Branches) -> None:
        """Raise in all processes where the loss of one is no number: the others would wait for it without end."""
        wrong, together = not bool(torch.isfinite(loss)), dist.is_available() and dist.is_initialized()
        if not (self.trainer.strategy.reduce_boolean_decision(wrong, all=False) if together else wrong):
            return
        told = [f"the loss became {float(loss.detach()):g} at step {self.global_step + 1} {self._blame(found, out)}"]
        if together:
            told *= dist.get_world_size()
            dist.all_gather_object(told, told[0] if wrong else None)
        raise NotFinite(next(line for line in told if line))

    def _blame(self, found: Targets, out: Branches) -> str:
        """Name the sections whose targets are no numbers; all of the step's where it is none in particular."""
        apart = (out.prediction.float() - found.labels[:, SELF]).square().mean(1)
        bad = found.sections[~torch.isfinite(apart)]
        numbers = sorted(set((bad if len(bad) else found.sections).tolist()))
        named = ", ".join(self.names[i] if i < len(self.names) else str(i) for i in numbers)
        return f"in sample{'s' * (len(numbers) > 1)} {named}"

    def predict(self, found: Targets) -> Tensor:
        """Predict targets from the image alone, (m, G), standardised."""
        target = found.embeddings[:, SELF]
        if isinstance(self.net, PaperNH2ST):
            hidden = self.net.hidden_vectors(self.net.target_token(target), found.embeddings, found.present)
            out: Tensor = self.net.decoder(hidden).float()
            return out
        hidden = self.net.hidden_vectors(target, found.embeddings, found.present)
        predicted = self.net.learnt(hidden).float()
        if self.kernel is not None:
            rows, share = self.kernel
            answer = hidden[:, self._arch.hidden :].float() @ rows.to(hidden.device).T
            predicted = (1 - share) * predicted + share * answer
        return predicted

    def validation_step(self, batch: tuple[int, list[Window] | list[Targets]], batch_idx: int) -> None:
        """Predict the held-out spots of one section, from images alone."""
        section, parts = batch
        for part in parts:
            found, predicted = self.predict_held_out(part)
            mean, std = (torch.from_numpy(a).to(predicted.device) for a in (self.mean, self.std))
            told = (found.spots, found.labels[:, SELF] * std + mean, predicted * std + mean)
            self._held_out.setdefault(section, []).append(tuple(t.cpu().numpy() for t in told))

    def predict_held_out(self, part: Window | Targets) -> tuple[Targets, Tensor]:
        """Predict the held-out spots of a window, (m, G), standardised, in the precision of scores."""
        with computing(self.device):
            found = part if isinstance(part, Targets) else self.targets([part], part.pixels[None])
            return found, self.predict(found)

    def held_out(self) -> list[tuple[npt.NDArray[Any], ...]]:
        """Spots (n,), truth (n, G) and prediction (n, G) in label units, for each section's held-out block."""
        return [tuple(np.concatenate(p) for p in zip(*parts, strict=True)) for parts in self._held_out.values()]

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's predictions."""
        self._held_out = {}

    def on_validation_epoch_end(self) -> None:
        """Log the loss and the mean PCC, per gene and section, of the held-out blocks."""
        blocks = self.held_out()
        if not all(np.isfinite(predicted).all() for _, _, predicted in blocks):
            raise NotFinite(f"weights were no numbers any more after step {self.global_step}")
        weight = np.array([len(spots) for spots, _, _ in blocks], dtype=float)
        pcc = np.average([metrics.pcc(t, p).per_gene.mean() for _, t, p in blocks], weights=weight)
        error = np.average([(((t - p) / self.std) ** 2).mean() for _, t, p in blocks], weights=weight)
        # All processes score all held-out spots, and have to agree on which epoch was the best to the last digit.
        pcc, error = self.trainer.strategy.broadcast((float(pcc), float(error)))
        self.log("val_pcc", pcc, prog_bar=True)
        self.log("val_loss", error)

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle schedule over the whole run."""
        optimiser = torch.optim.AdamW(
            [p for p in self.net.parameters() if p.requires_grad],
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            fused=self.trainer.precision
            == "32-true",  # with mixed precision Lightning clips no gradients of a fused one
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=self.config.learning_rate,
            total_steps=max(self.steps + 1, 10),  # a warm-up of no step at all divides by zero
            pct_start=0.2,
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move windows and targets; Lightning does not know them."""
        if isinstance(batch, tuple):
            return batch[0], [_to(part, device) for part in batch[1]]
        return [_to(part, device) for part in batch] if isinstance(batch, list) else _to(batch, device)


def _to(part: Part, device: torch.device) -> Part:
    return type(part)(*(getattr(part, f.name).to(device, non_blocking=True) for f in fields(part)))


def _mixed(*numbers: int) -> int:
    """Make one seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
