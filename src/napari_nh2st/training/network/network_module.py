"""The network module: a batch in, the loss out; held-out correlation after every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
from napari_nh2st.model.nh2st import NH2ST
from napari_nh2st.training.config import Train
from napari_nh2st.training.data.mixup import mix
from napari_nh2st.training.data.spot_weights import spot_weights
from napari_nh2st.training.data.stain_jitter import stain_jitter
from napari_nh2st.training.data.targets import Targets
from napari_nh2st.training.data.windows import Window
from napari_nh2st.training.network.encode_windows import encode_windows
from napari_nh2st.training.network.regression import LOSSES
from napari_nh2st.training.network.setup import TrainingSetup
from napari_nh2st.training.objectives.objective import Step
from napari_nh2st.training.trainer import one_cycle_adamw

# Targets of a step of a patch encoder, unless the settings say otherwise.
PATCH_SPOTS = 48


class NotFinite(Nh2stError):
    """The loss or the weights are no numbers any more."""


@dataclass(frozen=True, eq=False)
class HeldOutBlock:
    """The held-out spots of a section: measured and predicted, in label units.

    Attributes
    ----------
    spots : (k,) int64
        Which spots of the section.
    measured, predicted : (k, G) float32
    """

    spots: npt.NDArray[np.int64]
    measured: npt.NDArray[np.float32]
    predicted: npt.NDArray[np.float32]

    @classmethod
    def join(cls, parts: list[HeldOutBlock]) -> HeldOutBlock:
        """Put the parts of a section together, spots in the order of the section."""
        spots, measured, predicted = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("spots", "measured", "predicted")
        )
        order = np.argsort(spots)
        return cls(spots[order], measured[order], predicted[order])


class NH2STModule(L.LightningModule):
    """Trains a network on windows of tissue, or on embedded spots.

    Parameters
    ----------
    setup : TrainingSetup
    steps : int
        Optimiser steps in all, for the one-cycle schedule.
    training : int
        A run's first training is 0, its second 1. Each step's dropout and colours follow from this, the seed and the
        step alone, so that a resumed run goes on as if it had never been stopped.
    """

    weights: Tensor

    def __init__(self, setup: TrainingSetup, steps: int, training: int = 0) -> None:
        super().__init__()
        self.net, self.config, self.steps = setup.net, setup.config, steps
        self.objectives = setup.objectives
        mixes = setup.embedded is not None and setup.card.target.loss == "squared-error"
        self.mixup = setup.config.mixup if mixes else 0.0
        each = [torch.from_numpy(spot_weights(s, setup.config.weigh_spots)).float() for s in setup.sections]
        weights = nn.utils.rnn.pad_sequence(each, batch_first=True)  # (sections, spots)
        self.register_buffer("weights", weights, persistent=False)
        self.scale, self.kernel = setup.scale, setup.kernel
        self.fit = LOSSES[setup.card.target.loss](setup.card, setup.scale, setup.sections)
        self.names, self.seed = [s.name for s in setup.sections], (setup.seed, training)
        self._frozen = _frozen(setup.net, setup.train)
        self._held_out: dict[int, list[HeldOutBlock]] = {}
        self.train()  # the trainer keeps the modes it finds: a frozen encoder's batch statistics must not move

    def train(self, mode: bool = True) -> NH2STModule:
        """Switch to training or back; what is frozen keeps evaluating."""
        super().train(mode)
        for stage in self._frozen:
            stage.eval()
        return self

    def training_step(self, batch: list[Window] | Targets, batch_idx: int) -> dict[str, Any]:
        """One step over a few windows, or over embedded spots; returns the loss and the number of targets."""
        self._seed_step(batch_idx)
        gathered = self.gather(batch)  # embeddings (m, 9, C), labels (m, 9, G)
        targets = mix(gathered, self.mixup) if self.mixup and len(gathered.spots) > 1 else gathered
        loss, prediction = self.loss(targets)
        self._check_finite(loss, gathered, prediction)
        self.log("train_loss", loss, prog_bar=True, batch_size=len(targets.spots))
        return {"loss": loss, "spots": len(targets.spots)}

    def loss(self, targets: Targets) -> tuple[Tensor, Tensor]:
        """Return the loss of the target's fit and what the objectives add, and the learnt head's prediction (m, G)."""
        hidden, tokens = self.net.look(targets.seen)
        prediction = self.net.learnt(hidden)
        own = prediction.float(), targets.labels[:, SELF]
        loss = self.fit(*own, targets.sections, targets.spots, self._weights(targets))
        if len(self.objectives):
            step = Step(
                tokens, hidden, prediction, self.net.learnt, targets.labels, targets.known, targets.present,
                targets.sections,
            )  # fmt: skip
            for objective in self.objectives.values():
                loss = loss + objective(step)
        return loss, prediction

    def _weights(self, targets: Targets) -> Tensor:
        """Return the weight of each target's error, (m,)."""
        return self.weights[targets.sections, targets.spots]

    def _seed_step(self, batch_idx: int) -> None:
        seed = _mixed(*self.seed, batch_idx, self.global_step, self.global_rank)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes as long as a step of the head
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def gather(self, batch: list[Window] | Targets) -> Targets:
        """Encode the targets of a training batch, unless they are embedded already."""
        if isinstance(batch, Targets):
            return batch
        pixels = torch.stack([w.pixels for w in batch])  # (B, S, S, 3)
        if self.config.stain_jitter:
            pixels = stain_jitter(pixels, self.config.stain_jitter)
        return encode_windows(self.net, batch, pixels, self.config.spots_per_step or PATCH_SPOTS)

    def _check_finite(self, loss: Tensor, targets: Targets, prediction: Tensor) -> None:
        """Raise in all processes where the loss of one is no number: the others would wait for it without end."""
        wrong, together = not bool(torch.isfinite(loss)), dist.is_available() and dist.is_initialized()
        if not (self.trainer.strategy.reduce_boolean_decision(wrong, all=False) if together else wrong):
            return
        blame = self._blame(targets, prediction)
        reasons = [f"the loss became {float(loss.detach()):g} at step {self.global_step + 1} {blame}"]
        if together:
            reasons *= dist.get_world_size()
            dist.all_gather_object(reasons, reasons[0] if wrong else None)
        raise NotFinite(next(reason for reason in reasons if reason))

    def _blame(self, targets: Targets, prediction: Tensor) -> str:
        """Name the sections whose targets are no numbers; all of the step's where it is none in particular."""
        error = (prediction.float() - targets.labels[:, SELF]).square().mean(1)
        seen = targets.embeddings.flatten(1).float().sum(1)  # first: a target is mixed with others
        bad = next(
            (b for b in (targets.sections[~torch.isfinite(x)] for x in (seen, error)) if len(b)), targets.sections
        )
        numbers = sorted(set(bad.tolist()))
        return f"in sample{'s' * (len(numbers) > 1)} {', '.join(self.names[i] for i in numbers)}"

    def predict(self, targets: Targets) -> Tensor:
        """Predict targets from the image alone, (m, G), standardised."""
        hidden = self.net.hidden_vectors(targets.seen)
        predicted = self.net.learnt(hidden).float()
        if self.kernel is not None:
            answer = hidden[:, self.net.arch.hidden :].float() @ self.kernel.columns.to(hidden.device).T
            predicted = self.kernel.learnt * predicted + self.kernel.share * answer
        return predicted

    def validation_step(self, batch: tuple[int, list[Window] | list[Targets]], batch_idx: int) -> None:
        """Predict the held-out spots of one section, from images alone."""
        section, parts = batch
        for part in parts:
            targets, predicted = self.predict_held_out(part)
            measured, predicted = (self.scale.restore_tensor(t) for t in (targets.labels[:, SELF], predicted))
            block = HeldOutBlock(*(t.cpu().numpy() for t in (targets.spots, measured, predicted)))
            self._held_out.setdefault(section, []).append(block)

    def predict_held_out(self, part: Window | Targets) -> tuple[Targets, Tensor]:
        """Predict the held-out spots of a window, (m, G), standardised, in the precision of scores."""
        with computing(self.device):
            targets = part if isinstance(part, Targets) else encode_windows(self.net, [part], part.pixels[None])
            return targets, self.predict(targets)

    def held_out(self) -> dict[int, HeldOutBlock]:
        """Each section's held-out spots as they were predicted last, by the number of the section."""
        return {section: HeldOutBlock.join(parts) for section, parts in self._held_out.items()}

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's predictions."""
        self._held_out = {}

    def on_validation_epoch_end(self) -> None:
        """Log the loss and the mean PCC, per gene and section, of the inner blocks."""
        blocks = list(self.held_out().values())
        if not all(np.isfinite(b.predicted).all() for b in blocks):
            raise NotFinite(f"weights were no numbers any more after step {self.global_step}")
        weight = np.array([len(b.spots) for b in blocks], dtype=float)
        pcc = np.average([metrics.pcc(b.measured, b.predicted).per_gene.mean() for b in blocks], weights=weight)
        errors = [(((b.measured - b.predicted) / self.scale.std) ** 2).mean() for b in blocks]
        error = np.average(errors, weights=weight)
        # All processes score all inner blocks, and have to agree on which epoch was the best to the last digit.
        pcc, error = self.trainer.strategy.broadcast((float(pcc), float(error)))
        self.log("val_pcc", pcc, prog_bar=True)
        self.log("val_loss", error)

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle schedule over the whole run."""
        learnt = [p for part in (self.net, self.objectives) for p in part.parameters() if p.requires_grad]
        # With mixed precision, Lightning clips no gradients of a fused optimiser.
        fused = self.trainer.precision == "32-true"
        return one_cycle_adamw(learnt, self.config.rate, self.config.weight_decay, self.steps, fused=fused)


def _frozen(net: NH2ST, train: Train) -> list[nn.Module]:
    """Parts of a network that keep evaluating while the rest is trained."""
    encoder = net.encoder
    early = [encoder.conv1, encoder.bn1, encoder.layer1, encoder.layer2, encoder.layer3]
    frozen: dict[Train, list[nn.Module]] = {"everything": [], "last-blocks": early, "head": [encoder]}
    return frozen[train]


def _mixed(*numbers: int) -> int:
    """Make one seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
