"""Sections that a run only scores: which they are, and how the model of an epoch does on them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
from lightning.pytorch.callbacks import Callback

from napari_nh2st import metrics
from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data import Section, WindowCutter, load_section, validation_windows
from napari_nh2st.training.embedded import LOOK_WINDOW, Embedded, held_out_targets
from napari_nh2st.training.held_out_spots import HeldOut, HeldOutSection, some_of, write_held_out
from napari_nh2st.training.module import Fitter
from napari_nh2st.training.setup import Plan

# Seconds between two maps at least: of a head, epochs may take less than it takes to look at one.
WRITE_EVERY = 1.0


def split_samples(samples: Sequence[Sample], config: TrainingConfig) -> tuple[list[Sample], list[Sample]]:
    """Tell what a run learns from, and what it only scores.

    Returns
    -------
    train, held_out : list of Sample
        Each in the order of the sheet; nothing is held out where the settings name nothing: a block of each section
        is then. A patient that is held out is so with all sections.

    Raises
    ------
    SampleError
        If the settings name a sample or patient that the sheet does not have, or all of it.
    """
    sections, patients = config.hold_out_sections or [], config.hold_out_patients or []
    lacking = [f"sample {name}" for name in sections if name not in {s.sample for s in samples}]
    lacking += [f"patient {name}" for name in patients if name not in {s.patient for s in samples}]
    if lacking:
        names = ", ".join(f"{s.sample} (patient {s.patient})" for s in samples)
        raise SampleError(f"there is no {', '.join(lacking)} to hold out: the sheet has {names}")
    held_out = [s for s in samples if s.sample in sections or s.patient in patients]
    train = [s for s in samples if s not in held_out]
    if not train:
        raise SampleError("all sections are held out: leave at least one to train on")
    return train, held_out


@dataclass(eq=False)
class Apart:
    """Sections that are only scored, read in the geometry of the model in training.

    Attributes
    ----------
    samples : list of Sample
    sections : list of Section
        Labels are as wide as the panel; genes that were not measured in all of them are 0 there, and not in `genes`.
    genes : list of str
        Genes of the panel that were measured in all of them.
    embedded : list of Embedded or None
        What the encoder sees of them, where the head alone is trained.
    """

    samples: list[Sample]
    sections: list[Section]
    genes: list[str]
    embedded: list[Embedded] | None = None

    @classmethod
    def read(cls, samples: Sequence[Sample], card: Card) -> Apart:
        """Read them.

        Raises
        ------
        SampleError
            If none of the panel's genes were measured there, or as `load_section` does.
        """
        data = [read_expression(s) for s in samples]
        genes = [g for g in card.genes if all(g in d.var_names for d in data)]
        if samples and not genes:
            names = ", ".join(s.sample for s in samples)
            raise SampleError(f"none of the panel's genes were measured in the held-out {names}: do the names match?")
        narrow = card.model_copy(update={"genes": genes, "gene_means": None, "ensembl": None})
        sections = [load_section(s, d, narrow) for s, d in zip(samples, data, strict=True)]
        columns = [card.genes.index(g) for g in genes]
        for section in sections:
            measured, section.labels = section.labels, np.zeros((len(section.labels), len(card.genes)), np.float32)
            section.labels[:, columns] = measured
            section.held_out[:] = True
        return cls(list(samples), sections, genes)


class Watch(Callback):
    """Shows after an epoch how held-out spots are predicted, and scores the sections that are held out.

    What it scores is told and never asked: the best epoch is chosen on the inner blocks.

    Parameters
    ----------
    run : Path
        Its folder.
    plan : Plan
    apart : Apart
        Without sections, the blocks of the training sections are shown.
    """

    def __init__(self, run: Path, plan: Plan, apart: Apart) -> None:
        self.run, self.plan, self.apart = run, plan, apart
        self._written = float("-inf")

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Predict with the averaged weights, as the inner blocks were."""
        if not trainer.is_global_zero or not isinstance(pl_module, Fitter):
            return
        shown = self.blocks(pl_module) if not self.apart.sections else self._sections(pl_module)
        if not all(np.isfinite(s.predicted).all() for s in shown):
            return  # the run is about to say so
        if time.monotonic() - self._written >= WRITE_EVERY:
            self.write(shown, trainer.current_epoch)

    def write(self, shown: list[HeldOutSection], epoch: int) -> None:
        """Put it where the outside looks for it."""
        card, what = self.plan.card, "sections" if self.apart.sections else "blocks"
        genes = self.apart.genes if self.apart.sections else card.genes
        write_held_out(HeldOut(epoch, what, genes, card.unit, shown), self.run)  # type: ignore[arg-type]
        self._written = time.monotonic()

    def blocks(self, module: Fitter) -> list[HeldOutSection]:
        """Lay out the inner blocks as they were predicted last."""
        pairs = zip(self.plan.sections, module.held_out(), strict=True)
        return [shown_of(s, self.plan.card, *found) for s, found in pairs]

    def _sections(self, module: Fitter) -> list[HeldOutSection]:
        plan, apart = self.plan, self.apart
        columns, shown = [plan.card.genes.index(g) for g in apart.genes], []
        pcc, error, weight = [], [], []
        for section, predicted in zip(apart.sections, predict_apart(module, plan, apart), strict=True):
            truth, predicted = section.labels[:, columns], predicted[:, columns]
            pcc.append(metrics.pcc(truth, predicted).per_gene.mean())
            error.append((((truth - predicted) / plan.std[columns]) ** 2).mean())
            weight.append(len(truth))
            shown.append(shown_of(section, plan.card, np.arange(len(truth)), truth, predicted))
        found = {"test_pcc": np.average(pcc, weights=weight), "test_loss": np.average(error, weights=weight)}
        module.log_dict({k: float(v) for k, v in found.items()}, rank_zero_only=True)
        return shown


def predict_apart(module: Fitter, plan: Plan, apart: Apart) -> list[npt.NDArray[np.float32]]:
    """Predict every spot of the sections that are held out, (n, G) each, in label units."""
    cutter = WindowCutter(plan.mean, plan.std)
    if apart.embedded is not None:
        parts: Any = held_out_targets(apart.sections, apart.embedded, cutter)
    else:
        parts = validation_windows(apart.sections, cutter, plan.card, LOOK_WINDOW)
    out = []
    for section, of in zip(apart.sections, parts, strict=True):
        predicted = np.zeros_like(section.labels)
        for part in module.transfer_batch_to_device((0, of), module.device, 0)[1]:
            found, answer = module.predict_held_out(part)
            predicted[found.spots.cpu().numpy()] = answer.cpu().numpy() * plan.std + plan.mean
        out.append(predicted)
    return out


def shown_of(
    section: Section,
    card: Card,
    spots: npt.NDArray[np.int64],
    truth: npt.NDArray[np.float32],
    predicted: npt.NDArray[np.float32],
) -> HeldOutSection:
    """Lay out the held-out spots of a section, or some of them where they are very many."""
    scale = card.mpp / section.mpp
    xy = ((section.centres[:, SELF] + section.corner) * scale).astype(np.float32)
    some, others = some_of(len(spots)), np.flatnonzero(~section.held_out)
    around = xy[others[some_of(len(others))]]
    return HeldOutSection(section.name, card.pitch * scale, around, xy[spots[some]], truth[some], predicted[some])
