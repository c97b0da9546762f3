"""Prediction of a section whose pixels are in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.engine.device import computing
from napari_nh2st.model.card import Card
from napari_nh2st.model.nh2st import NH2ST
from napari_nh2st.training.data.data_module import to_device
from napari_nh2st.training.data.embedded import EMBED_WINDOW, embed_sample
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.data.windows import WindowCutter, cover
from napari_nh2st.training.network.encode_windows import encode_windows
from napari_nh2st.training.sections.section import Section


def predict_section(
    net: NH2ST, section: Section, card: Card, *, device: torch.device | str = "cpu"
) -> npt.NDArray[np.float32]:
    """Predict every spot of a section from pixels in memory.

    Parameters
    ----------
    net : NH2ST
        Finished: it answers in label units.
    section : Section
        Its labels are ignored.
    device : device
        Computes; the network goes back to where it was.

    Returns
    -------
    (n, G) float32
        What the engine gives for the same slide in the precision of scores, within the rounding of its stored vectors.
    """
    out = np.full((len(section.centres), len(card.genes)), np.nan, dtype=np.float32)
    blank = replace(section, labels=np.zeros_like(out))
    cutter = WindowCutter(LabelScale.none(len(card.genes)))
    home = next(net.parameters()).device
    centres = torch.from_numpy(section.micrometres(card.mpp)).float()  # (n, 2)
    sample = embed_sample(net, section, card, device=device).to(device) if "sample" in net.needs else None
    net.to(device).eval()
    with torch.inference_mode(), computing(torch.device(device)):
        for cut in cover(blank, np.arange(len(out)), cutter, card, EMBED_WINDOW):
            window = to_device(cut, torch.device(device))
            targets = encode_windows(net, [window], window.pixels[None])
            seen = replace(targets.seen, sample=sample, centres=centres[targets.spots.cpu()].to(device))
            hidden = net.hidden_vectors(seen)  # (m, hidden)
            out[targets.spots.cpu().numpy()] = net.decoder(hidden).float().cpu().numpy()
    net.to(home)
    return out
