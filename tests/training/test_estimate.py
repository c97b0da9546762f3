import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_nh2st.errors import Cancelled, SampleError
from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.data.windows import WindowCutter, cover
from napari_nh2st.training.estimate import timing_probe
from napari_nh2st.training.estimate.estimate import Estimate, about_memory, about_time
from napari_nh2st.training.estimate.estimate_run import estimate
from napari_nh2st.training.estimate.forecast import crop, forecast
from napari_nh2st.training.estimate.timing_probe import TimingProbe, _middle, _settle_batch, window_pixels
from napari_nh2st.training.finetune import finetune
from napari_nh2st.training.network.setup import set_up_training
from napari_nh2st.training.run.control import RunControl
from napari_nh2st.training.run.memory import memory_mb
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.run.training_pass import TrainingPass
from napari_nh2st.training.sections.blocks import hold_out_blocks
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import load_section
from support.models import small_model

ARCH = {"width": 8, "dim": 32, "hidden": 16, "heads": 4, "dropout": 0.1}
CPU = torch.device("cpu")


def settings(variant="context", **more):
    values = {"epochs": 3, "device": "cpu", "precision": "fp32", "panel": 4, "mpp": 2.0}
    values |= {"refit": False, "pretrain_steps": 0}
    return TrainingConfig(architecture=Architecture(variant=variant, **ARCH), **{**values, **more})


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(timing_probe, "MOST_STEPS", 4)


@pytest.fixture(scope="module")
def card(samples):
    found = read_sheet(samples)
    return card_for(found, [read_expression(s) for s in found], settings())


def tried(card, **more):
    """What a trial of two sections of 100 spots on an array of 64 pixels may have found."""
    spots = np.stack(np.meshgrid(np.arange(10), np.arange(10)), axis=-1).reshape(-1, 2) * 64.0
    known = {"read": 1.0, "load": 1e-6, "pretrain": 2.0, "step": 0.1, "embed": 1e-6, "validate": 2e-6, "batch": 10}
    known |= {
        "opening": 0.7,
        "closing": 0.3,
        "peak": 500.0,
        "resident": 300.0,
        "slope": 1e-4,
        "train": [spots, spots],
        "held_out": [],
    }
    return TimingProbe(card, CPU, **{"trained": "head", "pretrains": True, "embeds": True, **known, **more})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3, "less than a minute"),
        (70, "about 1 min"),
        (400, "about 7 min"),
        (13.2 * 60, "about 12 min"),
        (3540, "about 1 h"),
        (5500, "about 1.5 h"),
        (40_000, "about 11 h"),
    ],
)
def test_a_time_is_said_no_more_exactly_than_it_is_known(seconds, said):
    assert about_time(seconds) == said


def test_an_amount_of_memory_is_said_roughly():
    assert [about_memory(mb) for mb in (0, 340, 1936, 22_400)] == ["", "0.3 GB", "1.9 GB", "22 GB"]


def test_the_line_names_time_memory_device_and_stages():
    parts = {"reading": 4.2, "pretraining the encoder": 0.0, "training": 0.4, "scoring beside simpler models": 300.0}
    found = Estimate(seconds=304.6, memory_mb=1936, device="cpu", parts=parts, spots=9, steps=240)
    assert str(found) == (
        "about 5 min and 1.9 GB on this machine (cpu): "
        "reading 4 s, training less than 1 s, scoring beside simpler models 5 min"
    )
    assert str(found.model_copy(update={"memory_mb": 0.0})).startswith("about 5 min on this machine")


def test_pixels_are_those_that_a_run_reads_and_looks_at(samples, card):
    sample = read_sheet(samples)[0]
    data = read_expression(sample)
    section = load_section(sample, data, card)
    spots = data.obsm["spatial"] / card.scale_on(section.mpp)
    pixels = section.pixels.shape[0] * section.pixels.shape[1]
    assert crop(spots, card) == pytest.approx(pixels, rel=0.01)
    cutter = WindowCutter(LabelScale.none(4))
    windows = [w.pixels[..., 0].numel() for w in cover(section, np.arange(len(spots)), cutter, card, 3584)]
    assert window_pixels(np.ptp(spots, axis=0), card) == (sum(windows), max(windows))


