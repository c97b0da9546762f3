"""The data module: measured sections as the batches of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from napari_nh2st.model.card import Card
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.batches import Batches, StepPlan, embedded_a_step, spots_a_step, windows_a_step
from napari_nh2st.training.data.embedded import EMBED_WINDOW, EmbeddedSection
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.data.spot_batches import SpotBatches, targets_in_parts
from napari_nh2st.training.data.targets import Targets
from napari_nh2st.training.data.window_batches import WindowBatches
from napari_nh2st.training.data.windows import Window, WindowCutter, cover, spots_a_window
from napari_nh2st.training.sections.section import Section

Part = TypeVar("Part", Window, Targets)


class SectionDataModule(L.LightningDataModule):
    """Measured sections in batches: windows of tissue, or embedded spots where the head alone is trained.

    Parameters
    ----------
    sections : sequence of Section
    card : Card
    scale : LabelScale
    config : TrainingConfig
    seed : int
    embedded : sequence of EmbeddedSection, optional
        One for each section, where the head alone is trained.
    lessons : sequence of Section, optional
        The same sections with the labels that are learnt, where those are not what was measured.

    Attributes
    ----------
    epoch : int
        From which training goes on.
    parts : int
        Pieces in which a step is taken; more than one where memory does not hold it at once.
    scored : bool
        Whether the inner blocks are predicted after every epoch.
    """

    def __init__(
        self,
        sections: Sequence[Section],
        card: Card,
        scale: LabelScale,
        config: TrainingConfig,
        seed: int,
        *,
        embedded: Sequence[EmbeddedSection] | None = None,
        lessons: Sequence[Section] | None = None,
    ) -> None:
        super().__init__()
        self.sections, self.card, self.scale = list(sections), card, scale
        self.lessons = self.sections if lessons is None else list(lessons)
        self.config, self.seed = config, seed
        self.embedded = None if embedded is None else list(embedded)
        self.epoch, self.parts, self.scored = 0, 1, False
        self._cutter = WindowCutter(scale)

    @property
    def batch_size(self) -> int:
        """Spots that one process draws for a step where they are embedded; windows otherwise."""
        config, learnt = self.config, sum(int((~s.held_out).sum()) for s in self.sections)
        if self.embedded is not None:
            return config.spots_per_step or embedded_a_step(learnt)
        spots = spots_a_step(learnt)
        each = sum(spots_a_window(s, config.window) for s in self.sections) / len(self.sections)
        return config.windows_per_step or windows_a_step(spots, each)

    def batches(self) -> Batches:
        """Make the batches of an epoch."""
        config = self.config
        step = StepPlan(self.batch_size, self.seed, config.devices * config.nodes, self.parts)
        if self.embedded is not None:
            return SpotBatches(self.lessons, self.embedded, self._cutter, step)
        return WindowBatches(self.lessons, self._cutter, self.card, config.window, step)

    def inner(self) -> list[tuple[int, Any]]:
        """Return the number of each section, and its spots that choose the epoch, as windows or as targets."""
        return self._parts([s.inner for s in self.sections])

    def to_score(self) -> list[tuple[int, Any]]:
        """Return the number of each section that has some, and its spots that are reported, likewise."""
        return self._parts([s.scored for s in self.sections])

    def _parts(self, which: Sequence[npt.NDArray[np.bool_]]) -> list[tuple[int, Any]]:
        out: list[tuple[int, Any]] = []
        for number, (section, chosen) in enumerate(zip(self.sections, which, strict=True)):
            spots = np.flatnonzero(chosen)
            if not len(spots):
                continue
            if self.embedded is not None:
                out.append((number, targets_in_parts(section, self.embedded[number], self._cutter, spots)))
            else:
                out.append((number, cover(section, spots, self._cutter, self.card, EMBED_WINDOW)))
        return out

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of an epoch, as Lightning asks for them."""
        batches = self.batches()
        batches.epoch = self.epoch
        return DataLoader(batches, batch_size=None, collate_fn=_as_is)

    def val_dataloader(self) -> Any:
        """Inner blocks, section by section; none where nothing is scored."""
        return DataLoader(self.inner(), batch_size=None, collate_fn=_as_is) if self.scored else []  # type: ignore[arg-type]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move windows and targets; Lightning does not know them."""
        return to_device(batch, device)


def to_device(batch: Any, device: torch.device) -> Any:
    """Move a batch: windows, targets, or the numbered ones of a section."""
    if isinstance(batch, tuple):
        return batch[0], to_device(batch[1], device)
    return [_moved(part, device) for part in batch] if isinstance(batch, list) else _moved(batch, device)


def _moved(part: Part, device: torch.device) -> Part:
    if isinstance(part, Targets):
        return part.to(device)
    return type(part)(*(getattr(part, f.name).to(device, non_blocking=True) for f in fields(part)))


def _as_is(batch: Any) -> Any:
    return batch
