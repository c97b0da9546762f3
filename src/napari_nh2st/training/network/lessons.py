"""Lessons of the learnt head: what the kernel head leaves of the labels of each training spot.

Trained beside the kernel head, a network of a few hundred spots finds the same again, with more noise. Trained on what
is left, it adds to it (docs/results-tried.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.sections.section import Section

Floats = npt.NDArray[np.float32]

RANK = 20
"""Directions between genes in which what is left is learnt: in the others a few hundred spots hold noise."""


def lessons_of(
    sections: Sequence[Section], scale: LabelScale, labels: Floats, left: Floats, share: float
) -> list[Section]:
    """Give sections the labels that the learnt head is to learn.

    Parameters
    ----------
    sections : sequence of Section
        Held-out spots keep their labels.
    scale : LabelScale
    labels : (n, G)
        Standardised labels of the spots that are not held out, sections one after another.
    left : (n, G)
        Those less what the kernel head answers without the spot itself.
    share : float
        Of the kernel head's answer in the prediction.
    """
    wanted = low_rank((1 - share) * labels + share * left, RANK)
    learnt = [~section.held_out for section in sections]
    parts = np.split(wanted, np.cumsum([mask.sum() for mask in learnt])[:-1])
    out = []
    for section, mask, part in zip(sections, learnt, parts, strict=True):
        lesson = section.labels.copy()
        lesson[mask] = scale.restore(part)
        out.append(replace(section, labels=lesson))
    return out


def low_rank(values: Floats, rank: int) -> Floats:
    """Keep the main directions between genes, (n, G) -> the same."""
    _, _, directions = np.linalg.svd(values, full_matrices=False)
    kept = directions[:rank]
    out: Floats = (values @ kept.T @ kept).astype(np.float32)
    return out