def test_what_a_run_takes_follows_from_the_paces(card):
    config = settings(pretrain_steps=60, refit=True)
    found = forecast(tried(card), config)
    assert found.spots == 200
    assert found.steps == 2 * 3 * 30  # no epoch is shorter
    assert found.parts["pretraining the encoder"] == 2 * 120  # the second time on the held-out blocks too
    assert forecast(tried(card), settings(pretrain_steps=60, refit=False)).parts["pretraining the encoder"] == 120
    apart = tried(card, held_out=tried(card).train[:1])  # with sections held out, no block is left out of the tissue
    assert forecast(apart, config).parts["pretraining the encoder"] == 120
    assert found.parts["training on the held-out blocks too"] == pytest.approx(0.7 + 0.1 * 90)
    assert found.parts["training"] == pytest.approx(0.7 + 0.1 * 90 + 3 * (0.3 + 0.1 / 3 * 60 / 10))
    more = len(tried(card).train)  # a training without each section
    assert found.parts["working out intervals"] == pytest.approx(more * (0.7 + 0.1 * 90), abs=0.01)
    assert forecast(tried(card), config.model_copy(update={"intervals": False})).parts["working out intervals"] == 0
    assert found.seconds == pytest.approx(sum(found.parts.values()), abs=0.1)


def test_more_to_do_takes_more(card):
    probe, config = tried(card), settings(refit=True)
    base = forecast(probe, config)
    longer = forecast(probe, settings(refit=True, epochs=6))
    assert longer.parts["training"] - 0.7 == pytest.approx(2 * (base.parts["training"] - 0.7), abs=0.02)
    assert (
        forecast(probe, settings(refit=True, views=3)).parts["looking at the tissue"]
        > 3 * (base.parts["looking at the tissue"])
    )
    assert forecast(tried(card, starting=9.0), config).parts["reading"] == pytest.approx(base.parts["reading"] + 9)
    apart = forecast(tried(card, held_out=probe.train[:1]), config)
    assert apart.spots == base.spots
    assert apart.parts["reading"] > base.parts["reading"] + 1
    assert apart.parts["scoring beside simpler models"] > base.parts["scoring beside simpler models"]
    many = forecast(tried(card, train=probe.train * 200), config)
    assert many.steps > 10 * base.steps
    assert many.memory_mb > base.memory_mb + 100


def test_memory_is_that_of_the_largest_window_or_of_the_trial_itself(card):
    largest = window_pixels(np.array([576.0, 576.0]), card)[1]
    rest = forecast(tried(card, slope=0.0), settings()).memory_mb - 500
    assert rest < 20
    grown = forecast(tried(card, slope=1e-3), settings()).memory_mb
    assert grown == pytest.approx(300 + 1e-3 * largest + rest, abs=2)
    there = tried(card, slope=1e-3)
    there.device = torch.device("cuda")
    assert forecast(there, settings(train="everything", device="cpu")).memory_mb <= 500 + grown


@pytest.mark.parametrize("train", ["head", "everything"])
def test_a_step_is_as_large_as_that_of_a_run(samples, card, train, tmp_path):
    config = settings(train=train, kernel_share=0.0)
    sections = [load_section(s, read_expression(s), card) for s in read_sheet(samples)]
    hold_out_blocks(sections, config.inner_validation, 0)
    folder = RunFolder(tmp_path)
    stage = TrainingPass(set_up_training(sections, card, config, 0), folder, RunControl.of(folder))
    spots = [s.centres[:, SELF] for s in sections]
    found = tried(card, trained=train, train=spots)
    _settle_batch(found, sections[0], config)
    assert found.batch == stage.data.batches().batch
    assert forecast(found, config).steps == stage.steps


def test_spots_of_the_middle_are_tried():
    spots = np.stack(np.meshgrid(np.arange(40), np.arange(40)), axis=-1).reshape(-1, 2) * 100.0
    some = spots[_middle(spots, 1000, 200)]
    assert len(some) == 121
    assert np.ptp(some, axis=0).tolist() == [1000, 1000]
    assert len(_middle(spots, 1000, 50)) == 50
    assert len(_middle(spots * 100, 1000, 200)) == 12
    assert len(_middle(spots[:3], 1000, 200)) == 3


@pytest.mark.parametrize("train", ["head", "last-blocks", "everything"])
def test_every_way_to_train_is_tried(samples, train):
    found = estimate(samples, config=settings(train=train))
    assert found.spots == 50
    assert found.steps == 90
    assert found.device == "cpu"
    assert all(seconds >= 0 for seconds in found.parts.values())
    assert found.parts["training"] > 0
    assert found.parts["looking at the tissue"] > 0
    assert found.parts["pretraining the encoder"] == 0


