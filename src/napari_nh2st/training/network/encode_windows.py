"""Windows of tissue through the encoder, sampled at the nine places of the spots in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from napari_nh2st.geometry import SELF
from napari_nh2st.model.nh2st import NH2ST, normalise
from napari_nh2st.training.data.targets import Targets, sample_cells
from napari_nh2st.training.data.windows import Window


def encode_windows(net: NH2ST, windows: Sequence[Window], pixels: Tensor, most_spots: int | None = None) -> Targets:
    """Encode a batch of windows and gather its targets: spots whose whole patch lies in their window.

    In training mode, only what is learnt is encoded: no stain statistics.

    Parameters
    ----------
    windows : sequence of Window
        B of them.
    pixels : (B, S, S, 3)
        Theirs, in their own colours or in others.
    most_spots : int, optional
        Of the batch, chosen at random, for a patch encoder in training mode.
    """
    images = normalise(pixels)
    if net.dense:
        return _dense(net, windows, images)
    return _patches(net, windows, images, most_spots if net.training else None)


def _dense(net: NH2ST, windows: Sequence[Window], images: Tensor) -> Targets:
    maps = net.encode_for_head(images) if net.training else net.encode(images)  # (B, C, h, w)
    last = torch.tensor([maps.shape[-1] - 1, maps.shape[-2] - 1], device=maps.device)
    parts = []
    for i, w in enumerate(windows):
        cells = w.centres / net.arch.stride - 3  # (m, 9, 2)
        inside = ((cells >= 0) & (cells <= last)).all(-1)  # (m, 9): the place's whole patch lies in the window
        keep = inside[:, SELF]
        flat = sample_cells(maps[i : i + 1], cells[keep].reshape(1, -1, 2))[0]  # (9 k, C)
        parts.append(Targets.of(w, flat.view(-1, 9, maps.shape[1]), inside, keep))
    return Targets.join(parts)


def _patches(net: NH2ST, windows: Sequence[Window], images: Tensor, most_spots: int | None) -> Targets:
    """Encode each patch once, however many neighbourhoods it lies in."""
    patch = net.arch.patch
    crops: list[Tensor] = []
    parts = []
    for image, w in zip(images, windows, strict=True):
        corners = (w.centres - patch / 2).round().long()  # (m, 9, 2)
        last = torch.tensor([image.shape[-1] - patch, image.shape[-2] - patch], device=image.device)
        inside = ((corners >= 0) & (corners <= last)).all(-1)
        keep = torch.nonzero(inside[:, SELF])[:, 0]
        if most_spots is not None:
            each = max(1, most_spots // len(windows))
            keep = keep[torch.randperm(len(keep), device=keep.device)[:each]]
        corner = torch.where(inside[..., None], corners, corners[:, SELF : SELF + 1])[keep]
        unique, inverse = torch.unique(corner.reshape(-1, 2), dim=0, return_inverse=True)
        before = sum(map(len, crops))
        cut = [image[:, y : y + patch, x : x + patch] for x, y in unique.tolist()]
        crops.append(torch.stack(cut) if cut else image.new_zeros((0, 3, patch, patch)))
        parts.append(Targets.of(w, inverse.view(-1, 9) + before, inside, keep))
    out = Targets.join(parts)
    maps = net.encoder(torch.cat(crops).contiguous(memory_format=torch.channels_last))  # (patches, C, 7, 7)
    return replace(out, embeddings=maps[out.embeddings])
