"""The encoder that is not trained on expression, and what it sees of a section."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from napari_nh2st.errors import Cancelled
from napari_nh2st.evaluation.baselines.baseline import Array, Fitting, patches
from napari_nh2st.training.data import Section

if TYPE_CHECKING:
    from napari_nh2st.model.encoder import ResNet18

WIDTH, STRIDE, BLOCKS = 32, 16, 1
STEPS, QUICK_STEPS, BATCH = 150, 60, 64
_AT_ONCE = 32

# Two baselines share the encoder of a fitting; it goes when the fitting does.
_MADE: WeakKeyDictionary[Fitting, ResNet18] = WeakKeyDictionary()


def frozen_encoder(fitting: Fitting) -> ResNet18:
    """Make the frozen encoder: the one place that decides which it is.

    Returns
    -------
    ResNet18
        In evaluation mode. The encoder file that the settings name (`encoder_start`), or else one that is pretrained
        on the training sections' own tiles, spots and the places round them, without their labels.
    """
    start = getattr(fitting.config, "encoder_start", None)
    if start is not None:
        from napari_nh2st.model.encoder_file import load_encoder

        return load_encoder(start)
    return _pretrained_encoder(fitting)


def _pretrained_encoder(fitting: Fitting) -> ResNet18:
    from napari_nh2st.training.pretrain import pretrain_on

    # Neighbourhoods share places: each is taken once.
    tissue = [np.unique(np.round(s.centres[s.present]), axis=0) for s in fitting.sections]
    return pretrain_on(
        [s.pixels for s in fitting.sections],
        tissue,
        width=WIDTH,
        stride=STRIDE,
        blocks=BLOCKS,
        wander=fitting.card.pitch / 2,
        steps=QUICK_STEPS if fitting.quick else STEPS,
        batch=min(BATCH, sum(len(at) for at in tissue)),
        seed=fitting.seed,
        device=fitting.config.device,
        cancelled=fitting.cancelled,
    )


def embed(section: Section, fitting: Fitting) -> Array:
    """Show the frozen encoder the patch round every spot.

    Parameters
    ----------
    section : Section
    fitting : Fitting
        Its encoder is made on the first call and kept as long as the fitting.

    Returns
    -------
    (n, C) float32
        The mean over the feature map; its C channels.
    """
    import torch

    from napari_nh2st.model.nh2st import normalise

    if fitting not in _MADE:
        _MADE[fitting] = frozen_encoder(fitting)
    net = _MADE[fitting]
    tiles = patches(section, fitting.card.patch)
    out = np.zeros((len(tiles), net.channels), dtype=np.float32)
    with torch.inference_mode():
        for i in range(0, len(tiles), _AT_ONCE):
            _ask(fitting)
            maps = net(normalise(torch.from_numpy(tiles[i : i + _AT_ONCE])))
            out[i : i + _AT_ONCE] = maps.mean(dim=(2, 3)).numpy()
    return out


def _ask(fitting: Fitting) -> None:
    if fitting.cancelled():
        raise Cancelled("stopped while the frozen encoder was reading patches")
