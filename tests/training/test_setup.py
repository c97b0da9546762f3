"""What is settled before training, and that memory and engine answer alike."""

import numpy as np
import pytest
import torch

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.errors import Cancelled, ModelError, SampleError
from napari_nh2st.evaluation.protocol import predict_spots
from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.expression.labels import labels
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.encoder_file import encoder_hash, save_encoder
from napari_nh2st.model.folder import load_model, save_model
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.embedded import EmbeddedSection, embed_spots
from napari_nh2st.training.network import kernel as fitting
from napari_nh2st.training.network import setup as setting_up
from napari_nh2st.training.network.network_module import NH2STModule
from napari_nh2st.training.network.predict_section import predict_section
from napari_nh2st.training.network.setup import set_up_training
from napari_nh2st.training.network.starting_point import StartingPoint
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import load_section
from support.sections import sheet

ARCH = Architecture(width=4, dim=16, hidden=12, heads=4, dropout=0.1)


def config(**more):
    return TrainingConfig(
        **{"architecture": ARCH, "panel": 4, "mpp": 1.0, "device": "cpu", "pretrain_steps": 0, "epochs": 1, **more}
    )


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return read_sheet(sheet(tmp_path_factory.mktemp("sheet"), ("S1", "P1", 1, 1200), ("S2", "P2", 2, 1200)))


def loaded(samples, settings):
    data = [read_expression(s) for s in samples]
    card = card_for(samples, data, settings)
    return [load_section(s, d, card) for s, d in zip(samples, data, strict=True)], card


def test_the_settings_say_how_the_genes_are_chosen(samples):
    data = [read_expression(s) for s in samples]
    assert card_for(samples, data, config(panel=1)).genes == ["REST"]  # counted most
    patchy = card_for(samples, data, config(panel=2, panel_kind="spatially-variable"))
    assert set(patchy.genes) == {"DARK", "LIGHT"}
    listed = card_for(samples, data, config(panel_kind="spatially-variable", genes=["NOISE"]))
    assert listed.genes == ["NOISE"]
    assert card_for(samples, data, config(genes=["noise", "Dark"])).genes == ["NOISE", "DARK"]
    renamed = [d[:, ["REST", "DARK"]].copy() for d in data]
    for section in renamed:
        section.var_names = ["ERBB2", "KRT18"]
    assert card_for(samples, renamed, config(genes=["HER2", "CK18", "ERBB2"])).genes == ["ERBB2", "KRT18"]
    with pytest.raises(SampleError, match=r"were not measured: ERB2 \(did you mean ERBB2\?\); train with"):
        labels(renamed[0], ["ERB2", "KRT18"])


@pytest.mark.parametrize("trained", [False, True])
def test_pixels_in_memory_and_the_engine_answer_alike(samples, tmp_path, trained):
    settings = config(train="everything" if trained else "head")
    sections, card = loaded(samples, settings)
    setup = set_up_training(sections[:1], card, settings, seed=0)
    assert setup.card.architecture.kernel_on == ("stain" if trained else "both")
    net = setup.finish()
    here = predict_section(net, sections[1], setup.card)
    model = load_model(save_model(net, setup.card, tmp_path / "m"))
    there = predict_spots(samples[1], model, PredictionOptions(device="cpu", precision="fp32", cache=False))
    spread = there.predicted.std(axis=0)
    # A place on the rim of a neighbour's tissue may fall on either side: a few spots differ by more than rounding.
    apart = np.abs(here - there.predicted)
    assert np.median(apart) < 0.01 * spread.max()
    assert apart.max() < 0.25 * spread.max()
    dark = card.genes.index("DARK")  # it varies; the counts of REST hardly do
    assert np.corrcoef(here[:, dark], there.predicted[:, dark])[0, 1] > 0.995


def test_the_kernel_head_alone_learns_how_dark_tissue_is(samples):
    settings = config(kernel_share=0.95)
    sections, card = loaded(samples, settings)
    setup = set_up_training(sections[:1], card, settings, seed=0)
    predicted = predict_section(setup.finish(), sections[1], setup.card)
    dark = setup.card.genes.index("DARK")
    assert np.corrcoef(predicted[:, dark], sections[1].labels[:, dark])[0, 1] > 0.7


