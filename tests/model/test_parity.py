"""The `paper` variant held against its published formulas, written out again in NumPy: loops, matrices, float64.

Symbols are those of the paper: p image, g genes, s the spot, n its neighbourhood.
"""

import math

import numpy as np
import pytest
import torch
from torch_geometric.nn import HypergraphConv as ReferenceConv

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.hypergraph import HypergraphConv, incidence
from napari_nh2st.model.nh2st import build
from napari_nh2st.training.objectives.contrast import info_nce, paper_contrast
from napari_nh2st.training.objectives.paper_contrast import PaperContrast
from napari_nh2st.training.objectives.table import PublishedContrastOptions
from support.models import step_of

B, G, HEADS = 4, 6, 4


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def gelu(x):
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])


def layer_norm(x, scale, shift):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * scale + shift


def linear(w, name, x):
    bias = w.get(f"{name}.bias", 0)
    return w[f"{name}.weight"] @ x + bias


def cross(w, kv, q):
    """X(kv, q) over a list of keys, every head apart."""
    d = len(q)
    size = d // HEADS
    normed = [layer_norm(t, w["cross.norm1.weight"], w["cross.norm1.bias"]) for t in (*kv, q)]
    query = linear(w, "cross.to_q", normed[-1])
    both = [linear(w, "cross.to_kv", t) for t in normed[:-1]]
    seen = np.zeros(d)
    for h in range(HEADS):
        part = slice(h * size, (h + 1) * size)
        weights = softmax(np.array([query[part] @ t[:d][part] / math.sqrt(size) for t in both]))
        seen[part] = sum(a * t[d:][part] for a, t in zip(weights, both, strict=True))
    z = q + linear(w, "cross.to_out", seen)
    mlp = layer_norm(z, w["cross.norm2.weight"], w["cross.norm2.bias"])
    z = z + linear(w, "cross.mlp.3", gelu(linear(w, "cross.mlp.0", mlp)))
    return layer_norm(z, w["cross.norm.weight"], w["cross.norm.bias"])


def hyperedges(x):
    """H, nodes by hyperedges: each node's hyperedge holds it and the three nodes of the highest cosine to it."""
    n = len(x)
    h = np.zeros((n, n))
    for i in range(n):
        cosine = {j: x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j]) for j in range(n) if j != i}
        for j in [i, *sorted(cosine, key=lambda j: -cosine[j])[:3]]:
            h[j, i] = 1
    return h


def convolve(x, h, theta, bias):
    """D^-1 H B^-1 H^T X Theta + b; the inverse of a degree 0 is 0."""
    d, b = (np.diag([1 / v if v else 0 for v in h.sum(axis)]) for axis in (1, 0))
    return d @ h @ b @ h.T @ x @ theta + bias


def graph(w, name, x, h):
    for layer in ("conv1", "conv2"):
        x = convolve(x, h, w[f"{name}.{layer}.lin.weight"].T, w[f"{name}.{layer}.bias"])
        x = np.maximum(x, 0)
    return x


def published(w, maps, expression, target=SELF):
    """One spot: (N, C, 7, 7) maps and (N, G) labels, all measured -> prediction and the four z."""
    channels = maps.shape[1]
    flat = np.array([maps[target, c, i, j] for i in range(7) for j in range(7) for c in range(channels)])  # (h w) d
    h_sp = linear(w, "target", flat)
    genes = np.stack([linear(w, "gene_encoder.1", linear(w, "gene_encoder.0", e)) for e in expression])
    nodes = np.array(
        [[m[c, i, j] for c in range(channels) for i in range(7) for j in range(7)] for m in maps]
    )  # d (h w)
    h = hyperedges(nodes)
    assert h.sum() == 4 * len(maps)
    h_np, h_ng = graph(w, "image_graph", nodes, h).mean(0), graph(w, "gene_graph", genes, h).mean(0)
    z_sp = cross(w, [genes[target]], h_sp)
    z_sg = cross(w, [z_sp], genes[target])
    z_np = cross(w, [h_ng], h_np)
    z_ng = cross(w, [z_np], h_ng)
    return linear(w, "decoder", linear(w, "to_hidden", h_sp)), z_sp, z_sg, z_np, z_ng


def contrast(image, gene):
    """Cross-entropy from image to gene on cosine / 0.05, the other pairs' logits multiplied by 0.1."""
    total = 0.0
    for i, a in enumerate(image):
        logits = [
            a @ b / np.linalg.norm(a) / np.linalg.norm(b) / 0.05 * (1 if i == j else 0.1) for j, b in enumerate(gene)
        ]
        total -= math.log(softmax(np.array(logits))[i])
    return total / len(image)


def weights(net, objective):
    """All weights in float64, by the names that the formulas use."""
    state = {k.removeprefix("head."): v for k, v in net.state_dict().items()} | objective.state_dict()
    return {k: v.double().numpy() for k, v in state.items()}


@pytest.fixture(scope="module")
def fixture():
    """A small net in eval mode, every weight random; a batch; what the formulas give for it."""
    torch.manual_seed(0)
    arch = Architecture(variant="paper", width=4, stride=32, dim=16, hidden=12, heads=HEADS)
    net, objective = build(arch, G).eval(), PaperContrast(PublishedContrastOptions(), arch, G).eval()
    with torch.no_grad():
        for p in (*net.parameters(), *objective.parameters()):
            if p.ndim == 1:
                p.add_(0.3 * torch.randn(p.shape))
    maps = torch.randn(B, 9, 32, 7, 7).relu()
    expression = 3 * torch.rand(B, 9, G)
    w = weights(net, objective)
    each = [published(w, m.double().numpy(), e.double().numpy()) for m, e in zip(maps, expression, strict=True)]
    everywhere = torch.ones(B, 9, dtype=torch.bool)
    return (
        net,
        objective,
        step_of(net, Seen(maps, everywhere), expression, everywhere),
        [np.stack(t) for t in zip(*each, strict=True)],
    )


