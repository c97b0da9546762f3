"""The head of prediction against the plain formula of training, and what it computes no more than once."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from napari_nh2st.geometry import SELF
from napari_nh2st.model import folded_head
from napari_nh2st.model import linear as products
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.folded_head import FoldedHead
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.linear import linear
from napari_nh2st.model.nh2st import build
from napari_nh2st.model.stain import STAIN_FEATURES

DIM, HIDDEN, RANK, LANDMARKS = 24, 12, 6, 20


def net_of(**more):
    """A network whose norms, biases and kernel head are not those of a new one."""
    torch.manual_seed(0)
    arch = {"landmarks": LANDMARKS, "kernel_rank": RANK, **more}
    net = build(Architecture(width=4, dim=DIM, hidden=HIDDEN, heads=4, **arch), 5).eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.uniform_(0.5, 2)
                module.bias.normal_()
        net.head.image_graph.conv1.bias.normal_()
        net.head.image_graph.conv2.bias.normal_()
        if net.inputs is not None:
            net.inputs.fit(torch.randn(60, net.embedding_dim) * 2 + 1, STAIN_FEATURES)
        if net.kernel_head is not None:
            net.kernel_head.mean.normal_()
            net.kernel_head.std.uniform_(0.2, 2)  # some numbers are clipped
            net.kernel_head.landmarks.normal_()
            net.kernel_head.gamma.uniform_(0.02, 0.1)
            net.kernel_head.project.normal_()
    return net


def neighbourhoods(net, cells=30, places=40):
    """Cells that many places share; the first place is alone, a third of the neighbours are absent."""
    torch.manual_seed(1)
    embeddings = torch.randn(cells, net.embedding_dim) * 2
    nine = torch.stack([torch.randperm(cells)[:9] for _ in range(places)])  # of equal cells, any would be alike
    present = torch.rand(places, 9) > 0.3
    present[0] = False
    present[:, SELF] = True
    own = nine[:, SELF]
    return embeddings, own, torch.where(present, nine, own[:, None]), present


@pytest.mark.parametrize(
    "more",
    [{}, {"kernel_on": "stain"}, {"neighbours": False}, {"landmarks": 0, "kernel_rank": 0}, {"columns": 7}],
    ids=["kernel on both", "kernel on stain", "target alone", "no kernel", "main directions and stain"],
)
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@torch.inference_mode()
def test_it_is_the_plain_formula(more, index):
    net = net_of(**more)
    cells, own, nine, present = neighbourhoods(net)
    head = FoldedHead(net)
    folded = head.look(head.prepare(cells), own.to(index), nine.to(index), present)
    plain = net.hidden_vectors(Seen(cells[nine], present))
    assert folded.shape == plain.shape == (40, net.decoder.in_features)
    # single precision, products of up to some hundred numbers in another order
    assert torch.allclose(folded, plain, rtol=1e-4, atol=1e-4 * plain.std())


@torch.inference_mode()
def test_keys_far_from_zero_are_still_normalised_alike():
    """Layer norm of the keys is a difference of squares here: it may not lose what a common offset leaves."""
    net = net_of()
    with torch.no_grad():
        net.head.token[1].bias.fill_(30)
    cells, own, nine, present = neighbourhoods(net)
    head = FoldedHead(net)
    folded = head.look(head.prepare(cells), own, nine, present)
    plain = net.hidden_vectors(Seen(cells[nine], present))
    assert torch.allclose(folded, plain, rtol=1e-3, atol=1e-3 * plain.std())


@torch.inference_mode()
def test_half_precision_moves_the_learnt_part_alone_and_by_little():
    net = net_of()
    cells, own, nine, present = neighbourhoods(net)
    exact, half = (
        head.look(head.prepare(cells), own, nine, present) for head in (FoldedHead(net), FoldedHead(net, half=True))
    )
    assert half.dtype == torch.float32
    assert torch.equal(half[:, HIDDEN:], exact[:, HIDDEN:])
    apart = (half - exact)[:, :HIDDEN].abs()
    assert 0 < apart.max() < 2**-6 * exact[:, :HIDDEN].std()  # bfloat16 keeps eight bits; sums are exact to more


@torch.inference_mode()
def test_no_places_have_no_answers():
    net = net_of()
    head = FoldedHead(net)
    cells, own, nine, present = neighbourhoods(net)
    assert head.look(head.prepare(cells), own[:0], nine[:0], present[:0]).shape == (0, HIDDEN + RANK)


@torch.inference_mode()
def test_only_the_second_hypergraph_product_is_done_for_all_nine(monkeypatch):
    net = net_of()
    head = FoldedHead(net)
    cells, own, nine, present = neighbourhoods(net)
    rows: dict[tuple[int, int], int] = {}

    def counted(x, weight, bias=None):
        rows[weight.shape] = rows.get(weight.shape, 0) + len(x)
        return linear(x, weight, bias)

    monkeypatch.setattr(folded_head, "linear", counted)
    head.look(head.prepare(cells), own, nine, present)
    d, channels, stain = DIM, net.encoder.channels, net.embedding_dim - net.encoder.channels
    assert rows == {
        (d, channels): 30,  # tokens, a cell
        (2 * d, d): 30,  # the first hypergraph product, a cell
        (d, 2 * d): 9 * 40,  # the second one, a node
        (d, d): 4 * 40,  # queries, attention's output, both of its MLP: a place
        (HIDDEN, 2 * d): 40,
        (HIDDEN, HIDDEN): 40,
        (LANDMARKS, 2 * stain): 40,
        (LANDMARKS, 2 * channels): 40,
        (RANK, LANDMARKS): 40,
        (RANK, 2 * net.embedding_dim): 40,
    }


def test_folding_leaves_the_network_as_it_is():
    net = net_of()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    head = FoldedHead(net)
    with torch.inference_mode():
        cells, own, nine, present = neighbourhoods(net)
        head.look(head.prepare(cells), own, nine, present)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("shape", [(1, 3, 4), (50, 96, 33), (0, 5, 6)])
@pytest.mark.parametrize("biased", [True, False])
@torch.inference_mode()
def test_a_product_is_torch_s(shape, biased):
    rows, inputs, outputs = shape
    torch.manual_seed(0)
    x, weight, bias = torch.randn(rows, inputs + 7)[:, 7:], torch.randn(outputs, inputs), torch.randn(outputs)
    expected = F.linear(x, weight, bias if biased else None)
    assert torch.allclose(linear(x, weight, bias if biased else None), expected, rtol=1e-5, atol=1e-5)


def test_without_onednn_it_is_torch_s_own(monkeypatch):
    monkeypatch.setattr(products, "_has_onednn", lambda: False)
    x, weight = torch.randn(5, 4), torch.randn(3, 4)
    assert torch.equal(linear(x, weight), F.linear(x, weight))


def test_a_torch_that_has_changed_its_product_is_not_asked_again(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", lambda *_: 1 / 0, raising=False)
    products._has_onednn.cache_clear()
    try:
        with pytest.raises(ZeroDivisionError):  # an error of another kind is a fault, and shows
            products._has_onednn()
        monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", _takes_other_arguments, raising=False)
        assert not products._has_onednn()
    finally:
        products._has_onednn.cache_clear()


def _takes_other_arguments(x, weight):
    return x @ weight.T
