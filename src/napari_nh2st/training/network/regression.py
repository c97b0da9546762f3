"""The loss with which the learnt part is fitted to the labels of a target, beside what objectives add."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_nh2st.model.card import Card
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.sections.section import Section

_PER = 1e4  # counts of a spot's whole library in which shares are expressed
_LOWEST = -20.0  # ln(expected counts per 10,000): lower is 0 for any gene


class SquaredError(nn.Module):
    """Mean squared error of standardised labels."""

    def __init__(self, card: Card, scale: LabelScale, sections: Sequence[Section]) -> None:
        super().__init__()

    def forward(
        self, prediction: Tensor, labels: Tensor, sections: Tensor, spots: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """(B, G) predictions and labels, standardised; (B,) section, spot and weight of each -> one number."""
        if weights is None:
            return F.mse_loss(prediction, labels)
        return ((prediction - labels).square().mean(1) * weights).mean()


class NegativeBinomial(nn.Module):
    """Deviance of counts with the spot's library size as offset, in parts of that of the training's shares.

    The prediction f is ln(expected counts per 10,000): counts have the mean depth exp(f) / 10,000 and each gene's own
    theta. So a gene at its training share costs 1, whatever its counts are, as with standardised labels.
    """

    depth: Tensor
    share: Tensor
    theta: Tensor
    mean: Tensor
    std: Tensor
    of_share: Tensor

    def __init__(self, card: Card, scale: LabelScale, sections: Sequence[Section]) -> None:
        super().__init__()
        depth = nn.utils.rnn.pad_sequence([torch.from_numpy(s.depth) for s in sections], batch_first=True)
        numbers = {"depth": depth, "mean": torch.from_numpy(scale.mean), "std": torch.from_numpy(scale.std)}
        for name in ("share", "theta"):
            numbers[name] = torch.tensor(card.label_facts[name])
        for name, values in numbers.items():
            self.register_buffer(name, values.float(), persistent=False)
        self.register_buffer("of_share", torch.ones(()), persistent=False)
        self.register_buffer("of_share", self._of_share(scale, sections), persistent=False)

    def _of_share(self, scale: LabelScale, sections: Sequence[Section]) -> Tensor:
        """Mean deviance of each gene at its training share, (G,)."""
        known = [np.flatnonzero(~s.held_out) for s in sections]
        labels = torch.from_numpy(np.concatenate([s.labels[k] for s, k in zip(sections, known, strict=True)]))
        depth = torch.from_numpy(np.concatenate([s.depth[k] for s, k in zip(sections, known, strict=True)]))
        at_share = torch.log(_PER * self.share).expand_as(labels)
        return self._deviance(at_share, labels, depth.float()[:, None]).mean(0).clamp(min=1e-6)

    def _deviance(self, f: Tensor, labels: Tensor, depth: Tensor) -> Tensor:
        """2 (ln likelihood of the counts themselves less that of f), (B, G); `labels` are as `targets.counts` makes."""
        expected = depth * self.share
        counts = ((expected + self.theta) * torch.exp(labels) / (_PER * self.share) - self.theta).clamp(min=0)
        mean = depth * torch.exp(f.clamp(_LOWEST, float(np.log(_PER)))) / _PER
        own = torch.xlogy(counts, counts.clamp(min=1e-6) / mean.clamp(min=1e-12))
        return 2 * (own - (counts + self.theta) * torch.log((counts + self.theta) / (mean + self.theta)))

    def forward(
        self, prediction: Tensor, labels: Tensor, sections: Tensor, spots: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """(B, G) predictions and labels, standardised; (B,) section and spot of each -> one number.

        Weights are not read: the distribution knows how noisy a spot of few counts is.
        """
        f, made = prediction * self.std + self.mean, labels * self.std + self.mean
        deviance = self._deviance(f, made, self.depth[sections, spots][:, None])
        return (deviance / self.of_share).mean()


Loss = Callable[[Card, LabelScale, Sequence[Section]], nn.Module]

LOSSES: dict[str, Loss] = {"squared-error": SquaredError, "negative-binomial": NegativeBinomial}
"""By the name that a target has for it (`targets.Target.loss`)."""
