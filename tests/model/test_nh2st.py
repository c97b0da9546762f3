import math

import pytest
import torch
from torch.nn import functional as F

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.cross_attention import CrossAttention
from napari_nh2st.model.encoder import BasicBlock, ResNet18
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.hypergraph import masked_mean
from napari_nh2st.model.nh2st import build
from support.models import small_card, step_of


def net_of(variant, n_genes=6):
    torch.manual_seed(0)
    return build(small_card(variant).architecture, n_genes).eval()


def batch(net, n=5, n_genes=6):
    torch.manual_seed(1)
    shape = (n, 9, net.encoder.channels) if net.dense else (n, 9, net.encoder.channels, 7, 7)
    present = torch.rand(n, 9) > 0.3
    present[:, SELF] = True
    known = torch.rand(n, 9) > 0.3
    known[:, SELF] = True
    return torch.randn(shape), present, torch.randn(n, 9, n_genes), known


def test_encoder_has_torchvision_s_parameter_names_and_shapes():
    """Names and shapes of torchvision's resnet18 without `fc`, written down from its documentation."""
    state = ResNet18(64, 32).state_dict()
    assert state["conv1.weight"].shape == (64, 3, 7, 7)
    assert state["layer1.0.conv1.weight"].shape == (64, 64, 3, 3)
    assert state["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert state["layer3.1.bn2.running_var"].shape == (256,)
    assert state["layer4.1.conv2.weight"].shape == (512, 512, 3, 3)
    assert sum(v.numel() for k, v in state.items() if "weight" in k or "bias" in k) == 11_689_512 - 513_000


@pytest.mark.parametrize("stride", [16, 32])
def test_encoder_s_cells_and_receptive_radius(stride):
    torch.manual_seed(0)
    net = ResNet18(4, stride).eval()
    size = 2 * net.receptive_radius + 6 * stride
    size -= size % stride
    x = torch.randn(1, 3, size, size, requires_grad=True)
    maps = net(x)
    assert maps.shape == (1, 32, size // stride, size // stride)
    cell = size // stride // 2
    maps[0, :, cell, cell].abs().sum().backward()
    touched = torch.nonzero(x.grad[0].abs().sum(0))
    reach = (touched - cell * stride).abs().max().item()
    assert reach <= net.receptive_radius
    assert reach >= net.receptive_radius - stride


def test_paper_flattens_the_target_by_place_and_the_neighbours_by_channel():
    net = net_of("paper")
    maps = torch.randn(2, net.encoder.channels, 7, 7)
    by_hand = torch.stack([maps[:, c, i, j] for i in range(7) for j in range(7) for c in range(maps.shape[1])], dim=1)
    assert torch.allclose(net.head.embed(maps), net.head.target(by_hand))


def test_paper_s_cross_attention_over_one_token_is_the_formula():
    """Softmax over a single key is 1: what remains is the value's projection, as in the published model."""
    torch.manual_seed(0)
    x = CrossAttention(16, 4, 0.5).eval()
    kv, q = torch.randn(3, 16), torch.randn(3, 16)
    value = F.linear(x.norm1(kv), x.to_kv.weight[16:])
    z = q + x.to_out(value)
    z = z + x.mlp(x.norm2(z))
    assert torch.allclose(x(kv[:, None], q), x.norm(z), atol=1e-6)


def test_paper_cannot_see_its_neighbours_and_context_can():
    for variant, sees in (("paper", False), ("context", True)):
        net = net_of(variant)
        embeddings = torch.randn(4, 9, net.embedding_dim)
        present = torch.ones(4, 9, dtype=torch.bool)
        other = embeddings.clone()
        other[:, 0] += 5
        before, after = (net.hidden_vectors(Seen(e, present)) for e in (embeddings, other))
        assert torch.allclose(before, after) is not sees


def test_context_prediction_does_not_read_measured_expression():
    net = net_of("context")
    embeddings, present, expression, known = batch(net)
    first = step_of(net, Seen(embeddings, present), expression, known).prediction
    assert torch.allclose(first, net.decoder(net.hidden_vectors(Seen(embeddings, present))), atol=1e-6)


def test_masked_mean_by_hand():
    nodes = torch.arange(18.0).view(1, 9, 2)
    present = torch.zeros(1, 9, dtype=torch.bool)
    present[0, [0, 4]] = True
    assert masked_mean(nodes, present).tolist() == [[4.0, 5.0]]
    assert masked_mean(nodes, torch.zeros(1, 9, dtype=torch.bool)).tolist() == [[0.0, 0.0]]


def test_the_published_sizes():
    """ResNet-18 at 224 px gives 512 x 7 x 7; 25,088 values go through one linear layer to 512."""
    arch = Architecture(variant="paper", width=64, stride=32, dim=512, hidden=256)
    net = build(arch, 250)
    assert arch.patch == 224
    assert net.head.target.in_features == math.prod((512, 7, 7)) == 25_088
    assert net.head.image_graph.conv1.lin.weight.shape == (1024, 25_088)
    assert net.head.image_graph.conv2.lin.weight.shape == (512, 1024)
    assert (net.head.to_hidden.out_features, net.decoder.out_features) == (256, 250)


def test_the_shortcut_is_a_strided_convolution():
    torch.manual_seed(0)
    block = BasicBlock(8, 16, 2)
    x = torch.randn(2, 8, 16, 16)
    conv, norm = block.downsample
    strided = F.conv2d(x, conv.weight, stride=2)
    assert torch.allclose(block.downsample(x[:, :, ::2, ::2]), norm(strided), atol=1e-5)
    assert block(x).shape == (2, 16, 8, 8)
