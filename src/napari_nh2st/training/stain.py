"""The stain head's weights in closed form: kernel ridge regression on the stain statistics of the training spots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import cho_solve, cholesky, solve_triangular

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card
from napari_nh2st.model.nh2st import ContextNH2ST
from napari_nh2st.model.stain import STAIN_FEATURES, stain_maps
from napari_nh2st.training.data import Section, WindowCutter, cover, sample_cells

FloatArray = npt.NDArray[np.float64]

# Chosen on section C3, trained on C2 and C4, on C4 and on B4 (docs/results.md); the score is flat round them.
GAMMA = 0.6
"""Of the Gaussian kernel, times the number of statistics."""
ALPHA = 2.0
"""Ridge penalty; the kernel of a spot with itself is 1."""
LINEAR = 1.0
"""Weight of the linear kernel ``z z' / dim`` beside the Gaussian one."""


def statistics(
    net: ContextNH2ST, section: Section, spots: npt.NDArray[np.int64], card: Card, side: int
) -> npt.NDArray[np.float32]:
    """Stain statistics of a section's spots with their neighbours', (k, dim)."""
    blank = np.zeros(section.labels.shape[1], dtype=np.float32)
    cutter = WindowCutter(blank, blank + 1)
    out = np.zeros((len(section.centres), STAIN_FEATURES * (1 + card.architecture.neighbours)), dtype=np.float32)
    for window in cover(section, spots, cutter, card, side):
        pixels = window.pixels[None].permute(0, 3, 1, 2)
        cells = window.centres / card.architecture.stride - 3
        maps = stain_maps(pixels, card.architecture.stride)
        nodes = sample_cells(maps, cells.reshape(1, -1, 2))[0].view(-1, 9, STAIN_FEATURES)
        out[window.spots] = net.stain_of(nodes[:, SELF], nodes, window.present).numpy()
    return out[spots]


def fit_stain(
    net: ContextNH2ST, raw: npt.NDArray[np.float32], targets: npt.NDArray[np.float32], seed: int
) -> torch.Tensor:
    """Set the stain head's buffers, in place, and give the decoder's columns for it.

    Kernel ridge regression with the kernel ``exp(-gamma |z - z'|^2) + LINEAR z z' / dim`` (Saunders et al., ICML 1998);
    with more training spots than landmarks, the subset of regressors on a random subset (Smola and Schölkopf, ICML
    2000). The answer is projected on the directions between genes in which it varies most.

    Parameters
    ----------
    raw : (n, dim)
        Stain statistics of the training spots.
    targets : (n, G)
        Their standardised labels.
    seed : int
        Of the choice of landmarks.

    Returns
    -------
    (G, rank) tensor
        Standardised labels are about ``net.stain_head(raw) @ rows.T``.
    """
    head = net.stain_head
    assert head is not None
    dim, landmarks = raw.shape[1], len(head.landmarks)
    head.mean.copy_(torch.from_numpy(raw.mean(axis=0)))
    head.std.copy_(torch.from_numpy(raw.std(axis=0).clip(min=1e-6)))
    head.gamma.fill_(GAMMA / dim)
    z = head.standardise(torch.from_numpy(raw))
    chosen = np.sort(np.random.default_rng([seed, 3]).choice(len(z), landmarks, replace=False))
    head.landmarks.copy_(z[torch.from_numpy(chosen)])
    features = head.features(z).double().numpy()
    linear, kernel = features[:, :dim] * np.sqrt(LINEAR / dim), features[:, dim:]
    factor = cholesky(kernel[chosen] + 1e-6 * np.eye(landmarks), lower=True)
    basis = np.concatenate([linear, solve_triangular(factor, kernel.T, lower=True).T], axis=1)
    gram = cholesky(basis.T @ basis + ALPHA * np.eye(basis.shape[1]), lower=True)
    weights: FloatArray = cho_solve((gram, True), basis.T @ targets.astype(np.float64))
    weights[:dim] *= np.sqrt(LINEAR / dim)
    weights[dim:] = solve_triangular(factor, weights[dim:], lower=True, trans="T")
    _, _, directions = np.linalg.svd(features @ weights, full_matrices=False)
    rows: FloatArray = np.zeros((targets.shape[1], head.project.shape[1]))
    rows[:, : len(directions)] = directions[: rows.shape[1]].T
    head.project.copy_(torch.from_numpy(weights @ rows))
    return torch.from_numpy(rows.astype(np.float32))


def join_parts(net: ContextNH2ST, rows: torch.Tensor, share: float) -> None:
    """Make the decoder add up both parts, in place: ``share`` of the stain head's answer, the rest of the learnt."""
    size = net.arch.hidden
    with torch.no_grad():
        net.decoder.weight[:, :size].mul_(1 - share)
        net.decoder.bias.mul_(1 - share)
        net.decoder.weight[:, size:] = share * rows


def part_again(net: ContextNH2ST, share: float) -> None:
    """Undo `join_parts`, in place: the learnt part answers alone, the stain head's columns are 0."""
    size = net.arch.hidden
    with torch.no_grad():
        net.decoder.weight[:, :size].div_(1 - share)
        net.decoder.bias.div_(1 - share)
        net.decoder.weight[:, size:] = 0


def all_statistics(net: ContextNH2ST, sections: Sequence[Section], card: Card, side: int) -> npt.NDArray[np.float32]:
    """Stain statistics of every training spot that is not held out, sections one after another."""
    return np.concatenate([statistics(net, s, np.flatnonzero(~s.held_out), card, side) for s in sections])
