"""Conversion, held against a network with the released code's layer names, written here on its own.

`Released` has the structure of the published description and the released checkpoints' names; attention, hypergraph
(torch-geometric's) and encoder are none of the package's.
"""

import math

import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F
from torch_geometric.nn import HypergraphConv

from napari_nh2st.errors import ModelError
from napari_nh2st.model.convert import convert_checkpoint
from napari_nh2st.model.encoder_file import load_encoder
from napari_nh2st.model.folder import load_model
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.training.objectives.contrast import paper_contrast
from napari_nh2st.training.objectives.paper_contrast import PaperContrast
from napari_nh2st.training.objectives.table import PublishedContrastOptions
from support.models import step_of

WIDTH, D, HIDDEN, GENES = 4, 16, 12, 5
FLAT = 49 * 8 * WIDTH


class Holder(nn.Module):
    """A module with the given children, whose forward is written by whoever holds it."""

    def __init__(self, **children):
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)


class Residual(nn.Module):
    def __init__(self, a, b, step):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, step, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        if a != b:
            self.downsample = nn.Sequential(nn.Conv2d(a, b, 1, step, bias=False), nn.BatchNorm2d(b))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


def resnet_parts(w=WIDTH):
    stages = [(w, w, 1), (w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 2)]
    return {
        "conv1": nn.Conv2d(3, w, 7, 2, 3, bias=False),
        "bn1": nn.BatchNorm2d(w),
        "relu": nn.ReLU(),
        "maxpool": nn.MaxPool2d(3, 2, 1),
        **{f"layer{i}": nn.Sequential(Residual(a, b, s), Residual(b, b, 1)) for i, (a, b, s) in enumerate(stages, 1)},
    }


class Released(nn.Module):
    def __init__(self, blocks=1, ratio=1):
        super().__init__()
        self.target_encoder = nn.Sequential(*resnet_parts().values())
        self.exp_encoder = nn.Sequential(nn.Linear(GENES, D), nn.Linear(D, D))

        def graph(inputs):
            first, second = HypergraphConv(inputs, 2 * D), HypergraphConv(2 * D, D)
            return Holder(layer1=Holder(conv=first), layer2=Holder(conv=second))

        self.neighbor_encoder, self.neighbor_exp_encoder = graph(FLAT), graph(D)
        mlp = [nn.Linear(D, ratio * D), nn.GELU(), nn.Dropout(), nn.Linear(ratio * D, D), nn.Dropout()]

        def block():
            attention = Holder(
                to_q=nn.Linear(D, D, bias=False),
                to_kv=nn.Linear(D, 2 * D, bias=False),
                to_out=nn.Sequential(nn.Linear(D, D), nn.Dropout()),
            )
            parts = (attention, Holder(net=nn.Sequential(*mlp)))
            return nn.ModuleList([Holder(norm=nn.LayerNorm(D), fn=part) for part in parts])

        layers = nn.ModuleList([block() for _ in range(blocks)])
        self.cross_encoder = Holder(fusion_layer=Holder(layers=layers), norm=nn.LayerNorm(D))
        self.fc = nn.Linear(FLAT, D)
        self.decoder = Holder(fc1=nn.Linear(D, HIDDEN), fc2=nn.Linear(HIDDEN, GENES))
        for unused in ("fc_target", "fc_neighbor", "fc_nuclei", "fc_global"):
            self.add_module(unused, nn.Linear(D, GENES))

    def cross(self, kv, q):
        """Attention with all eight heads, over the single key of each row."""
        attention, mlp = self.cross_encoder.fusion_layer.layers[0]
        heads = (8, D // 8)
        query = attention.fn.to_q(attention.norm(q)).view(-1, *heads)
        key, value = (t.view(-1, *heads) for t in attention.fn.to_kv(attention.norm(kv)).split(D, dim=1))
        weights = ((query * key).sum(-1, keepdim=True) / math.sqrt(D // 8)).unsqueeze(-1).softmax(-1).squeeze(-1)
        q = q + attention.fn.to_out((weights * value).flatten(1))
        return self.cross_encoder.norm(q + mlp.fn.net(mlp.norm(q)))

    def graph(self, which, x, index):
        x = F.relu(which.layer1.conv(x, index))
        return F.relu(which.layer2.conv(x, index)).mean(0)

    def forward(self, patches, expression):
        """(B, 9, 3, 224, 224), (B, 9, G) -> prediction, z_s^p, z_s^g, z_n^p, z_n^g; the fifth patch is the target."""
        maps = torch.stack([self.target_encoder(p) for p in patches])
        h_sp = self.fc(maps[:, 4].permute(0, 2, 3, 1).flatten(1))
        genes = self.exp_encoder(expression)
        near = []
        for x, e in zip(maps.flatten(2), genes, strict=True):
            similarity = F.cosine_similarity(x[:, None], x[None], dim=-1).fill_diagonal_(-1)
            pairs = [(int(n), i) for i in range(9) for n in [i, *similarity[i].topk(3).indices]]
            index = torch.tensor(pairs).T
            near.append((self.graph(self.neighbor_encoder, x, index), self.graph(self.neighbor_exp_encoder, e, index)))
        h_np, h_ng = (torch.stack(t) for t in zip(*near, strict=True))
        z_sp = self.cross(genes[:, 4], h_sp)
        z_np = self.cross(h_ng, h_np)
        prediction = self.decoder.fc2(self.decoder.fc1(h_sp))
        return prediction, z_sp, self.cross(z_sp, genes[:, 4]), z_np, self.cross(z_np, h_ng)


def a_net(**settings):
    torch.manual_seed(0)
    net = Released(**settings)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if p.ndim == 1:  # norms and biases start at 0 and 1, where mistakes do not show
                p.add_(0.1 * torch.randn(p.shape))
            assert p.isfinite().all(), name
        for _ in range(3):
            net.target_encoder(torch.randn(2, 3, 96, 96))
    return net.eval()


def saved(folder, state, **more):
    """A checkpoint as Lightning writes it."""
    folder.mkdir(exist_ok=True)
    path = folder / "epoch=20.ckpt"
    facts = {
        "epoch": 20,
        "global_step": 100,
        "pytorch-lightning_version": "1.8.6",
        "state_dict": state,
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 5e-4}]}],
        "hyper_parameters": {"num_genes": GENES, "emb_dim": D, "res_neighbor": (5, 5), "dropout1": 0.5},
    }
    torch.save(facts | more, path)
    return path


