"""Pretraining on the tiles of measured sections."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from napari_nh2st.model.card import Architecture
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.pretraining.contrast import pretrain_on
from napari_nh2st.training.pretraining.settings import BATCH, PretrainSettings
from napari_nh2st.training.sections.section import Section


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

    It looks at no label. Sections that will be scored must not be among them, or it must be said.
    """
    # Neighbourhoods share places: each is taken once.
    tissue = [np.unique(np.round(s.centres[s.present]), axis=0) for s in sections]  # (places, 2) each
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
    return pretrain_on(images, tissue, settings, wander=arch.patch / 2, progress=progress, cancelled=cancelled)
