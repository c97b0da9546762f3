"""Pretraining: what it learns without labels, what it writes, and what it refuses."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_nh2st.demo.tissue import make_section, write_slide
from napari_nh2st.errors import Cancelled, ModelError, MppNeeded, Nh2stError, SlideError
from napari_nh2st.model.encoder_file import encoder_hash, load_encoder
from napari_nh2st.training.pretraining import pretrain as pretrain_module
from napari_nh2st.training.pretraining.contrast import nt_xent, pretrain_on
from napari_nh2st.training.pretraining.crops import CropPairs
from napari_nh2st.training.pretraining.pretrain import pretrain, pretrain_facts
from napari_nh2st.training.pretraining.settings import PretrainSettings
from support.slides import picture, tiff

SMALL = PretrainSettings(width=4, batch=16, device="cpu", steps=2)
PER_CM = {"resolution": (1e4, 1e4), "resolutionunit": 3}  # 1 um


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums on several threads may differ in the last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """Procedural tissue, 1.2 mm wide."""
    return write_slide(make_section(3, size_mm=(1.2, 1.2)), tmp_path_factory.mktemp("slide") / "a.tif")


@pytest.fixture(scope="module")
def encoder(slide, tmp_path_factory):
    out = tmp_path_factory.mktemp("encoder") / "e.safetensors"
    return pretrain([slide], out, replace(SMALL, steps=20), tiles=64)


def test_the_loss_is_that_of_the_paper():
    """Equation 1 of Chen et al. 2020, pair by pair."""
    z = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    u = F.normalize(z, dim=1).numpy().astype(float)
    s = np.exp(u @ u.T / 0.2)
    pairs = [(i, (i + 4) % 8) for i in range(8)]
    expected = np.mean([-np.log(s[i, j] / sum(s[i, k] for k in range(8) if k != i)) for i, j in pairs])
    assert nt_xent(z, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_collapse_is_not_rewarded():
    assert nt_xent(torch.ones(8, 5)).item() == pytest.approx(math.log(7), rel=1e-5)


def test_two_crops_show_one_place():
    """Every pixel of an image says where it is: both crops of a place lie near it, inside the image."""
    y, x = np.mgrid[:400, :300]
    image = np.stack([x % 256, y % 256, x // 256 + 2 * (y // 256)], axis=2).astype(np.uint8)
    places = np.array([[150.0, 200], [0, 0], [299, 399], [80, 300]])
    seen = []
    for batch in CropPairs([image], [places], PretrainSettings(steps=20, batch=4)):
        assert batch.shape == (8, 112, 112, 3)
        r, g, b = batch.numpy().astype(int).transpose(3, 0, 1, 2)
        at = np.stack([r + 256 * (b % 2), g + 256 * (b // 2)], axis=-1).reshape(8, -1, 2)
        assert ((at.max(axis=1) - at.min(axis=1)) == 111).all()
        middle = at.mean(axis=1)
        assert np.abs(middle[:4] - middle[4:]).max() <= 57
        inside = np.clip(places, [56, 56], [244, 344])
        nearest = np.abs(middle[:, None] - inside[None]).max(axis=2).argmin(axis=1)
        assert (np.sort(nearest[:4]) == np.arange(4)).all()
        assert (nearest[:4] == nearest[4:]).all()
        seen.append(middle)
    assert np.std(seen, axis=0).max() > 5


def test_places_wander_together():
    image = np.zeros((900, 900, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(900) // 4, np.arange(900)[:, None] // 4
    crops = CropPairs([image], [np.full((4, 2), 450.0)], PretrainSettings(steps=10, batch=4), [np.full(4, 72.0)])
    middle = np.array([b.numpy()[..., :2].mean(axis=(1, 2)) * 4 for b in crops])
    assert np.abs(middle[:, :4] - middle[:, 4:]).max() <= 60
    assert middle.max() - middle.min() > 100


def test_the_loss_falls(encoder):
    facts = pretrain_facts(encoder)
    assert float(facts["loss_end"]) < float(facts["loss_start"]) - 0.1


def test_a_seed_gives_one_encoder(slide, tmp_path):
    made = [
        pretrain([slide], tmp_path / f"{i}.safetensors", replace(SMALL, seed=seed), tiles=16)
        for i, seed in enumerate((0, 0, 1))
    ]
    first, again, other = (encoder_hash(p) for p in made)
    assert first == again
    assert first != other


def test_the_file_is_an_encoder_and_says_what_it_is(encoder):
    net = load_encoder(encoder)
    assert (net.channels, net.stride, net.blocks) == (32, 16, 1)
    assert not net.training
    facts = pretrain_facts(encoder)
    assert (facts["slides"], facts["steps"], facts["seed"]) == ("1", "20", "0")
    assert float(facts["mpp"]) == pytest.approx(200 / 144, rel=1e-5)
    assert len(facts["fingerprints"]) == 32
    assert "torch" in json.loads(facts["versions"])


def test_in_memory_and_without_a_trace():
    """The global random state stays as it was, after a stop as well."""
    image, places = picture(300, 300), np.random.default_rng(0).uniform(80, 220, (16, 2))
    state, legacy = torch.get_rng_state().clone(), np.random.get_state()[1].copy()
    one, two, other = (pretrain_on([image], [places], replace(SMALL, seed=seed)) for seed in (0, 0, 1))
    with pytest.raises(Cancelled):
        pretrain_on([image], [places], SMALL, cancelled=lambda: True)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], legacy)
    assert not one.training
    assert torch.equal(one.conv1.weight, two.conv1.weight)
    assert not torch.equal(one.conv1.weight, other.conv1.weight)
    with pytest.raises(Nh2stError, match="too few"):
        pretrain_on([image], [places[:15]], SMALL)
    with pytest.raises(ValueError, match="smaller than a crop"):
        pretrain_on([image[:100]], [places], SMALL)


def test_a_slide_that_is_named_twice_counts_once(slide, tmp_path):
    told = []
    path = pretrain(
        [slide, slide],
        tmp_path / "e.safetensors",
        SMALL,
        tiles=20,
        progress=lambda *a: told.append(a),
    )
    assert (pretrain_facts(path)["slides"], pretrain_facts(path)["tiles"]) == ("1", "20")
    assert told[0] == ("reading tiles", 0, 20)
    assert ("reading tiles", 20, 20) in told
    assert told[-1] == ("pretraining", 2, 2)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_stop_leaves_no_file(slide, tmp_path, after):
    asked = iter([False] * after + [True] * 99)
    with pytest.raises(Cancelled, match="nothing was written"):
        pretrain([slide], tmp_path / "e.safetensors", replace(SMALL, steps=5), tiles=64, cancelled=lambda: next(asked))
    assert not list(tmp_path.iterdir())


def refused(tmp_path, slides, error, match, out="e.safetensors", settings=SMALL, **more):
    with pytest.raises(error, match=match) as caught:
        pretrain(slides, tmp_path / out, settings, **more)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / out).exists()


def test_what_is_wrong_is_said_before_anything_is_read(slide, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain_module, "TileRequest", None)
    no_mpp = tiff(tmp_path / "no_mpp.tif", picture())
    refused(tmp_path, [slide], ModelError, "ends in .safetensors", out="e.bin")
    refused(tmp_path, [slide, no_mpp], MppNeeded, "mpp=")
    refused(tmp_path, [slide, tmp_path / "none.svs"], SlideError, "does not exist")
    refused(tmp_path, [slide], Nh2stError, "cannot be used", settings=replace(SMALL, device="cuda:99"))
    refused(tmp_path, [], Nh2stError, "at least one slide")


def test_no_tissue_and_too_little(slide, tmp_path):
    blank = tiff(tmp_path / "blank.tif", np.full((600, 600, 3), 244, np.uint8), **PER_CM)
    refused(tmp_path, [blank], SlideError, "no tissue on this slide")
    refused(tmp_path, [slide], Nh2stError, "too few", tiles=9)


def test_the_command(slide, tmp_path, monkeypatch, nh2st):
    monkeypatch.setattr(pretrain_module, "train_by_contrast", tiny(pretrain_module.train_by_contrast))
    out = tmp_path / "e.safetensors"
    sheet = tmp_path / "samples.csv"
    (tmp_path / "x.h5ad").touch()
    sheet.write_text(f"sample,patient,slide,expression,format,mpp\nS1,P1,{slide},x.h5ad,h5ad,1.0\n", "utf-8")
    for source in (slide, sheet):
        status, said, progress = nh2st("pretrain", source, "--out", out, "--steps", 2, "--device", "cpu")
        assert status == 0, progress
        assert said.startswith("contrastive loss ")
        assert said.rstrip().endswith(f"of 1 slide: {out}")
        assert "pretraining: 2 of 2" in progress
        assert load_encoder(out).stride == 16
    out.unlink()
    status, said, progress = nh2st("pretrain", slide, "--out", tmp_path / "e.pt")
    assert (status, said) == (1, "")
    assert progress.startswith("error: ")
    assert progress.count("\n") == 1


def tiny(contrast):
    """The same with a narrow encoder: the command has no option for it."""
    return lambda pairs, settings, progress: contrast(pairs, replace(settings, width=4), progress)
