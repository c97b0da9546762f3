"""What each objective is for, shown on small planted cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from napari_nh2st.model.card import Architecture
from napari_nh2st.model.heads.table import HEADS
from napari_nh2st.training.objectives.contrast import info_nce
from napari_nh2st.training.objectives.gene_dml import group_contrast, groups_of, soft_contrast
from napari_nh2st.training.objectives.mgcn import decorrelation
from napari_nh2st.training.objectives.table import OBJECTIVES


@pytest.mark.parametrize("n", [8, 64])
def test_collapse_costs_gene_dml_at_least_its_bound(n):
    """Equal embeddings cost ln B and ln k, and no pair of embeddings goes below the entropy of its targets."""
    torch.manual_seed(0)
    same, other = torch.ones(n, 4), torch.randn(n, 4)
    groups = torch.arange(n) % 4
    for image, gene in ((same, same), (same, other), (other, same)):
        assert float(soft_contrast(image, gene, 0.07)) >= math.log(n) - 1e-5
    assert float(group_contrast(same, same, groups, 0.07)) == pytest.approx(math.log(4), abs=1e-5)
    apart = torch.linalg.qr(torch.randn(n, n))[0]
    assert float(soft_contrast(apart, apart, 0.07)) < 0.1 * math.log(n)
    for image, gene in ((apart, apart), (apart, torch.randn(n, n)), (other, other)):
        v, g = (F.normalize(t, dim=-1) for t in (image, gene))
        target = ((v @ v.T + g @ g.T) / 0.14).softmax(-1)
        assert float(soft_contrast(image, gene, 0.07)) >= float(-(target * target.log()).sum(1).mean()) - 1e-4


def test_soft_contrast_is_its_formula():
    torch.manual_seed(0)
    image, gene = torch.randn(6, 5), torch.randn(6, 5)
    v, g = (t / t.norm(dim=1, keepdim=True) for t in (image, gene))
    by_hand = 0.0
    for i in range(6):
        target = torch.exp((v[i] @ v.T + g[i] @ g.T) / 0.14)
        target = target / target.sum()
        for row in (v[i] @ g.T, g[i] @ v.T):
            by_hand -= float((target * (row / 0.07 - torch.logsumexp(row / 0.07, 0))).sum()) / 12
    assert float(soft_contrast(image, gene, 0.07)) == pytest.approx(by_hand, rel=1e-5)


def test_planted_groups_are_found():
    torch.manual_seed(0)
    centres = torch.linalg.qr(torch.randn(16, 16))[0][:5]
    planted = torch.arange(60) % 5
    tokens = centres[planted] + 0.1 * torch.randn(60, 16)
    found = groups_of(tokens, 5)
    pairs = {(int(a), int(b)) for a, b in zip(planted, found, strict=True)}
    assert len(pairs) == 5
    assert groups_of(torch.ones(9, 4), 3).tolist() == [0] * 9


def _twins(seed, n, noise=0.9):
    """Images and genes of spots of ten kinds: most of what they share is the kind, the rest a little of their own."""
    rng = np.random.default_rng([7, seed])
    world = np.random.default_rng(3)
    kinds, own = world.normal(size=(10, 8)), world.normal(size=(8, 8))
    of_image, of_gene = world.normal(size=(16, 24)), world.normal(size=(16, 30))
    z = np.concatenate([kinds[rng.integers(10, size=n)], rng.normal(size=(n, 8)) @ own * 0.4], axis=1)
    views = (z @ of + noise * rng.normal(size=(n, of.shape[1])) for of in (of_image, of_gene))
    return [torch.from_numpy(v.astype(np.float32)) for v in views]


def _recall(loss, seed):
    """Train two encoders on 128 pairs; share of 256 new images whose own genes are among the five most alike."""
    torch.manual_seed(seed)
    image, gene = _twins(seed, 128)
    towers = nn.ModuleList(nn.Sequential(nn.Linear(n, 48), nn.GELU(), nn.Linear(48, 16)) for n in (24, 30))
    optimiser = torch.optim.AdamW(towers.parameters(), 3e-3, weight_decay=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        loss(towers[0](image), towers[1](gene)).backward()
        optimiser.step()
    with torch.no_grad():
        v, g = (F.normalize(t(x), dim=-1) for t, x in zip(towers, _twins(seed + 50, 256), strict=True))
    best = (v @ g.T).topk(5, dim=1).indices
    return float((best == torch.arange(256)[:, None]).any(1).float().mean())


def _gene_dml(image, gene):
    return soft_contrast(image, gene, 0.07) + 0.8 * group_contrast(image, gene, groups_of(gene, 10), 0.07)


def test_gene_dml_finds_the_genes_of_new_images_more_often_than_info_nce():
    ours, theirs = ([_recall(loss, seed) for seed in range(3)] for loss in (_gene_dml, info_nce))
    print(ours, theirs)
    assert np.mean(ours) > np.mean(theirs)
    assert np.mean(ours) > 3 * 5 / 256


def test_decorrelation_is_its_formula():
    torch.manual_seed(0)
    one, other = torch.randn(50, 6), torch.randn(50, 6)
    table = np.corrcoef(one.numpy(), other.numpy(), rowvar=False)[:6, 6:]
    off = table[~np.eye(6, dtype=bool)]
    expected = 0.5 * (((np.diag(table) - 1) ** 2).mean() + (off**2).mean())
    assert float(decorrelation(one, other)) == pytest.approx(expected, abs=1e-4)
    apart = torch.linalg.qr(torch.randn(50, 6) - 0.0)[0]
    assert float(decorrelation(apart, apart)) < float(decorrelation(one[:, :1].repeat(1, 6), one[:, :1].repeat(1, 6)))


def _effective_rank(tokens):
    """Exponential of the entropy of the singular values (Roy and Vetterli, EUSIPCO 2007)."""
    values = torch.linalg.svdvals(tokens - tokens.mean(0))
    share = values / values.sum()
    return float(torch.exp(-(share * share.clamp(min=1e-12).log()).sum()))


def test_mgcn_keeps_tokens_from_collapsing():
    """One direction of the image carries all that genes need, and the encoder begins with little else."""

    def rank(weight):
        torch.manual_seed(0)
        image = torch.randn(256, 24) * torch.tensor([5.0] + [0.5] * 23)
        gene = image[:, :1] @ torch.randn(1, 12) + 0.1 * torch.randn(256, 12)
        token, decoder = nn.Linear(24, 12), nn.Linear(12, 12)
        with torch.no_grad():
            token.weight.copy_(torch.randn(12, 1) @ torch.randn(1, 24) * 0.2 + 0.01 * torch.randn(12, 24))
        optimiser = torch.optim.AdamW([*token.parameters(), *decoder.parameters()], 3e-3)
        for _ in range(300):
            t = token(image)
            loss = F.mse_loss(decoder(t), gene)
            loss = loss + weight * decorrelation(t, 0.95 * t + 0.05 * t.roll(1, 0))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return _effective_rank(token(image).detach())

    without, ours = rank(0.0), rank(0.5)
    assert ours > 1.3 * without


def test_scales_of_gene_dml_are_those_of_the_head():
    for head in HEADS.values():
        row = OBJECTIVES["gene-dml"]
        objective = row.load()(row.options(), Architecture(variant=head.name, width=4, dim=16, hidden=12), 6)
        assert objective.scales == head.tokens