def test_the_kernel_head_s_tissue_is_encoded_on_the_device_of_the_settings(samples, monkeypatch):
    asked = []

    def on_processor(*args, device, **more):
        asked.append(device)
        return embed_spots(*args, device="cpu", **more)

    monkeypatch.setattr(setting_up, "choose_device", lambda name: torch.device(name))
    monkeypatch.setattr(fitting, "embed_spots", on_processor)
    settings = config(train="everything", device="cuda:1")
    sections, card = loaded(samples, settings)
    set_up_training(sections, card, settings, seed=0)
    assert asked == [torch.device("cuda:1")] * 2


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_spots_are_described_alike_on_every_device(samples, device):
    settings = config()
    sections, card = loaded(samples, settings)
    net = set_up_training(sections[:1], card, settings, seed=0).net
    expected = fitting.describe_all(net, sections, card)
    described = fitting.describe_all(net, sections, card, device=device)
    assert next(net.parameters()).device.type == "cpu"  # it comes back
    assert np.abs(described - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_encoder_does_not_run_where_the_kernel_head_reads_stain_alone(samples, monkeypatch):
    settings = config(train="everything")
    sections, card = loaded(samples, settings)
    setup = set_up_training(sections[:1], card, settings, seed=0)
    pairs = ((s, np.arange(len(s.labels))) for s in sections)
    whole = [EmbeddedSection(embed_spots(setup.net, s, spots, setup.card), None, None) for s, spots in pairs]
    expected = fitting.describe_all(setup.net, sections, setup.card, whole)
    calls = []
    monkeypatch.setattr(setup.net.encoder, "forward", lambda images: calls.append(images))
    assert np.array_equal(fitting.describe_all(setup.net, sections, setup.card), expected)
    assert not calls


def test_held_out_spots_teach_nothing(samples):
    settings = config()
    sections, card = loaded(samples, settings)
    sections[0].held_out[:9] = True
    one = set_up_training(sections[:1], card, settings, seed=0, start=StartingPoint(encoder=ResNet18(4, 16, 1).eval()))
    torch.manual_seed(0)
    sections[0].labels[:9] = 99
    torch.manual_seed(0)
    encoder = one.net.encoder
    two = set_up_training(sections[:1], card, settings, seed=0, start=StartingPoint(encoder=encoder))
    assert np.array_equal(one.scale.mean, two.scale.mean)
    assert torch.allclose(
        one.kernel.columns @ one.kernel.columns.T, two.kernel.columns @ two.kernel.columns.T, atol=1e-4
    )


def test_a_frozen_encoder_stays_as_it_is(samples):
    settings = config()
    sections, card = loaded(samples, settings)
    setup = set_up_training(sections[:1], card, settings, seed=0)
    module = NH2STModule(setup, 10)
    before = {k: v.clone() for k, v in setup.net.encoder.state_dict().items()}
    module.train()
    assert not setup.net.encoder.training
    assert setup.net.head.cross.training
    assert not any(p.requires_grad for p in setup.net.encoder.parameters())
    setup.net.encoder(torch.randn(1, 3, 128, 128))
    assert all(torch.equal(v, before[k]) for k, v in setup.net.encoder.state_dict().items())


def test_an_encoder_file_is_where_it_starts(samples, tmp_path):
    path = save_encoder(ResNet18(4, 16, 1), tmp_path / "e.safetensors")
    settings = config(encoder_start=path)
    sections, card = loaded(samples, settings)
    setup = set_up_training(sections[:1], card, settings, seed=0)
    assert setup.card.encoder_hash == encoder_hash(path)
    wide = save_encoder(ResNet18(8, 16, 1), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="width 8, stride 16, 1 blocks"):
        set_up_training(sections[:1], card, config(encoder_start=wide), seed=0)


def test_pretraining_asks_whether_to_stop(samples):
    settings = config(pretrain_steps=3)
    sections, card = loaded(samples, settings)
    with pytest.raises(Cancelled):
        set_up_training(sections[:1], card, settings, seed=0, cancelled=lambda: True)
