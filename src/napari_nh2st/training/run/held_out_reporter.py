"""Held-out tissue after every epoch: how it is predicted, and how well."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback

from napari_nh2st import metrics
from napari_nh2st.training.data.data_module import to_device
from napari_nh2st.training.data.embedded import EmbeddedSection
from napari_nh2st.training.network.network_module import HeldOutBlock, NH2STModule
from napari_nh2st.training.network.setup import TrainingSetup
from napari_nh2st.training.run.held_out_prediction import (
    HeldOutPrediction,
    What,
    section_prediction,
    write_held_out,
)
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.sections.held_out_sections import HeldOutSections

# Seconds between two maps at least: of a head, epochs may take less than it takes to look at one.
WRITE_EVERY = 1.0


class HeldOutReporter(Callback):
    """Shows after an epoch how what is held out is predicted, and scores it: whole sections, or blocks of sections.

    These scores are reported and choose nothing: the inner blocks choose the best epoch.

    Parameters
    ----------
    folder : RunFolder
    training : TrainingSetup
    held_out : HeldOutSections
        Without sections, the scored blocks of the training sections are shown.
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
        self.folder, self.training, self.whole = folder, training, bool(held_out.sections)
        self.genes = held_out.genes if self.whole else training.card.genes
        apart = replace(training, sections=held_out.sections, embedded=None if embedded is None else list(embedded))
        self._data = (apart if self.whole else training).data_module()
        self._any = any(section.scored.any() for section in self._data.sections)
        self._written = float("-inf")

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Predict with the averaged weights, as the inner blocks were."""
        if not self._any or not trainer.is_global_zero or not isinstance(pl_module, NH2STModule):
            return
        blocks = self._predict(pl_module)
        if not all(np.isfinite(block.predicted).all() for block in blocks.values()):
            return  # the run is about to say so
        self._log(pl_module, blocks)
        if time.monotonic() - self._written >= WRITE_EVERY:
            self._write(blocks, trainer.current_epoch)

    def write_blocks(self, blocks: Mapping[int, HeldOutBlock], epoch: int) -> None:
        """Write how the blocks were predicted, unless whole sections are held out."""
        if blocks and not self.whole:
            self._write(blocks, epoch)

    def _write(self, blocks: Mapping[int, HeldOutBlock], epoch: int) -> None:
        card, columns, sections = self.training.card, self._columns, self._data.sections
        shown = [
            section_prediction(sections[i], card, b.spots, b.measured[:, columns], b.predicted[:, columns])
            for i, b in blocks.items()
        ]
        what: What = "sections" if self.whole else "blocks"
        write_held_out(HeldOutPrediction(epoch, what, self.genes, card.unit, shown), self.folder.path)
        self._written = time.monotonic()

    @property
    def _columns(self) -> list[int]:
        return [self.training.card.genes.index(gene) for gene in self.genes]

    def _log(self, module: NH2STModule, blocks: Mapping[int, HeldOutBlock]) -> None:
        """Log the mean PCC, per gene and section, and the loss."""
        columns = self._columns
        std, pcc, error, weight = self.training.scale.std[columns], [], [], []
        for block in blocks.values():
            truth, predicted = block.measured[:, columns], block.predicted[:, columns]  # (k, genes)
            pcc.append(metrics.pcc(truth, predicted).per_gene.mean())
            error.append((((truth - predicted) / std) ** 2).mean())
            weight.append(len(truth))
        scores = {"test_pcc": np.average(pcc, weights=weight), "test_loss": np.average(error, weights=weight)}
        module.log_dict({k: float(v) for k, v in scores.items()}, rank_zero_only=True)

    def _predict(self, module: NH2STModule) -> dict[int, HeldOutBlock]:
        """Predict what is held out, in label units."""
        out = {}
        for number, parts in self._data.to_score():
            labels, predicted = self._data.sections[number].labels, []
            for part in to_device(parts, module.device):
                targets, answer = module.predict_held_out(part)
                spots = targets.spots.cpu().numpy()
                restored = self.training.scale.restore(answer.cpu().numpy())
                predicted.append(HeldOutBlock(spots, labels[spots], restored))
            out[number] = HeldOutBlock.join(predicted)
        return out
