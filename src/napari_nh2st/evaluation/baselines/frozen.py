"""The encoder that is not trained on expression, and its embeddings of a section."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from napari_nh2st.errors import Cancelled
from napari_nh2st.evaluation.baselines.baseline import Array, Fitting, patches
from napari_nh2st.training.sections.section import Section

if TYPE_CHECKING:
    from napari_nh2st.model.encoder import ResNet18

STEPS = 60  # where the settings of NH2ST pretrain nothing
_AT_ONCE = 32

# Several models share the encoder of a fitting; it goes when the fitting does.
_MADE: WeakKeyDictionary[Fitting, ResNet18] = WeakKeyDictionary()


def frozen_encoder(fitting: Fitting) -> ResNet18:
    """Make the frozen encoder; no other function chooses it.

    Returns
    -------
    ResNet18
        In evaluation mode. The encoder file in the settings (`encoder_start`), or else one pretrained on the training
        sections' own tiles (spots and the places around them) without labels: the one that NH2ST starts from. Made
        once for a fitting.
    """
    if fitting not in _MADE:
        _MADE[fitting] = _make(fitting)
    return _MADE[fitting]


def _make(fitting: Fitting) -> ResNet18:
    from napari_nh2st.model.encoder_file import load_encoder
    from napari_nh2st.training.pretraining.on_sections import pretrain_on_sections

    config = fitting.config
    if fitting.encoder is not None:
        return fitting.encoder
    if config.encoder_start is not None:
        return load_encoder(config.encoder_start)
    config = config.model_copy(update={"pretrain_steps": config.pretrain_steps or STEPS})
    return pretrain_on_sections(
        fitting.sections, fitting.card.architecture, config, fitting.seed, cancelled=fitting.cancelled
    )


def embed(section: Section, fitting: Fitting) -> Array:
    """Embed the patch around every spot with the frozen encoder.

    Parameters
    ----------
    section : Section
    fitting : Fitting
        It keeps its encoder.

    Returns
    -------
    (n, C) float32
        The mean over the feature map; its C channels.
    """
    import torch

    from napari_nh2st.engine.device import choose_device, computing
    from napari_nh2st.model.nh2st import normalise

    net, device = frozen_encoder(fitting), choose_device(fitting.config.device)
    net.to(device)
    tiles = patches(section, fitting.card.patch)
    out = np.zeros((len(tiles), net.channels), dtype=np.float32)
    with torch.inference_mode(), computing(device):
        for i in range(0, len(tiles), _AT_ONCE):
            _ask(fitting)
            maps = net(normalise(torch.from_numpy(tiles[i : i + _AT_ONCE]).to(device)))
            out[i : i + _AT_ONCE] = maps.mean(dim=(2, 3)).cpu().numpy()
    net.cpu()  # others start from it
    return out


def _ask(fitting: Fitting) -> None:
    if fitting.cancelled():
        raise Cancelled("stopped while the frozen encoder was reading patches")