def test_the_paper_variant_is_tried(samples):
    found = estimate(samples, config=settings("paper", spots_per_step=8))
    assert found.parts["looking at the tissue"] == 0
    assert found.parts["training"] > 0


def test_the_encoder_is_pretrained_from_scratch_only(samples, tmp_path):
    config = settings(pretrain_steps=20)
    stages = []
    found = estimate(samples, config=config, progress=stages.append)
    assert found.parts["pretraining the encoder"] > 0
    assert stages == ["reading", "loading a section", "looking at the tissue", "pretraining the encoder", "training"]
    base = small_model(tmp_path, genes=["DARK", "LIGHT"], gene_means=[5.0] * 2, gene_stds=[1.0] * 2)
    stages.clear()
    found = estimate(samples, base=base.path, config=config, progress=stages.append)
    assert found.parts["pretraining the encoder"] == 0
    assert "pretraining the encoder" not in stages


def test_sections_that_are_held_out_are_read_and_not_trained_on(samples):
    found = estimate(samples, config=settings(hold_out_sections=["S2"]))
    assert found.spots == 25
    with pytest.raises(SampleError, match="no sample S9"):
        estimate(samples, config=settings(hold_out_sections=["S9"]))


def test_sections_beyond_the_time_for_reading_are_taken_to_be_alike(samples, monkeypatch):
    monkeypatch.setattr(timing_probe, "READ_SECONDS", 0.0)
    assert estimate(samples, config=settings()).spots == 50


def test_of_a_large_section_the_middle_is_read(samples, monkeypatch):
    monkeypatch.setattr(timing_probe, "MOST_PIXELS", 150**2)
    read = []
    monkeypatch.setattr(timing_probe, "load_section", lambda *a: read.append(load_section(*a)) or read[-1])
    estimate(samples, config=settings())
    assert len(read[0].labels) < 25


def test_nothing_is_written_and_the_random_state_stays(samples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, state = sorted(samples.parent.iterdir()), torch.get_rng_state()
    estimate(samples, config=settings())
    assert sorted(samples.parent.iterdir()) == before
    assert not list(tmp_path.iterdir())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("asked", [1, 4, 6, 9])
def test_it_can_be_stopped_at_any_time(samples, asked):
    times = iter(range(asked))
    with pytest.raises(Cancelled):
        estimate(samples, config=settings(pretrain_steps=20), cancelled=lambda: next(times, None) is None)


def test_memory_is_what_the_process_has_taken():
    now, most = memory_mb(CPU)
    assert 50 < now <= most
    block = np.ones(25_000_000)
    assert memory_mb(CPU)[0] > now + 150
    assert memory_mb(CPU)[1] >= most
    del block


def test_the_estimate_is_near_what_a_run_takes(samples, tmp_path, monkeypatch):
    """Within a factor that a busy machine does not exceed: that it is nearer stands in the documentation."""
    monkeypatch.setattr(timing_probe, "MOST_STEPS", 14)
    config = settings(epochs=1, refit=True)
    found = estimate(samples, config=config)
    finetune(samples, tmp_path / "run", config=config, progress=False)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    at = {row["event"]: row["seconds"] for row in rows if "event" in row}
    steps = [row for row in rows if "train_loss" in row]
    assert found.steps == steps[-1]["step"]
    trained = steps[-1]["seconds"] - at["started"]
    guessed = sum(
        found.parts[part] for part in ("training", "working out intervals", "training on the held-out blocks too")
    )
    assert guessed / 4 < trained < guessed * 4


def test_on_the_command_line(samples, nh2st, tmp_path: Path):
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps(settings().model_dump(mode="json")))
    status, out, _ = nh2st("finetune", samples, "--estimate", "--config", config)
    assert status == 0
    assert out.startswith("less than a minute")
    assert " GB on this machine (cpu): reading " in out
    status, out, _ = nh2st("finetune", samples, "--estimate", "--json", "--config", config, "--epochs", "2")
    assert status == 0
    assert Estimate.model_validate_json(out).steps == 60
    assert sorted(f.name for f in tmp_path.iterdir()) == ["c.yaml"]


def test_the_command_line_wants_a_folder_or_an_estimate(samples, nh2st):
    status, _, said = nh2st("finetune", samples)
    assert status == 2
    assert "--out" in said
    assert "--estimate" in said
    assert nh2st("finetune", samples, "--json", "--out", "x")[0] == 2
    status, out, said = nh2st("finetune", "nowhere.csv", "--estimate")
    assert (status, out) == (1, "")
    assert said.startswith("error: cannot read the sample sheet nowhere.csv")
