"""Labels in units of their own spread, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.training.sections.section import Section

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LabelScale:
    """Mean and standard deviation of the training labels; standardised by them, every gene weighs the same.

    Attributes
    ----------
    mean, std : (G,) float32
    """

    mean: Floats
    std: Floats

    @classmethod
    def of(cls, sections: Sequence[Section]) -> LabelScale:
        """Take those of all spots that are not held out."""
        labels = training_labels(sections)
        return cls(labels.mean(axis=0), labels.std(axis=0).clip(min=1e-3))

    @classmethod
    def none(cls, genes: int) -> LabelScale:
        """Leave labels as they are."""
        return cls(np.zeros(genes, dtype=np.float32), np.ones(genes, dtype=np.float32))

    def one_unit(self) -> LabelScale:
        """Measure all genes in one unit, so that their variances weigh them."""
        return LabelScale(self.mean, np.full_like(self.std, self.std.mean()))

    def standardise(self, labels: Floats) -> Floats:
        """(..., G) label units -> standardised."""
        scaled: Floats = (labels - self.mean) / self.std
        return scaled

    def restore(self, values: Floats) -> Floats:
        """(..., G) standardised -> label units."""
        labels: Floats = values * self.std + self.mean
        return labels

    def restore_tensor(self, values: torch.Tensor) -> torch.Tensor:
        """(..., G) standardised -> label units, on the device of `values`."""
        mean, std = (torch.from_numpy(a).to(values.device) for a in (self.mean, self.std))
        return values * std + mean


def training_labels(sections: Sequence[Section]) -> Floats:
    """Labels of all spots that are not held out, sections one after another, (n, G)."""
    return np.concatenate([s.labels[~s.held_out] for s in sections])
