"""The head `sepal` and the values `delta`: nothing learnt is the training mean; the refiner adds, or does no harm."""

import dataclasses

import numpy as np
import torch
from torch.nn import functional as F

from napari_nh2st import metrics
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.heads.sepal import GraphConv
from napari_nh2st.model.nh2st import build
from napari_nh2st.targets import LN1P_CP10K, TARGETS, SpotCounts
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.network.label_units import fold_labels

GENES, CHANNELS = 6, 12


def test_a_zero_network_gives_the_training_mean():
    rng, delta = np.random.default_rng(0), TARGETS["delta"]
    depth = rng.lognormal(8, 0.5, 70)
    training = SpotCounts(rng.poisson(depth[:, None] * rng.uniform(1e-4, 1e-2, GENES)).astype(np.float32), depth)
    facts = delta.learn(training)
    mean = LN1P_CP10K.make(training, {}).astype(np.float64).mean(axis=0)
    assert np.array_equal(facts["mean"], mean)
    labels = delta.make(training, facts)
    assert np.allclose(labels + np.float32(facts["mean"]), LN1P_CP10K.make(training, {}), atol=1e-6)

    net = build(Architecture(variant="sepal", width=4, dim=16, hidden=12, heads=4), GENES).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    seen = seen_with(torch.randn(5, 9, net.encoder.channels))
    assert not net.decoder(net.hidden_vectors(seen)).any()  # a difference of 0
    # As it is trained: on standardised labels, which the decoder undoes.
    fold_labels(net, LabelScale(labels.mean(axis=0), labels.std(axis=0)))
    assert np.allclose(net.decoder(net.hidden_vectors(seen)).detach() + np.array(facts["mean"]), mean, atol=1e-6)


def test_the_refiner_begins_at_nothing():
    torch.manual_seed(0)
    arch = Architecture(variant="sepal", width=4, dim=16, hidden=12, heads=4, dropout=0.0)
    refined, net = (build(arch.model_copy(update={"neighbours": on}), GENES).eval() for on in (True, False))
    net.load_state_dict(refined.state_dict())
    seen = seen_with(torch.randn(5, 9, net.encoder.channels))
    assert torch.equal(refined.hidden_vectors(seen), net.hidden_vectors(seen))


def test_a_graph_convolution_is_its_formula():
    torch.manual_seed(0)
    layer, x = GraphConv(3, 2), torch.randn(1, 4, 3)
    links = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1.0]])
    root = np.diag(links.sum(1).numpy() ** -0.5)
    weight, bias = (t.detach().numpy() for t in (layer.weight.weight, layer.weight.bias))
    expected = root @ links.numpy() @ root @ x[0].numpy() @ weight.T + bias
    assert np.allclose(layer(x, links[None])[0].detach(), expected, atol=1e-5)


def seen_with(nine):
    return Seen(nine, torch.ones(nine.shape[:2], dtype=torch.bool))


def spots(count, near, seed):
    """Spots whose genes follow their own look and, by so much, the mean look of their neighbours."""
    generator = torch.Generator().manual_seed(seed)
    nine = torch.randn((count, 9, CHANNELS), generator=generator)
    around = (nine.sum(1) - nine[:, SELF]) / 8**0.5
    noise = torch.randn((count, GENES), generator=generator)
    return seen_with(nine), nine[:, SELF, :GENES] + near * around[:, -GENES:] + noise


def predicted(near, refined):
    """Train on a few hundred spots, with the refiner or without; measured and predicted at others."""
    torch.manual_seed(0)
    arch = Architecture(variant="sepal", width=4, dim=32, hidden=16, heads=4, dropout=0.1)
    net = build(arch.model_copy(update={"neighbours": refined}), GENES)
    head = net.head.__class__(net.arch, CHANNELS)
    optimiser = torch.optim.AdamW([*head.parameters(), *net.decoder.parameters()], lr=3e-3, weight_decay=0.05)
    seen, labels = spots(400, near, seed=1)
    for _ in range(80):
        rows = torch.randperm(400)[:100]
        part = dataclasses.replace(seen, nine=seen.nine[rows], present=seen.present[rows])
        optimiser.zero_grad()
        F.mse_loss(net.decoder(head.hidden(part)), labels[rows]).backward()
        optimiser.step()
    seen, labels = spots(500, near, seed=2)
    with torch.inference_mode():
        return labels.numpy(), net.decoder(head.eval().hidden(seen)).numpy()


def gain(near):
    """How far the refined model is ahead, mean PCC, with the 95% interval over draws of the same spots."""
    measured, refined = predicted(near, refined=True)
    alone = predicted(near, refined=False)[1]

    def ahead(rows):
        both = (metrics.pcc(measured[rows], p[rows]).per_gene.mean() for p in (refined, alone))
        return next(both) - next(both)

    draws = np.random.default_rng(0).integers(0, len(measured), (100, len(measured)))
    low, high = np.percentile([ahead(rows) for rows in draws], (2.5, 97.5))
    return ahead(slice(None)), low, high


def test_refined_is_not_behind_unrefined():
    """Paired, on the same spots: far ahead where neighbours decide; where they say nothing, noise costs a little."""
    _, low, _ = gain(near=1.0)
    assert low > 0.05
    ahead, _, _ = gain(near=0.0)
    assert ahead > -0.02
