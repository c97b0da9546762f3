"""Mixed spots for training: a few hundred spots become many that lie between two of them.

Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; here on embeddings, of all nine places.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from napari_nh2st.training.data.targets import Targets


def mix(targets: Targets, alpha: float) -> Targets:
    """Mix each target with another one of the batch: embeddings and labels, by one share from torch's random state.

    Parameters
    ----------
    targets : Targets
        (m, 9, C) embeddings, (m, 9, G) labels. Where a place is absent, and whose section it is, stays as it is; a
        place's expression is known where that of both is.
    alpha : float
        Of the beta distribution that the share is drawn from; the target's own share is never the smaller.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    share = max(share, 1 - share)
    other = torch.randperm(len(targets.spots)).to(targets.embeddings.device)
    return replace(
        targets,
        embeddings=torch.lerp(targets.embeddings[other], targets.embeddings, share),
        labels=torch.lerp(targets.labels[other], targets.labels, share),
        known=targets.known & targets.known[other],
    )
