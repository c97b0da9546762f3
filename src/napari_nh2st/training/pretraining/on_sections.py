"""Pretraining on the tiles of measured sections."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.pretraining.contrast import pretrain_on
from napari_nh2st.training.pretraining.crops import crop_side
from napari_nh2st.training.pretraining.settings import BATCH, PretrainSettings
from napari_nh2st.training.sections.section import Section

FloatArray = npt.NDArray[np.float64]


def pretrain_on_sections(
    sections: Sequence[Section],
    arch: Architecture,
    config: TrainingConfig,
    seed: int,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ResNet18:
    """Pretrain an encoder by contrast on the tiles of sections, at their spots and the places round them.

    It looks at no label, and at no tissue of a block that will be scored. Sections that will be scored must not be
    among them, or it must be said.
    """
    side, shift = crop_side(arch.stride)
    apart = (side + arch.patch) / 2 + shift + 1  # a pixel, because corners are whole ones
    places = [tissue_apart(s, apart, arch.patch / 2) for s in sections]
    tissue, wander = [at for at, _ in places], [room for _, room in places]
    settings = PretrainSettings(
        width=arch.width,
        stride=arch.stride,
        blocks=arch.blocks,
        steps=config.pretrain_steps,
        batch=min(BATCH, sum(len(at) for at in tissue)),
        seed=seed,
        device=config.device,
        precision=config.precision,
    )
    images = [s.pixels for s in sections]
    return pretrain_on(images, tissue, settings, wander=wander, progress=progress, cancelled=cancelled)


def tissue_apart(section: Section, apart: float, wander: float) -> tuple[FloatArray, FloatArray]:
    """Find places of a section's tissue whose crops show nothing of the patches of spots that will be scored.

    Parameters
    ----------
    section : Section
    apart : float
        Model pixels, along x or y, from which a crop of a place can no longer touch the patch of a spot.
    wander : float
        By which a place may be moved at most.

    Returns
    -------
    places : (n, 2) float64
        (x, y) in the section's pixels. Neighbourhoods share places: each is there once.
    room : (n,) float64
        By which each may be moved.
    """
    places: FloatArray = np.unique(np.round(section.centres[section.present]), axis=0)
    if not section.scored.any():
        return places, np.full(len(places), wander)
    away = cKDTree(section.centres[section.scored, SELF]).query(places, p=np.inf)[0]
    free = away >= apart
    return places[free], (away[free] - apart).clip(max=wander)