@pytest.mark.parametrize(
    ("name", "index"), [("prediction", 0), ("spot_image", 1), ("spot_gene", 2), ("near_image", 3), ("near_gene", 4)]
)
def test_every_branch_is_the_formula(fixture, name, index):
    _, objective, step, expected = fixture
    found = (step.prediction if name == "prediction" else getattr(objective.pairs(step), name)).detach().numpy()
    assert found.shape == expected[index].shape
    assert np.abs(found - expected[index]).max() < 2e-5
    assert np.ptp(expected[index], axis=0).max() > 0.1  # spots differ: the batch is no trivial one


def test_a_fully_measured_batch_is_known_everywhere(fixture):
    _, objective, step, _ = fixture
    assert objective.pairs(step).near_known.tolist() == [True] * B


def test_the_loss_is_the_published_sum(fixture):
    _, objective, step, (_, z_sp, z_sg, z_np, z_ng) = fixture
    pairs = objective.pairs(step)
    l_s, l_n = contrast(z_sp, z_sg), contrast(z_np, z_ng)
    assert abs(paper_contrast(pairs.spot_image, pairs.spot_gene).item() - l_s) < 1e-4
    assert abs(paper_contrast(pairs.near_image, pairs.near_gene).item() - l_n) < 1e-4
    assert abs(objective(step).item() - (1.0 * l_s + 0.5 * l_n)) < 1e-4


def test_places_off_the_slide_leave_the_formula_of_the_others(fixture):
    """The paper knows no absent places: without two of nine, its formulas hold for the seven that are there."""
    net, objective, step, _ = fixture
    w, expression = weights(net, objective), step.expression
    torch.manual_seed(1)
    maps, present = torch.randn(B, 9, 32, 7, 7).relu(), torch.ones(B, 9, dtype=torch.bool)
    present[:, [1, 6]] = False
    known = torch.ones_like(present)
    known[3] = False
    out = objective.pairs(step_of(net, Seen(maps, present), expression, known))
    there = [0, 2, 3, SELF, 5, 7, 8]
    for b in range(3):
        expected = published(w, maps[b, there].double().numpy(), expression[b, there].double().numpy(), 3)
        for found, e in zip((out.near_image, out.near_gene), expected[3:], strict=True):
            assert np.abs(found[b].detach().numpy() - e).max() < 2e-5
    assert out.near_known.tolist() == [True, True, True, False]


def test_hypergraph_convolution_by_hand():
    """Nodes 0, 1, 2 hold 6, 2, 4; one hyperedge is {0, 1}, the other {1, 2}; Theta 2, b 0.5.

    The hyperedges' means are 4 and 3; node 0 sees 4, node 1 both (3.5), node 2 sees 3; then times 2, plus 0.5.
    """
    conv = HypergraphConv(1, 1)
    with torch.no_grad():
        conv.lin.weight.fill_(2)
        conv.bias.fill_(0.5)
        h = torch.tensor([[[1.0, 0], [1, 1], [0, 1]]])
        out = conv(torch.tensor([[[6.0], [2], [4]]]), h)
    assert out.flatten().tolist() == [8.5, 7.5, 6.5]


@pytest.mark.parametrize("alone", [[], [5], [0, 4, 8]])
def test_hypergraph_convolution_is_torch_geometric_s(alone):
    """The released code's convolution, with our weights; isolated nodes and empty hyperedges included."""
    torch.manual_seed(len(alone))
    ours, reference = HypergraphConv(7, 5), ReferenceConv(7, 5)
    torch.nn.init.normal_(ours.bias)
    reference.load_state_dict(ours.state_dict())
    x, present = torch.randn(3, 9, 7), torch.ones(3, 9, dtype=torch.bool)
    present[:, alone] = False
    h = incidence(x, present)
    for i in range(3):
        expected = reference(x[i], h[i].nonzero().T, num_edges=9)
        assert torch.allclose(ours(x, h)[i], expected, atol=1e-5)
        assert torch.allclose(expected[alone], ours.bias.expand(len(alone), -1))  # nothing reaches them


@pytest.mark.parametrize("size", [2, 5])
def test_collapsed_embeddings_by_hand(size):
    """Cosine 1 everywhere: InfoNCE is ln B; the published loss sees 20 against 2 and is nearly nothing."""
    same = torch.full((size, 3), 7.0)
    assert abs(info_nce(same, same).item() - math.log(size)) < 1e-5
    assert abs(paper_contrast(same, same).item() - (size - 1) * 1.523e-8) < 1e-7


def test_the_published_contrast_by_hand():
    """Row 1: cosines 0 (its own) and 0.8, logits 0 and 0.1 x 0.8 / 0.05 = 1.6. Row 2: both cosines 0.

    Their entropies are ln(1 + e^1.6) = 1.7839 and ln 2 = 0.6931; the loss is the mean.
    """
    image = torch.tensor([[0.8, 0.6, 0.0], [0.0, 0.0, 2.0]])
    gene = torch.tensor([[3.0, -4.0, 0.0], [1.0, 0.0, 0.0]])
    assert abs(paper_contrast(image, gene).item() - (1.7839 + 0.6931) / 2) < 1e-4
