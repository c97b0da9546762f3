"""The kernel head's weights in closed form: kernel ridge regression on what describes the training spots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import cho_solve, cholesky, solve_triangular

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card
from napari_nh2st.model.nh2st import ContextNH2ST, normalise
from napari_nh2st.training.data import Section, WindowCutter, cover, sample_cells

FloatArray = npt.NDArray[np.float64]

# Chosen on inner splits of C2, C3 and C4, and on B4 (docs/results.md); the score is flat round them.
GAMMA = 0.6
"""Of a group's Gaussian kernel, times the group's columns."""
ALPHA = 4.0
"""Ridge penalty; the kernel of a spot with itself is 1."""
LINEAR = 1.0
"""Weight of the linear kernel, each group's ``z z' / columns`` averaged, beside the Gaussian one."""

# The larger the window, the less is read twice; this one fits into 2 GB.
LOOK_WINDOW = 3584


def describe(net: ContextNH2ST, section: Section, spots: npt.NDArray[np.int64], card: Card) -> npt.NDArray[np.float32]:
    """Describe spots of a section as the kernel head sees them, (k, dim)."""
    blank = np.zeros(section.labels.shape[1], dtype=np.float32)
    cutter = WindowCutter(blank, blank + 1)
    out: dict[int, npt.NDArray[np.float32]] = {}
    training = net.training
    net.eval()
    with torch.inference_mode():
        for window in cover(section, spots, cutter, card, LOOK_WINDOW):
            cells = window.centres / card.architecture.stride - 3
            maps = net.encode(normalise(window.pixels[None]))
            nodes = sample_cells(maps, cells.reshape(1, -1, 2))[0].view(-1, 9, maps.shape[1])
            found = net.around(nodes[:, SELF], nodes, window.present).numpy()
            out.update(zip(window.spots.tolist(), found, strict=True))
    net.train(training)
    return np.stack([out[i] for i in spots.tolist()])


def fit_kernel(
    net: ContextNH2ST, raw: npt.NDArray[np.float32], targets: npt.NDArray[np.float32], seed: int
) -> torch.Tensor:
    """Set the kernel head's buffers, in place, and give the decoder's columns for it.

    Kernel ridge regression (Saunders et al., ICML 1998) with the mean over groups of columns, n each, of the kernel
    ``exp(-GAMMA |z - z'|^2 / n) + LINEAR z z' / n``;
    with more training spots than landmarks, the subset of regressors on a random subset (Smola and Schölkopf, ICML
    2000). The answer is projected on the directions between genes in which it varies most.

    Parameters
    ----------
    raw : (n, dim)
        From `describe`, of the training spots.
    targets : (n, G)
        Their standardised labels.
    seed : int
        Of the choice of landmarks.

    Returns
    -------
    (G, rank) tensor
        Standardised labels are about ``net.kernel_head(raw) @ rows.T``.
    """
    head = net.kernel_head
    assert head is not None
    dim, landmarks, sizes = raw.shape[1], len(head.landmarks), np.array(head.groups)
    head.mean.copy_(torch.from_numpy(raw.mean(axis=0)))
    head.std.copy_(torch.from_numpy(raw.std(axis=0).clip(min=1e-6)))
    head.gamma.copy_(torch.from_numpy(GAMMA / sizes))
    z = head.standardise(torch.from_numpy(raw))
    chosen = np.sort(np.random.default_rng([seed, 3]).choice(len(z), landmarks, replace=False))
    head.landmarks.copy_(z[torch.from_numpy(chosen)])
    features = head.features(z).double().numpy()
    weight = np.sqrt(LINEAR / len(sizes) / np.repeat(sizes, sizes))
    linear, kernel = features[:, :dim] * weight, features[:, dim:]
    factor = cholesky(kernel[chosen] + 1e-6 * np.eye(landmarks), lower=True)
    basis = np.concatenate([linear, solve_triangular(factor, kernel.T, lower=True).T], axis=1)
    gram = cholesky(basis.T @ basis + ALPHA * np.eye(basis.shape[1]), lower=True)
    weights: FloatArray = cho_solve((gram, True), basis.T @ targets.astype(np.float64))
    weights[:dim] *= weight[:, None]
    weights[dim:] = solve_triangular(factor, weights[dim:], lower=True, trans="T")
    _, _, directions = np.linalg.svd(features @ weights, full_matrices=False)
    rows: FloatArray = np.zeros((targets.shape[1], head.project.shape[1]))
    rows[:, : len(directions)] = directions[: rows.shape[1]].T
    head.project.copy_(torch.from_numpy(weights @ rows))
    return torch.from_numpy(rows.astype(np.float32))


def join_parts(net: ContextNH2ST, rows: torch.Tensor, share: float) -> None:
    """Make the decoder add up both parts, in place: ``share`` of the kernel head's answer, the rest of the learnt."""
    size = net.arch.hidden
    with torch.no_grad():
        net.decoder.weight[:, :size].mul_(1 - share)
        net.decoder.bias.mul_(1 - share)
        net.decoder.weight[:, size:] = share * rows


def part_again(net: ContextNH2ST, share: float) -> None:
    """Undo `join_parts`, in place: the learnt part answers alone, the kernel head's columns are 0."""
    size = net.arch.hidden
    with torch.no_grad():
        net.decoder.weight[:, :size].div_(1 - share)
        net.decoder.bias.div_(1 - share)
        net.decoder.weight[:, size:] = 0


def describe_all(net: ContextNH2ST, sections: Sequence[Section], card: Card) -> npt.NDArray[np.float32]:
    """Describe every training spot that is not held out, sections one after another, (n, dim)."""
    return np.concatenate([describe(net, s, np.flatnonzero(~s.held_out), card) for s in sections])
