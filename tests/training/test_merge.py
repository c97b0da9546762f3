"""The head `merge`: its graph, and what only tissue far away tells."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_nh2st import metrics
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.heads.merge import GraphAttention
from napari_nh2st.model.heads.seen import Seen, SlideSample
from napari_nh2st.model.heads.tissue_graph import TissueGraph, clusters
from napari_nh2st.model.nh2st import build

GENES, CHANNELS, PLACES = 4, 8, 24
FAR = 6000.0  # µm from all spots


def test_the_graph_is_the_one_that_is_drawn_by_hand():
    """Three groups of places by where they lie, two by how they look."""
    at = [(0, 0), (100, 0), (190, 0), (3000, 0), (3000, 110), (3000, 200), (0, 5000)]
    look = [(0, 0), (9, 9), (9.2, 9), (0.1, 0), (0.3, 0), (9.5, 9), (0.1, 0.2)]
    graph = TissueGraph.of(np.array(at, float), np.array(look, float), near=3, alike=2)
    near_star = {(0, 1), (2, 1), (3, 4), (5, 4)}  # place 6 lies alone
    near_ring = {(1, 4), (1, 6), (4, 6)}
    alike_star = {(0, 3), (4, 3), (6, 3), (1, 2), (5, 2)}
    alike_ring = {(2, 3)}
    assert {tuple(link) for link in graph.near.star.tolist()} == near_star
    assert {tuple(link) for link in graph.alike.star.tolist()} == alike_star
    drawn = np.eye(7, dtype=bool)
    for a, b in near_star | near_ring | alike_star | alike_ring:
        drawn[a, b] = drawn[b, a] = True
    assert np.array_equal(graph.links, drawn)


def test_clusters_do_not_depend_on_the_order_of_places():
    """On a lattice, where many distances are equal, and where the slide's corner lies elsewhere by a rounding."""
    rng = np.random.default_rng(0)
    lattice = 140.0 * np.argwhere(rng.random((24, 20)) < 0.5)[:, ::-1]
    found = clusters(lattice, 5)
    assert len(found.means) == 5
    order = rng.permutation(len(lattice))
    again = clusters(lattice[order] + rng.normal(0, 0.01, lattice.shape) + 700, 5)
    assert {tuple(lattice[hub]) for hub in found.hubs} == {tuple(lattice[order[hub]]) for hub in again.hubs}
    together = found.of[order][:, None] == found.of[order]
    assert (together == (again.of[:, None] == again.of)).mean() > 0.98  # but for places amid two clusters


def test_fewer_places_than_clusters_are_clusters_of_one():
    assert clusters(np.array([[0.0, 0], [0, 0], [5, 5]]), 4).of.tolist() == [1, 1, 0]
    assert len(clusters(np.empty((0, 2)), 4).hubs) == 0


def test_a_layer_listens_along_links_alone():
    torch.manual_seed(0)
    layer, x = GraphAttention(8, 2, 0.5).eval(), torch.randn(1, 3, 8)
    links = torch.tensor([[[1, 1, 0], [1, 1, 0], [0, 0, 1]]], dtype=torch.bool)
    other = x.clone()
    other[:, 2] = torch.randn(8)
    assert torch.equal(layer(x, links)[:, :2], layer(other, links)[:, :2])
    other[:, 1] = torch.randn(8)
    assert not torch.allclose(layer(x, links)[:, 0], layer(other, links)[:, 0])
    score = F.leaky_relu(
        (layer._values(x) * layer.listen).sum(-1)[:, :, None] + (layer._values(x) * layer.speak).sum(-1)[:, None], 0.2
    )
    share = score[:, 0, :2].softmax(1)  # of the first node, (1, 2, heads)
    heard = (share[..., None] * layer._values(x)[:, :2]).sum(1).flatten(1)
    assert torch.allclose(layer(x, links)[:, 0], x[:, 0] + F.elu(heard + layer.bias), atol=1e-6)


def slides(count, spots, seed):
    """Slides on which one place of tissue far from all spots is of its own kind, and has what the genes follow."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(shape, generator=generator)

    of, rows = torch.arange(count).repeat_interleave(spots), torch.arange(count)
    sample, at = 0.3 * noise(count, PLACES, CHANNELS), 2000 * torch.rand((count, PLACES, 2), generator=generator)
    place, told = torch.randint(PLACES, (count,), generator=generator), noise(count)
    sample[rows, place, 0], sample[rows, place, 1] = 3.0, 3 * told
    at[rows, place] += FAR
    nine, centres = 0.3 * noise(len(of), 9, CHANNELS), 2000 * torch.rand((len(of), 2), generator=generator)
    there, present = torch.ones(count, PLACES, dtype=torch.bool), torch.ones(len(of), 9, dtype=torch.bool)
    labels = told[of, None] * torch.tensor([1.0, -1.0, 2.0, 0.5]) + 0.1 * noise(len(of), GENES)
    return Seen(nine, present, SlideSample(sample, there, at), of, centres), labels


def learn(variant, **more):
    """Train a head on slides, new ones in each step; PCC over spots of slides that it has not seen."""
    torch.manual_seed(0)
    arch = Architecture(variant=variant, width=4, dim=32, hidden=32, heads=4, dropout=0.0, **more)
    net = build(arch, GENES)
    head = net.head.__class__(arch, CHANNELS)  # without the encoder's channels
    optimiser = torch.optim.AdamW([*head.parameters(), *net.decoder.parameters()], lr=3e-3)

    def predict(seen):
        seen = dataclasses.replace(seen, digest=head.digest(seen.sample))
        return net.decoder(head.hidden(seen))

    for step in range(160):
        seen, labels = slides(24, 2, seed=step)
        optimiser.zero_grad()
        F.mse_loss(predict(seen), labels).backward()
        optimiser.step()
    head.eval()
    seen, labels = slides(60, 3, seed=10_000)
    with torch.inference_mode():
        return metrics.pcc(labels.numpy(), predict(seen).numpy()).per_gene.mean()


@pytest.mark.long
def test_a_signal_from_far_away_is_recovered():
    assert learn("context", neighbours=False) < 0.2
    assert learn("merge") > 0.7
