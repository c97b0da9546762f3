"""The kernel head's weights in closed form: kernel ridge regression on what describes the training spots."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import cho_solve, cholesky, solve_triangular

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card
from napari_nh2st.model.nh2st import NH2ST
from napari_nh2st.training.data.embedded import EmbeddedSection, embed_spots
from napari_nh2st.training.sections.section import Section

FloatArray = npt.NDArray[np.float64]


# Chosen on inner splits of C2, C3 and C4, and on B4 (docs/results-tried.md); the score is flat round them.
GAMMA = 0.6
"""Of a group's Gaussian kernel, times the group's columns."""


ALPHA = 4.0
"""Ridge penalty; the kernel of a spot with itself is 1."""


LINEAR = 1.0
"""Weight of the linear kernel, each group's ``z z' / columns`` averaged, beside the Gaussian one."""


@dataclass(frozen=True, eq=False)
class KernelPart:
    """The kernel head's part of a prediction, kept beside the network while the learnt part is trained.

    Attributes
    ----------
    columns : (G, rank) tensor
        Of the decoder.
    share : float
        How much of its answer is in the prediction.
    learnt : float
        How much of the learnt head's is.
    """

    columns: torch.Tensor
    share: float
    learnt: float


@dataclass(frozen=True, eq=False)
class KernelFit:
    """Result of a fit.

    Attributes
    ----------
    columns : (G, rank) tensor
        Of the decoder: standardised labels are about ``net.kernel_head(raw) @ columns.T``.
    left : (n, G) float32
        Standardised labels less what the head would answer if it had been fitted without the spot at hand.
    """

    columns: torch.Tensor
    left: npt.NDArray[np.float32]


def fit_kernel(
    net: NH2ST,
    raw: npt.NDArray[np.float32],
    targets: npt.NDArray[np.float32],
    seed: int,
    weights: npt.NDArray[np.float64] | None = None,
) -> KernelFit:
    """Set the kernel head's buffers, in place, and give the decoder's columns for it.

    Kernel ridge regression (Saunders et al., ICML 1998) with the mean over groups of columns, n each, of the kernel
    ``exp(-GAMMA |z - z'|^2 / n) + LINEAR z z' / n``;
    with more training spots than landmarks, the subset of regressors on a random subset (Smola and Schölkopf, ICML
    2000). The answer is projected on the directions between genes in which it varies most.

    Parameters
    ----------
    raw : (n, dim)
        From `describe_all`.
    targets : (n, G)
        Their standardised labels.
    seed : int
        Of the choice of landmarks.
    weights : (n,), optional
        How much each spot's squared error counts, 1 on average; equally where there are none.
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
    scale = np.sqrt(LINEAR / len(sizes) / np.repeat(sizes, sizes))
    linear, kernel = features[:, :dim] * scale, features[:, dim:]
    factor = cholesky(kernel[chosen] + 1e-6 * np.eye(landmarks), lower=True)
    basis = np.concatenate([linear, solve_triangular(factor, kernel.T, lower=True).T], axis=1)
    counted = basis if weights is None else basis * weights[:, None]
    gram = cholesky(counted.T @ basis + ALPHA * np.eye(basis.shape[1]), lower=True)
    solved: FloatArray = cho_solve((gram, True), counted.T @ targets.astype(np.float64))
    left = _left_out(targets - basis @ solved, gram, basis, counted)
    solved[:dim] *= scale[:, None]
    solved[dim:] = solve_triangular(factor, solved[dim:], lower=True, trans="T")
    _, _, directions = np.linalg.svd(features @ solved, full_matrices=False)
    rows: FloatArray = np.zeros((targets.shape[1], head.project.shape[1]))
    rows[:, : len(directions)] = directions[: rows.shape[1]].T
    head.project.copy_(torch.from_numpy(solved @ rows))
    return KernelFit(torch.from_numpy(rows.astype(np.float32)), left.astype(np.float32))


def _left_out(error: FloatArray, gram: FloatArray, basis: FloatArray, counted: FloatArray) -> FloatArray:
    """Turn errors of a ridge regression into those of fits without the spot itself: e / (1 - h), h the leverage.

    Parameters
    ----------
    error : (n, G)
    gram : (p, p)
        Lower Cholesky factor of the penalised Gram matrix.
    basis, counted : (n, p)
        The columns, and the same times each spot's weight.
    """
    leverage = np.einsum("np,pn->n", basis, cho_solve((gram, True), counted.T))
    left: FloatArray = error / (1 - leverage)[:, None]
    return left


def join_parts(net: NH2ST, kernel: KernelPart) -> None:
    """Make the decoder add up both parts, in place: as much of each one's answer as is in the prediction."""
    size = net.arch.hidden
    with torch.no_grad():
        net.decoder.weight[:, :size].mul_(kernel.learnt)
        net.decoder.bias.mul_(kernel.learnt)
        net.decoder.weight[:, size:] = kernel.share * kernel.columns


def split_parts(net: NH2ST, learnt: float) -> None:
    """Undo `join_parts`, in place: the learnt part answers alone, the kernel head's columns are 0.

    A learnt part without a share answers 0.
    """
    size, back = net.arch.hidden, 1 / learnt if learnt > 0 else 0.0
    with torch.no_grad():
        net.decoder.weight[:, :size].mul_(back)
        net.decoder.bias.mul_(back)
        net.decoder.weight[:, size:] = 0


def learnt_alone(net: NH2ST, card: Card) -> NH2ST:
    """Copy a finished network without its kernel head: the learnt part answers alone, in label units."""
    alone, mean = deepcopy(net), torch.tensor(card.gene_means)
    if card.architecture.kernel_share:
        with torch.no_grad():
            alone.decoder.bias.sub_(mean)
            split_parts(alone, card.architecture.learnt_part)
            alone.decoder.bias.add_(mean)
    return alone


def describe_all(
    net: NH2ST,
    sections: Sequence[Section],
    card: Card,
    embedded: Sequence[EmbeddedSection] | None = None,
    *,
    device: torch.device | str = "cpu",
) -> npt.NDArray[np.float32]:
    """Describe every spot that is not held out as the kernel head sees it, sections one after another, (n, dim).

    Parameters
    ----------
    embedded : sequence of EmbeddedSection, optional
        Of these sections; otherwise they are encoded here.
    device : device
        Encodes them. What it gives is arranged on the processor, where the fit takes place in float64.
    """
    out = []
    for i, section in enumerate(sections):
        spots = np.flatnonzero(~section.held_out)
        if embedded is not None:
            nodes = embedded[i].plain[spots]  # (k, 9, C + S)
        else:
            nodes = embed_spots(net, section, spots, card, device=device, for_kernel=True)  # or (k, 9, S)
        with torch.inference_mode():
            out.append(net.around(nodes[:, SELF], nodes, torch.from_numpy(section.present[spots])).numpy())
    return np.concatenate(out)
