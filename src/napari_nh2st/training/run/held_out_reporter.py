"""Held-out tissue after every epoch: how it is predicted, and how well."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import lightning as L
import numpy as np
import numpy.typing as npt
from lightning.pytorch.callbacks import Callback

from napari_nh2st import metrics
from napari_nh2st.training.data.data_module import to_device
from napari_nh2st.training.data.embedded import EmbeddedSection
from napari_nh2st.training.network.network_module import HeldOutBlock, NH2STModule
from napari_nh2st.training.network.setup import TrainingSetup
from napari_nh2st.training.run.held_out_prediction import (
    HeldOutPrediction,
    SectionPrediction,
    section_prediction,
    write_held_out,
)
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.sections.held_out_sections import HeldOutSections

# Seconds between two maps at least: of a head, epochs may take less than it takes to look at one.
WRITE_EVERY = 1.0


class HeldOutReporter(Callback):
    """Shows after an epoch how held-out spots are predicted, and scores the sections that are held out.

    These scores are reported and choose nothing: the inner blocks choose the best epoch.

    Parameters
    ----------
    folder : RunFolder
    training : TrainingSetup
    held_out : HeldOutSections
        Without sections, the blocks of the training sections are shown.
    embedded : sequence of EmbeddedSection, optional
        The held-out sections as the encoder sees them, where the head alone is trained.
    """

    def __init__(
        self,
        folder: RunFolder,
        training: TrainingSetup,
        held_out: HeldOutSections,
        embedded: Sequence[EmbeddedSection] | None = None,
    ) -> None:
        self.folder, self.training, self.held_out = folder, training, held_out
        embeddings = None if embedded is None else list(embedded)
        self._data = replace(training, sections=held_out.sections, embedded=embeddings).data_module()
        self._written = float("-inf")

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Predict with the averaged weights, as the inner blocks were."""
        if not trainer.is_global_zero or not isinstance(pl_module, NH2STModule):
            return
        sections = self._scored(pl_module) if self.held_out.sections else self._blocks(pl_module.held_out())
        if not all(np.isfinite(s.predicted).all() for s in sections):
            return  # the run is about to say so
        if time.monotonic() - self._written >= WRITE_EVERY:
            self._write(sections, trainer.current_epoch)

    def write_blocks(self, blocks: Sequence[HeldOutBlock], epoch: int) -> None:
        """Write how the inner blocks were predicted, unless whole sections are held out."""
        if not self.held_out.sections:
            self._write(self._blocks(blocks), epoch)

    def _write(self, sections: list[SectionPrediction], epoch: int) -> None:
        card, whole = self.training.card, bool(self.held_out.sections)
        genes = self.held_out.genes if whole else card.genes
        prediction = HeldOutPrediction(epoch, "sections" if whole else "blocks", genes, card.unit, sections)
        write_held_out(prediction, self.folder.path)
        self._written = time.monotonic()

    def _blocks(self, blocks: Sequence[HeldOutBlock]) -> list[SectionPrediction]:
        pairs = zip(self.training.sections, blocks, strict=True)
        return [section_prediction(s, self.training.card, b.spots, b.measured, b.predicted) for s, b in pairs]

    def _scored(self, module: NH2STModule) -> list[SectionPrediction]:
        """Predict the held-out sections, and log how well."""
        card, held_out = self.training.card, self.held_out
        columns = [card.genes.index(g) for g in held_out.genes]
        std = self.training.scale.std[columns]
        sections, pcc, error, weight = [], [], [], []
        for section, predicted in zip(held_out.sections, self._predict(module), strict=True):
            truth, predicted = section.labels[:, columns], predicted[:, columns]  # (n, genes)
            pcc.append(metrics.pcc(truth, predicted).per_gene.mean())
            error.append((((truth - predicted) / std) ** 2).mean())
            weight.append(len(truth))
            sections.append(section_prediction(section, card, np.arange(len(truth)), truth, predicted))
        scores = {"test_pcc": np.average(pcc, weights=weight), "test_loss": np.average(error, weights=weight)}
        module.log_dict({k: float(v) for k, v in scores.items()}, rank_zero_only=True)
        return sections

    def _predict(self, module: NH2STModule) -> list[npt.NDArray[np.float32]]:
        """Predict every spot of the held-out sections, (n, G) each, in label units."""
        out = []
        for number, parts in self._data.held_out():
            predicted = np.zeros_like(self.held_out.sections[number].labels)
            for part in to_device(parts, module.device):
                targets, answer = module.predict_held_out(part)
                predicted[targets.spots.cpu().numpy()] = self.training.scale.restore(answer.cpu().numpy())
            out.append(predicted)
        return out