def gene_list(folder, n=GENES):
    path = folder / "genes.txt"
    path.write_text("".join(f"G{i}\n" for i in range(n)))
    return path


@pytest.fixture
def genes(tmp_path):
    return gene_list(tmp_path)


@pytest.fixture(scope="module")
def state():
    return a_net().state_dict()


@pytest.mark.parametrize("prefix", ["", "model."])
def test_every_branch_gives_the_same_numbers(tmp_path, genes, prefix):
    net = a_net()
    ckpt = saved(tmp_path, {prefix + k: v for k, v in net.state_dict().items()})
    model = load_model(convert_checkpoint(ckpt, genes, tmp_path / "model", mpp=0.694))
    torch.manual_seed(1)
    patches, expression = torch.randn(3, 9, 3, 224, 224), torch.rand(3, 9, GENES) * 3
    everywhere = torch.ones(3, 9, dtype=torch.bool)
    with torch.no_grad():
        expected = net(patches, expression)
        maps = torch.stack([model.net.encoder(p) for p in patches])
        objective = PaperContrast(PublishedContrastOptions(), model.card.architecture, GENES).eval()
        objective.load_state_dict(for_losses(net.state_dict()))
        step = step_of(model.net, Seen(maps, everywhere), expression, everywhere)
        pairs = objective.pairs(step)
        embedding = model.net.encode(patches[:, 4])
        alone = model.net.decoder(model.net.hidden_vectors(Seen(embedding[:, None], everywhere[:, :1])))
    found = (step.prediction, pairs.spot_image, pairs.spot_gene, pairs.near_image, pairs.near_gene)
    for name, e, f in zip(("prediction", "z_sp", "z_sg", "z_np", "z_ng"), expected, found, strict=True):
        assert torch.allclose(e, f, atol=1e-5), (name, (e - f).abs().max())
        assert e.std() > 0.01, name
    assert torch.allclose(alone, expected[0], atol=1e-5)
    _, *z = expected
    loss = paper_contrast(*z[:2]) + 0.5 * paper_contrast(*z[2:])
    assert torch.isclose(objective(step), loss, atol=1e-5)


