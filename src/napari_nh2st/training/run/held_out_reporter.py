"""Held-out tissue after every epoch: how it is predicted, and how well."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
from lightning.pytorch.callbacks import Callback

from napari_nh2st import metrics
from napari_nh2st.training.data.embedded import EMBED_WINDOW, EmbeddedSection
from napari_nh2st.training.data.spot_batches import held_out_targets
from napari_nh2st.training.data.windows import WindowCutter, validation_windows
from napari_nh2st.training.network.network_module import NH2STModule
from napari_nh2st.training.network.setup import TrainingSetup
from napari_nh2st.training.run.held_out_prediction import (
    HeldOutPrediction,
    SectionPrediction,
    section_prediction,
    write_held_out,
)
from napari_nh2st.training.sections.held_out_sections import HeldOutSections

# Seconds between two maps at least: of a head, epochs may take less than it takes to look at one.
WRITE_EVERY = 1.0


class HeldOutReporter(Callback):
    """Shows after an epoch how held-out spots are predicted, and scores the sections that are held out.

    What it scores is told and never asked: the best epoch is chosen on the inner blocks.

    Parameters
    ----------
    run : Path
        Its folder.
    setup : TrainingSetup
    held_out : HeldOutSections
        Without sections, the blocks of the training sections are shown.
    embedded : list of EmbeddedSection, optional
        What the encoder sees of them, where the head alone is trained.
    """

    def __init__(
        self,
        run: Path,
        setup: TrainingSetup,
        held_out: HeldOutSections,
        embedded: Sequence[EmbeddedSection] | None = None,
    ) -> None:
        self.run, self.training, self.held_out, self.embedded = run, setup, held_out, embedded
        self._written = float("-inf")

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Predict with the averaged weights, as the inner blocks were."""
        if not trainer.is_global_zero or not isinstance(pl_module, NH2STModule):
            return
        shown = self.blocks(pl_module) if not self.held_out.sections else self._sections(pl_module)
        if not all(np.isfinite(s.predicted).all() for s in shown):
            return  # the run is about to say so
        if time.monotonic() - self._written >= WRITE_EVERY:
            self.write(shown, trainer.current_epoch)

    def write(self, shown: list[SectionPrediction], epoch: int) -> None:
        """Put it where the outside looks for it."""
        card, what = self.training.card, "sections" if self.held_out.sections else "blocks"
        genes = self.held_out.genes if self.held_out.sections else card.genes
        write_held_out(HeldOutPrediction(epoch, what, genes, card.unit, shown), self.run)  # type: ignore[arg-type]
        self._written = time.monotonic()

    def blocks(self, module: NH2STModule) -> list[SectionPrediction]:
        """Lay out the inner blocks as they were predicted last."""
        pairs = zip(self.training.sections, module.held_out(), strict=True)
        return [section_prediction(s, self.training.card, *found) for s, found in pairs]

    def _sections(self, module: NH2STModule) -> list[SectionPrediction]:
        setup, held_out = self.training, self.held_out
        columns, shown = [setup.card.genes.index(g) for g in held_out.genes], []
        pcc, error, weight = [], [], []
        predictions = predict_held_out(module, setup, held_out, self.embedded)
        for section, predicted in zip(held_out.sections, predictions, strict=True):
            truth, predicted = section.labels[:, columns], predicted[:, columns]
            pcc.append(metrics.pcc(truth, predicted).per_gene.mean())
            error.append((((truth - predicted) / setup.std[columns]) ** 2).mean())
            weight.append(len(truth))
            shown.append(section_prediction(section, setup.card, np.arange(len(truth)), truth, predicted))
        found = {"test_pcc": np.average(pcc, weights=weight), "test_loss": np.average(error, weights=weight)}
        module.log_dict({k: float(v) for k, v in found.items()}, rank_zero_only=True)
        return shown


def predict_held_out(
    module: NH2STModule, setup: TrainingSetup, held_out: HeldOutSections, embedded: Sequence[EmbeddedSection] | None
) -> list[npt.NDArray[np.float32]]:
    """Predict every spot of the sections that are held out, (n, G) each, in label units."""
    cutter = WindowCutter(setup.mean, setup.std)
    if embedded is not None:
        parts: Any = held_out_targets(held_out.sections, embedded, cutter)
    else:
        parts = validation_windows(held_out.sections, cutter, setup.card, EMBED_WINDOW)
    out = []
    for section, of in zip(held_out.sections, parts, strict=True):
        predicted = np.zeros_like(section.labels)
        for part in module.transfer_batch_to_device((0, of), module.device, 0)[1]:
            found, answer = module.predict_held_out(part)
            predicted[found.spots.cpu().numpy()] = answer.cpu().numpy() * setup.std + setup.mean
        out.append(predicted)
    return out
