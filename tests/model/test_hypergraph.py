import numpy as np
import torch

from napari_nh2st.model.hypergraph import HypergraphConv, incidence, restrict


def by_hand(x, h, theta, bias):
    """X' = D^-1 H B^-1 H^T X Theta + b with explicit diagonal matrices, for one neighbourhood."""
    d, b = h.sum(1), h.sum(0)
    inverse = [np.diag(np.divide(1, v, out=np.zeros_like(v), where=v > 0)) for v in (d, b)]
    return inverse[0] @ h @ inverse[1] @ h.T @ x @ theta + bias


def test_convolution_equals_the_formula():
    torch.manual_seed(0)
    conv = HypergraphConv(5, 3)
    torch.nn.init.normal_(conv.bias)
    x = torch.randn(4, 9, 5)
    h = incidence(x, torch.rand(4, 9) > 0.3)
    out = conv(x, h).detach().numpy()
    theta, bias = conv.lin.weight.detach().numpy().T, conv.bias.detach().numpy()
    for i in range(4):
        assert np.allclose(out[i], by_hand(x[i].numpy(), h[i].numpy(), theta, bias), atol=1e-5)


def test_a_hyperedge_holds_its_node_and_its_three_most_similar():
    torch.manual_seed(1)
    x = torch.randn(1, 9, 7)
    h = incidence(x, torch.ones(1, 9, dtype=torch.bool))[0]
    assert h.sum() == 36
    unit = x[0] / x[0].norm(dim=1, keepdim=True)
    similarity = (unit @ unit.T).numpy()
    for edge in range(9):
        others = [j for j in np.argsort(-similarity[edge]) if j != edge][:3]
        assert set(np.flatnonzero(h[:, edge].numpy())) == {edge, *others}


def test_absent_places_join_no_hyperedge_and_change_nothing():
    torch.manual_seed(2)
    conv = HypergraphConv(6, 6)
    x = torch.randn(3, 9, 6)
    present = torch.ones(3, 9, dtype=torch.bool)
    present[:, [0, 7]] = False
    h = incidence(x, present)
    assert h[:, [0, 7]].sum() == 0
    assert h[:, :, [0, 7]].sum() == 0
    other = x.clone()
    other[:, [0, 7]] = 100
    assert torch.allclose(conv(x, h)[present], conv(other, incidence(other, present))[present])


def test_a_lone_place_keeps_to_itself():
    x = torch.randn(1, 9, 4)
    present = torch.zeros(1, 9, dtype=torch.bool)
    present[0, 4] = True
    h = incidence(x, present)
    assert h.sum() == 1
    assert h[0, 4, 4] == 1


def test_unknown_expression_leaves_the_image_s_hyperedges():
    x = torch.randn(1, 9, 4)
    h = incidence(x, torch.ones(1, 9, dtype=torch.bool))
    known = torch.ones(1, 9, dtype=torch.bool)
    known[0, 2] = False
    kept = restrict(h, known)
    assert kept[0, 2].sum() == 0
    assert kept[0, :, 2].sum() == 0
    rest = [i for i in range(9) if i != 2]
    assert torch.equal(kept[0][rest][:, rest], h[0][rest][:, rest])