def for_losses(state):
    """What of a checkpoint the losses alone need, by the names of our objective."""
    block = "cross_encoder.fusion_layer.layers.0."
    names = {
        "exp_encoder.": "gene_encoder.",
        "neighbor_exp_encoder.layer1.conv.": "gene_graph.conv1.",
        "neighbor_exp_encoder.layer2.conv.": "gene_graph.conv2.",
        block + "0.norm.": "cross.norm1.",
        block + "0.fn.to_q.": "cross.to_q.",
        block + "0.fn.to_kv.": "cross.to_kv.",
        block + "0.fn.to_out.0.": "cross.to_out.",
        block + "1.norm.": "cross.norm2.",
        block + "1.fn.net.": "cross.mlp.",
        "cross_encoder.norm.": "cross.norm.",
    }
    return {b + k.removeprefix(a): v for a, b in names.items() for k, v in state.items() if k.startswith(a)}


def test_the_card_says_what_is_known_and_what_is_not(tmp_path, genes, state):
    told = []
    extra = {"valid_metric.total": torch.tensor(3.0)}
    out = convert_checkpoint(saved(tmp_path, state | extra), genes, tmp_path / "m", mpp=0.694, progress=told.append)
    assert told == [
        "left out, for its losses alone: cross_encoder, exp_encoder, neighbor_exp_encoder",
        "left out, no part of the network: fc_global, fc_neighbor, fc_nuclei, fc_target, valid_metric",
    ]
    model = load_model(out)
    card, arch = model.card, model.card.architecture
    assert (arch.variant, arch.width, arch.stride, arch.dim, arch.hidden, arch.heads) == ("paper", 4, 32, 16, 12, 8)
    assert (card.name, card.mpp, card.pitch, card.patch) == ("epoch=20", 0.694, 288, 224)
    assert card.genes == [f"G{i}" for i in range(GENES)]
    assert card.unit == "log10(1 + counts per 10,000 of the panel), smoothed"
    assert card.gene_means is None
    assert card.trust("G0") == "not evaluated"
    assert card.unit in (out / "README.md").read_text()


def test_pitch_name_and_a_pixel_size_among_the_settings(tmp_path, genes, state):
    ckpt = saved(tmp_path, state, hyper_parameters={"mpp": 0.47})
    card = load_model(convert_checkpoint(ckpt, genes, tmp_path / "m", pitch=224, name="mine")).card
    assert (card.name, card.mpp, card.pitch) == ("mine", 0.47, 224)
    assert load_model(convert_checkpoint(ckpt, genes, tmp_path / "n")).card.pitch == 416


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_a_pickled_object_is_refused_and_not_run(tmp_path, genes, state):
    for i, where in enumerate(("hyper_parameters", "callbacks")):
        ckpt = saved(tmp_path / str(i), state, **{where: {"x": Bomb(tmp_path / "ran")}})
        with pytest.raises(ModelError, match=r"pickled objects \(.*open\)") as error:
            convert_checkpoint(ckpt, genes, tmp_path / "m", mpp=0.5)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "m").exists()


def test_lightning_s_own_objects_are_left_out(tmp_path, genes, state):
    """Old Lightning had callback classes as keys; settings may be objects of its own."""
    from lightning.fabric.utilities.data import AttributeDict
    from lightning.pytorch.callbacks import ModelCheckpoint

    more = {"callbacks": {ModelCheckpoint: {"best": 0.2}}, "hyper_parameters": AttributeDict(mpp=0.5)}
    ckpt = saved(tmp_path, state, **more)
    assert load_model(convert_checkpoint(ckpt, genes, tmp_path / "m")).card.mpp == 0.5


def without(state, key):
    return {k: v for k, v in state.items() if k != key}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: without(s, "decoder.fc1.bias"), r"nothing for head\.to_hidden\.bias"),
        (lambda s: s | {"fc.weight": torch.zeros(D, FLAT + 1)}, "size mismatch"),
        (lambda s: s | {"decoder.fc3.weight": torch.zeros(D, D)}, r"decoder\.fc3\.weight"),
        (lambda s: s | {"neighbor_encoder.layer1.conv.more": torch.zeros(D)}, r"image_graph\.conv1\.more"),
        (lambda s: {}, "no weights"),
        (lambda s: {"head.weight": torch.zeros(2)}, "neither"),
    ],
)
def test_another_network_is_one_line(tmp_path, genes, state, change, said):
    with pytest.raises(ModelError, match=said) as error:
        convert_checkpoint(saved(tmp_path, change(state)), genes, tmp_path / "m", mpp=0.5)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "m").exists()


