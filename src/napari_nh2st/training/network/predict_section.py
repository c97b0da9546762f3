"""Prediction of a section whose pixels are in memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.engine.device import computing
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card
from napari_nh2st.model.nh2st import NH2ST, PaperNH2ST
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.embedded import EMBED_WINDOW
from napari_nh2st.training.data.windows import WindowCutter, cover
from napari_nh2st.training.network.network_module import NH2STModule
from napari_nh2st.training.sections.section import Section


def predict_section(net: NH2ST, section: Section, card: Card, config: TrainingConfig) -> npt.NDArray[np.float32]:
    """Predict every spot of a section from pixels in memory.

    Parameters
    ----------
    net : NH2ST
        Finished: it answers in label units.
    section : Section
        Its labels are not looked at.

    Returns
    -------
    (n, G) float32
        What the engine gives for the same slide in the precision of scores, within the rounding of its stored vectors.
    """
    zero = np.zeros(len(card.genes), dtype=np.float32)
    fitter = NH2STModule(net, config, 1, zero, zero + 1).eval()
    out = np.full((len(section.centres), len(card.genes)), np.nan, dtype=np.float32)
    blank = Section(**{**vars(section), "labels": np.zeros_like(out)})
    with torch.inference_mode(), computing(fitter.device):
        for window in cover(blank, np.arange(len(out)), WindowCutter(zero, zero + 1), card, EMBED_WINDOW):
            found = fitter.targets([window], window.pixels[None])
            target = found.embeddings[:, SELF]
            target = net.target_token(target) if isinstance(net, PaperNH2ST) else target
            hidden = net.hidden_vectors(target, found.embeddings, found.present)
            out[found.spots.numpy()] = net.decoder(hidden).float().numpy()
    return out
