"""Label units and standardised units: what a decoder answers in."""

from __future__ import annotations

import torch

from napari_nh2st.model.nh2st import NH2ST
from napari_nh2st.training.data.label_scale import LabelScale


def fold_labels(net: NH2ST, labels: LabelScale) -> None:
    """Let the decoder answer in label units instead of standardised ones, in place."""
    with torch.no_grad():
        scale, shift = torch.from_numpy(labels.std), torch.from_numpy(labels.mean)
        net.decoder.weight.mul_(scale[:, None])
        net.decoder.bias.mul_(scale).add_(shift)


def unfold_labels(net: NH2ST, labels: LabelScale) -> None:
    """Undo `fold_labels`, in place: a base model goes on learning in standardised units."""
    with torch.no_grad():
        scale, shift = torch.from_numpy(labels.std), torch.from_numpy(labels.mean)
        net.decoder.weight.div_(scale[:, None])
        net.decoder.bias.sub_(shift).div_(scale)
