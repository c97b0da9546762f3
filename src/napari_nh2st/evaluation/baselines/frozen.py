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

WIDTH, STRIDE = 32, 16
_AT_ONCE = 32

# Two baselines share the encoder of a fitting; it goes when the fitting does.
_MADE: WeakKeyDictionary[Fitting, ResNet18] = WeakKeyDictionary()


def frozen_encoder(fitting: Fitting) -> ResNet18:
    """Make the frozen encoder: the one place that decides which it is.

    Returns
    -------
    ResNet18
        In evaluation mode. The encoder file that the settings name (`encoder_start`), or else seeded random weights
        with the batch statistics of the training patches. Random convolutions are known to be a fair start: Saxe et
        al., "On Random Weights and Unsupervised Feature Learning", ICML 2011.
    """
    start = getattr(fitting.config, "encoder_start", None)
    if start is not None:
        from napari_nh2st.model.encoder_file import load_encoder

        return load_encoder(start)
    return _random_encoder(fitting)


def _random_encoder(fitting: Fitting) -> ResNet18:
    import torch

    from napari_nh2st.model.encoder import ResNet18
    from napari_nh2st.model.nh2st import normalise

    with torch.random.fork_rng():
        torch.manual_seed(fitting.seed)
        net = ResNet18(width=WIDTH, stride=STRIDE)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean over the batches
    net.train()
    tiles = np.concatenate([patches(s, fitting.card.patch) for s in fitting.sections])
    order = np.random.default_rng([fitting.seed, 3]).permutation(len(tiles))
    with torch.no_grad():
        for some in np.array_split(order, max(1, round(len(order) / _AT_ONCE))):
            _ask(fitting)
            net(normalise(torch.from_numpy(tiles[some])))
    net.eval()
    return net


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