def test_what_is_asked_for_is_checked(tmp_path, genes, state):
    ckpt, out = saved(tmp_path, state), tmp_path / "m"
    (tmp_path / "few").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("keep")
    not_a_checkpoint = tmp_path / "photo.ckpt"
    not_a_checkpoint.write_bytes(b"\x89PNG" * 99)
    for arguments, facts, said in [
        ((ckpt, gene_list(tmp_path / "few", 4), out), {"mpp": 0.5}, "has 4 genes, but .* predicts 5"),
        ((ckpt, None, out), {"mpp": 0.5}, "genes="),
        ((ckpt, tmp_path / "none.txt", out), {"mpp": 0.5}, "cannot read the gene symbols"),
        ((ckpt, genes, out), {}, "mpp="),
        ((ckpt, genes, out), {"mpp": 50}, "no model can be made of .*: mpp"),
        ((ckpt, genes, tmp_path / "taken"), {"mpp": 0.5}, "exists already"),
        ((not_a_checkpoint, genes, out), {"mpp": 0.5}, "not a checkpoint"),
        ((tmp_path / "absent.ckpt", genes, out), {"mpp": 0.5}, "no checkpoint"),
    ]:
        with pytest.raises(ModelError, match=said) as error:
            convert_checkpoint(*arguments, **facts)
        assert "\n" not in str(error.value)
    assert not out.exists()
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["mine.txt"]


def encoder_checkpoint(folder):
    """As the self-supervised encoder is published: Lightning's prefix, the network's own, a head, a callback."""
    from lightning.pytorch.callbacks import ModelCheckpoint

    torch.manual_seed(0)
    parts = nn.Sequential(*resnet_parts().values())
    for _ in range(3):
        parts(torch.randn(2, 3, 96, 96))
    named = zip(resnet_parts(), parts.eval(), strict=True)
    state = {f"model.resnet.{name}.{k}": v for name, part in named for k, v in part.state_dict().items()}
    head = {"model.resnet.fc.weight": torch.zeros(2, 2), "model.projection.weight": torch.zeros(2, 2)}
    return parts, saved(folder, state | head, callbacks={ModelCheckpoint: {}})


def test_a_checkpoint_of_an_encoder_becomes_an_encoder_file(tmp_path):
    parts, ckpt = encoder_checkpoint(tmp_path)
    told = []
    out = convert_checkpoint(ckpt, None, tmp_path / "encoder.safetensors", progress=told.append)
    assert told == [
        "left out, no part of the network: fc, projection",
    ]
    x = torch.randn(2, 3, 128, 128)
    assert torch.allclose(load_encoder(out)(x), parts(x), atol=1e-5)
    with safe_open(out, framework="pt") as file:
        assert file.metadata() == {"width": "4", "stride": "32", "blocks": "2", "source": "epoch=20.ckpt"}
        assert "layer2.0.downsample.0.weight" in file.keys()  # noqa: SIM118
    with pytest.raises(ModelError, match=r"ends in \.safetensors"):
        convert_checkpoint(ckpt, None, tmp_path / "folder")


def test_the_command(tmp_path, genes, state, nh2st):
    ckpt, out = saved(tmp_path, state), tmp_path / "m"
    status, printed, said = nh2st("convert", ckpt, "--genes", genes, "--out", out)
    assert (status, printed) == (1, "")
    assert said.startswith("error: ")
    assert "--mpp" in said
    assert said.count("\n") == 1
    status, printed, said = nh2st(
        "convert", ckpt, "--genes", genes, "--out", out, "--mpp", "0.5", "--name", "n", "--pitch", "224"
    )
    assert (status, printed) == (0, f"{out}\n")
    assert "fc_nuclei" in said
    assert (load_model(out).card.name, load_model(out).card.pitch) == ("n", 224)


def test_genes_by_another_name_get_their_symbols(tmp_path, state):
    listed = tmp_path / "named.txt"
    listed.write_text("\n".join(["HER2", "CD74", "CD3", "CK18", "KRT18"]))
    said = []
    convert_checkpoint(saved(tmp_path, state), listed, tmp_path / "m", mpp=0.5, progress=said.append)
    assert load_model(tmp_path / "m").card.genes == ["ERBB2", "CD74", "CD3", "CK18", "KRT18"]
    assert said[-1] == "taken by their symbols: HER2 as ERBB2"
