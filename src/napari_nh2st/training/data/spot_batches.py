"""Batches of embedded spots, for training of the head alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.training.data.batches import Batches, StepPlan
from napari_nh2st.training.data.embedded import EmbeddedSection
from napari_nh2st.training.data.targets import Targets
from napari_nh2st.training.data.windows import WindowCutter
from napari_nh2st.training.sections.section import Section

# Held-out spots that are predicted together: of 30,000, what lies between the layers would take more than a gigabyte.
HELD_OUT_AT_ONCE = 1024


class SpotBatches(Batches):
    """Batches of spots in random order, each in one of its views: all of them before any comes again."""

    def __init__(
        self,
        sections: Sequence[Section],
        embedded: Sequence[EmbeddedSection],
        cutter: WindowCutter,
        step: StepPlan,
    ) -> None:
        super().__init__(step)
        self.sections, self.embedded, self.cutter = sections, embedded, cutter
        each = [np.flatnonzero(~s.held_out) for s in sections]
        which = np.repeat(np.arange(len(each)), [len(e) for e in each])
        self.index = np.stack([which, np.concatenate(each)], axis=1)  # (N, 2): section, spot

    def whole(self) -> float:
        """Count the spots."""
        return float(len(self.index))

    def draw(self, rng: np.random.Generator) -> Iterator[tuple[int, int, int]]:
        """Draw a section, a spot of it, and a view of the spot; the tissue as it is counts as one."""
        views = 1 + len(self.embedded[0].views)
        while True:
            for section, spot in rng.permutation(self.index).tolist():
                yield section, spot, int(rng.integers(views))

    def make(self, drawn: list[Any]) -> Targets:
        """Put their targets together."""
        number, spot, view = np.array(drawn, dtype=np.int64).T
        parts = []
        for i in np.unique(number).tolist():
            mine = number == i
            parts.append(targets_of(self.sections[i], self.embedded[i], self.cutter, spot[mine], view[mine]))
        return Targets.join(parts)


def targets_of(
    section: Section,
    embedded: EmbeddedSection,
    cutter: WindowCutter,
    spots: npt.NDArray[np.int64],
    view: npt.NDArray[np.int64] | None = None,
) -> Targets:
    """Make targets of spots: of the tissue as it is, or in these views as far as the learnt head reads it."""
    known, labels = cutter.labels(section, spots)
    at = torch.from_numpy(spots)
    embeddings = embedded.plain[at]
    if view is not None and len(embedded.views):
        embeddings = embeddings[..., : embedded.views.shape[-1]]
        varied = torch.from_numpy(np.flatnonzero(view))
        embeddings[varied] = embedded.views[torch.from_numpy(view)[varied] - 1, at[varied]].float()
    present, number = torch.from_numpy(section.present[spots]), torch.full((len(spots),), section.number)
    return Targets(
        embeddings, present, torch.from_numpy(known), torch.from_numpy(labels), at, number,
        centres=embedded.centres[at], sample=embedded.sample,
    )  # fmt: skip


def targets_in_parts(
    section: Section, embedded: EmbeddedSection, cutter: WindowCutter, spots: npt.NDArray[np.int64]
) -> list[Targets]:
    """Make the targets of some of a section's spots, (k,), in parts."""
    parts = np.array_split(spots, -(-len(spots) // HELD_OUT_AT_ONCE) or 1)
    return [targets_of(section, embedded, cutter, part) for part in parts]
