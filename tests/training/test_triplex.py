"""The head `triplex` and its objective `distil`, where only the slide's composition decides, and by their formulas."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_nh2st import metrics
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.heads.seen import Seen, SlideSample
from napari_nh2st.model.heads.table import SAMPLE_PLACES
from napari_nh2st.model.nh2st import build
from napari_nh2st.training.objectives.distil import Distil
from napari_nh2st.training.objectives.table import DistilOptions
from support.models import step_of

GENES, CHANNELS = 4, 32
SLIDES = 16


def slides(count, spots, seed):
    """Slides of one of two kinds of tissue: a gene follows the look of a spot in one, the opposite of it in the other.

    Places look alike in both kinds but for one column that is noisy in a place, and telling over many.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(shape, generator=generator)

    kind = torch.arange(count) % 2 * 2.0 - 1
    of = torch.arange(count).repeat_interleave(spots)
    nine, sample = noise(len(of), 9, CHANNELS), noise(count, SAMPLE_PLACES, CHANNELS)
    nine[..., 0] += 0.3 * kind[of, None]
    sample[..., 0] += 0.3 * kind[:, None]
    labels = kind[of, None] * nine[:, SELF, 1 : 1 + GENES] + 0.3 * noise(len(of), GENES)
    there = torch.ones(count, SAMPLE_PLACES, dtype=torch.bool)
    at = 4000 * torch.rand((count, SAMPLE_PLACES, 2), generator=generator)
    centres = 4000 * torch.rand((len(of), 2), generator=generator)
    present = torch.ones(len(of), 9, dtype=torch.bool)
    return Seen(nine, present, SlideSample(sample, there, at), of, centres), labels


def pcc_by_slide(slide, truth, predicted):
    """Mean over slides and genes of the correlation across a slide's spots."""
    return np.mean([metrics.pcc(truth[slide == s], predicted[slide == s]).per_gene.mean() for s in np.unique(slide)])


def test_fused_is_ahead_of_the_target_alone_where_the_slide_s_composition_decides():
    torch.manual_seed(0)
    arch = Architecture(variant="triplex", width=4, dim=32, hidden=32, heads=4, dropout=0.0)
    net = build(arch, GENES)
    objective = Distil(DistilOptions(), arch, GENES)
    seen, labels = slides(SLIDES, 24, seed=1)
    expression = torch.zeros(len(labels), 9, GENES)
    expression[:, SELF] = labels
    known = torch.zeros(len(labels), 9, dtype=torch.bool)
    known[:, SELF] = True
    parameters = [*net.head.parameters(), *net.decoder.parameters(), *objective.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.01)
    for _ in range(120):
        step = step_of(net, seen, expression, known)
        loss = F.mse_loss(step.prediction, labels) + objective(step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    seen, labels = slides(6, 60, seed=2)  # other slides
    with torch.inference_mode():
        step = step_of(net.eval(), seen, torch.zeros(len(labels), 9, GENES), torch.ones(len(labels), 9, dtype=bool))
        alone = objective.decoders["target"](step.tokens.target)
    slide, truth = seen.slide.numpy(), labels.numpy()
    fused, target = (pcc_by_slide(slide, truth, p.numpy()) for p in (step.prediction, alone))
    assert fused > 0.5
    assert fused > target + 0.3


def test_distil_is_the_formula():
    torch.manual_seed(0)
    arch = Architecture(variant="triplex", width=4, dim=32, hidden=32, heads=4, dropout=0.0)
    net, objective = build(arch, GENES).eval(), Distil(DistilOptions(weight=2.0, soft=0.3), arch, GENES)
    seen, labels = slides(2, 5, seed=3)
    expression = labels[:, None].expand(-1, 9, -1)
    step = step_of(net, seen, expression, torch.ones(10, 9, dtype=torch.bool))
    branches = {
        name: objective.decoders[name](token).detach().numpy()
        for name, token in {"target": step.tokens.target, "near": step.tokens.near, **step.tokens.further}.items()
    }
    assert set(branches) == {"target", "near", "slide"}
    fused, y = step.prediction.detach().numpy(), labels.numpy()
    expected = sum(0.7 * ((b - y) ** 2).mean() + 0.3 * ((b - fused) ** 2).mean() for b in branches.values())
    assert objective(step).item() == pytest.approx(2 * expected, rel=1e-4)
