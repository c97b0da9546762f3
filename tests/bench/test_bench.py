"""The command, and each part with a small model on a small section."""

import json

import numpy as np
import pytest
import torch

from napari_nh2st.bench import (
    agreement,
    busy,
    cohort,
    contenders,
    data_sets,
    durable,
    overviews,
    profile,
    run,
    training,
    window,
)
from napari_nh2st.bench.data_sets import BenchOptions, DataSets
from napari_nh2st.bench.rates import Rate
from napari_nh2st.bench.released import ARCHITECTURE, Released
from napari_nh2st.engine.places import lattice_for
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.card import Architecture
from napari_nh2st.training.config import TrainingConfig
from support.models import small_model

SMALL_RELEASED = Architecture(variant="paper", encoder="resnet18", width=4, stride=32, dim=16, hidden=8, heads=2)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    model = small_model(folder)
    patch = pytest.MonkeyPatch()
    patch.setattr(data_sets, "QUICK_SIZE_MM", (1.6, 1.4))
    made = DataSets(
        BenchOptions(folder, str(model.path), repeat=1, quick=True, device="cpu", precision="fp32")
    )  # fmt: skip
    yield made
    made.close()
    patch.undo()


def test_ratios_come_from_contenders_that_ran_in_turns(small, monkeypatch):
    monkeypatch.setattr(contenders, "Released", lambda *a, **k: Released(*a, **k, arch=SMALL_RELEASED))
    monkeypatch.setattr(contenders, "RELEASED_SPOTS_QUICK", 2)
    keys = set(contenders.COMPARISONS) - {"over_released_same_encoder"}
    findings = contenders.compare(small, keys, lambda done, total: None)
    assert set(findings.values) == keys
    assert all(v.value > 0 for v in findings.values.values())
    dense, grid = findings.absolute["dense map"], findings.absolute["contiguous grid"]
    assert findings.values["dense_cost"].value == pytest.approx(grid["mm2_per_s"] / dense["mm2_per_s"])
    assert findings.absolute["released"].keys() == {"places_per_s"}


def test_the_other_precision_is_measured_beside_the_runs_own(small, monkeypatch):
    computed = []
    monkeypatch.setattr(
        contenders, "in_turns", lambda made, *more: {name: computed.append(name) or [Rate(2.0, 1.0)] for name in made}
    )
    keys = {"over_bare_encoder", "over_bare_encoder_fp32", "over_bare_encoder_bf16"}
    monkeypatch.setattr(contenders, "has_fast_bf16", lambda device: True)
    assert contenders.compare(small, keys, lambda done, total: None).values.keys() == keys
    assert computed == ["contiguous grid", "bare encoder", "contiguous grid, bf16", "bare encoder, bf16"]
    monkeypatch.setattr(contenders, "has_fast_bf16", lambda device: False)
    found = contenders.compare(small, keys, lambda done, total: None)
    assert found.notes == {"over_bare_encoder_bf16": "not here: this device has no fast bfloat16"}
    assert small.at("bf16").prediction_options.precision == "bf16"
    assert small.at("bf16").slide is small.slide


def test_a_contender_that_cannot_be_made_fails_its_own_rows_alone(small, monkeypatch):
    def broken(data_sets):
        raise Nh2stError("it cannot be made")

    monkeypatch.setattr(contenders, "released", broken)
    keys = {"over_bare_encoder", "over_released_procedure"}
    found = contenders.compare(small, keys, lambda done, total: None)
    assert found.values.keys() == {"over_bare_encoder"}
    assert found.notes == {"over_released_procedure": "failed: it cannot be made"}


def test_throughput_beside_a_busy_process(small, monkeypatch):
    monkeypatch.setattr(busy, "blocks_of", lambda data_sets: None)
    findings = busy.compare(small, {"predict_beside_busy"}, lambda done, total: None)
    assert findings.values["predict_beside_busy"].value > 0
    assert list(findings.absolute) == ["contiguous grid, alone", "contiguous grid, beside a busy process"]


def test_a_part_that_fails_says_so_in_its_rows_and_the_others_go_on(small, monkeypatch):
    def broken(data_sets, wanted, tell):
        raise RuntimeError("no such thing")

    parts = [run.Part("broken", ("killed_lost", "killed_difference"), broken)]
    parts += [part for part in run.PARTS if part.title == "a second run"]
    monkeypatch.setattr(run, "PARTS", tuple(parts))
    report = run.bench(small.options, ["killed_lost", "second_run_encoded"])
    assert report["counts"]["second_run_encoded"] == 0
    assert report["notes"]["killed_lost"].startswith("failed: RuntimeError in test_bench.py:")
    assert "killed_difference" not in report["notes"]
    assert report["took"].keys() == {"broken", "a second run"}


def test_the_released_sizes_are_those_of_its_code():
    assert (ARCHITECTURE.patch, ARCHITECTURE.dim, ARCHITECTURE.hidden) == (224, 512, 256)
    assert 49 * 8 * ARCHITECTURE.width == 25_088


def test_the_released_procedure_encodes_ten_patches_a_spot(small):
    released = Released(small.slide, small.spots, 155.0, torch.device("cpu"), count=3, arch=SMALL_RELEASED)
    seen = []
    released.net.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    assert released.predict().shape == (3, 250)
    assert seen == [1, min(9, len(small.spots))] * 3
    assert not released.net.training


def test_the_same_encoder_looks_at_the_same_tissue(small):
    model = small.load_model()
    other = contenders.with_released_encoder(model, width=4)
    assert other.card.patch == 224
    assert other.card.patch * other.card.mpp == pytest.approx(model.card.patch * model.card.mpp)
    assert other.card.pitch % 32 == 0
    assert other.net.encoder.blocks == 2


def test_what_was_not_encoded_is_no_measurement(small):
    model = small.load_model()
    places = lattice_for(small.slide, model.card)
    store = durable.store_for(
        small.options.folder / "known", small.slide, model, places.pitch, small.prediction_options
    )
    options = durable.replace(small.prediction_options, store=store)
    contenders.engine_at(small.slide, model, places, options)()
    with pytest.raises(Nh2stError, match="would not be a measurement"):
        contenders.engine_at(small.slide, model, places, options)()


def test_agreement_with_itself_is_whole():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(50, 4))
    good, bad = truth + rng.normal(size=(50, 4)) * 0.1, truth + rng.normal(size=(50, 4))
    assert agreement.compare(good, good, truth) == (pytest.approx(1), 0)
    assert agreement.compare(bad, good, truth)[1] > 0  # what is worse than patch by patch loses


def test_patch_by_patch_differs_from_the_dense_map_by_its_borders_alone(small, monkeypatch):
    """With the halo that the engine reads, patch by patch is the engine's own answer."""
    model = small.load_model()
    places = lattice_for(small.slide, model.card, pitch=model.card.pitch)
    alone = agreement.patch_by_patch(small.slide, model, places, small.prediction_options, small.device)
    assert alone.shape == (len(places), len(model.card.genes))
    dense = predict_places(small.slide, small.load_model(), places, small.prediction_options)[0].matrix()
    assert 0 < agreement.compare(dense, alone, dense)[0] < 1
    reach = 2 * 16 * 8

    def wide(slide, centres, side, scale, shift):
        corners = np.round(centres / scale - side / 2).astype(int) + shift - reach
        return np.stack([slide.read(x, y, side + 2 * reach, side + 2 * reach, scale) for x, y in corners.tolist()])

    encode, at = model.net.encode, reach // 16
    monkeypatch.setattr(agreement, "read_patches", wide)
    monkeypatch.setattr(model.net, "encode", lambda images: encode(images)[:, :, at : at + 1, at : at + 1])
    whole = agreement.patch_by_patch(small.slide, model, places, small.prediction_options, small.device)
    assert agreement.compare(dense, whole, dense)[0] > 0.999


def test_the_dense_map_of_the_demo_model(small, monkeypatch):
    monkeypatch.setattr(agreement, "TRUTH_MODEL", small.options.model)
    rng = np.random.default_rng(0)
    monkeypatch.setattr(type(small.section), "truth", lambda section, centres: rng.normal(size=(len(centres), 6)))
    findings = agreement.on_demo(small)
    assert findings.values.keys() == {"dense_agreement", "dense_pcc_loss"}


def test_training_is_compared_on_the_same_network(small, monkeypatch):
    arch = Architecture(width=4, dim=16, hidden=8, heads=2)
    settings = {"architecture": arch, "panel": 5, "window": 256}
    monkeypatch.setattr(training, "TrainingConfig", lambda **more: TrainingConfig(**settings, **more))
    monkeypatch.setattr(training, "NAIVE_BATCH", 2)
    findings = training.compare(small, lambda done, total: None)
    assert findings.values["finetune_over_naive"].value > 0
    assert all(rate["places_per_s"] > 0 for rate in findings.absolute.values())


def test_a_second_run_encodes_nothing(small):
    findings = durable.second_run(small)
    assert findings.values["second_run_encoded"].value == 0
    assert findings.storage["results_per_tile"] > 2 * 12  # hidden vectors, float16
    assert findings.storage["cache_per_tile"] > 0


def test_without_a_display_the_window_is_left_out_and_that_is_said(small, monkeypatch):
    monkeypatch.setattr(window, "has_display", lambda: False)
    findings = window.compare(small)
    assert not findings.values
    assert "no display" in findings.notes["first_tiles_cold"]


def test_what_windows_found_becomes_figures():
    own = {"napari_draws": [0.1, 0.1, 0.3], "napari_adds": 0.2}
    first = {"first_tiles": [0.5, 0.7, 0.6], "first_press": 3.0, "rest": 0.2, **own}
    beats = {"heartbeat_p95": 0.01, "heartbeat_max": 0.3, "napari_own_max": 0.2, "beats": 9, "predicted": 5}
    switches = {"gene_switch": [0.1, 0.05], "napari_switches": [0.04, 0.06]}
    genes = {**switches, "genes_250": 1.0, "genes_20000": None}
    findings = window.laid_out({**first, **beats}, first, genes)
    assert findings.values["first_tiles_cold"].value == 0.6
    assert findings.values["first_tiles_beyond"].value == pytest.approx(0.4)  # .4, .6, .3: turn by turn
    assert findings.values["gene_switch_beyond"].value == pytest.approx(0.03)  # .06, and none
    assert findings.values["heartbeat_beyond_napari"].value == pytest.approx(0.1)
    assert "genes_20000" not in findings.values


def test_the_command_prints_one_document_and_writes_it(small, monkeypatch, nh2st, tmp_path):
    monkeypatch.setattr(data_sets, "QUICK_SIZE_MM", (1.6, 1.4))
    words = ["bench", "--json", "--quick", "--repeat", 1, "--rows", "second_run_encoded,first_tiles_cold"]
    monkeypatch.setattr(window, "has_display", lambda: False)
    status, out, err = nh2st(*words, "--model", small.options.model, "--out", tmp_path / "r.json")
    assert status == 0, err
    report = json.loads(out)
    assert report == json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert report["counts"]["second_run_encoded"] == 0
    assert report["seconds"]["first_tiles_cold"] is None
    assert report["ratios"]["dense_cost"] is None
    assert report["machine"]["threads"] >= 1
    assert report["settings"]["quick"] is True
    assert "a second run" in err


def test_a_profile_charges_every_stage_and_counts(small):
    told = []
    findings = profile.profile(small, lambda done, total: told.append((done, total)))
    assert told[-1] == (4, 4)
    model = small.load_model()
    for name, pitch in (("coarse", model.card.patch), ("fine", 16)):
        run = findings.profile[name]
        places = lattice_for(small.slide, model.card, pitch=pitch)
        if name == "coarse":
            assert run["cells_under_tiles"] == 49 * len(places)
        assert run["cells_encoded"] >= run["cells_under_tiles"]
        assert run["pixels_read"] >= 256 * run["cells_under_tiles"]
        stages = {"encoder", "looking", "pooling and copying", "keeping embeddings", "writing results"}
        assert stages <= {key.split(": ")[1] for key in run["stages"]}
        assert run["stages"]["worker: reading"]["wall"] > 0
    assert findings.values.keys() == set(profile.KEYS)


def test_a_stage_within_another_is_taken_out_of_it():
    stages = profile.Stages()
    with stages.stage("outer"):
        with stages.stage("inner"):
            torch.ones(200_000).exp().sum()
        profile.helpers_time()
    spent = {name: s.wall for (_, name), s in stages.spent.items()}
    assert spent.keys() == {"outer", "inner"}
    before = dict(spent)
    with stages.stage("inner"):
        pass
    after = {name: s.wall for (_, name), s in stages.spent.items()}
    assert after["outer"] == before["outer"]
    assert after["inner"] > before["inner"]


def test_slides_without_levels(small, monkeypatch):
    monkeypatch.setattr(overviews, "SIZE_QUICK", (2304, 2048))
    monkeypatch.setattr(overviews, "HUGE", (20_000, 10_000))
    found = overviews.compare(small, lambda done, total: None)
    assert set(found.values) == set(overviews.KEYS)
    assert all(v.value > 0 for v in found.values.values())
    assert "Mpx/s" in found.notes["overviews_over_decoder"]


@pytest.mark.long
def test_a_cohort_is_measured_over_its_slides_by_hand(small):
    """Two workers and four processes: what is measured, not how fast."""
    found = cohort.compare(small)
    assert set(found.values) == set(cohort.KEYS)
    assert found.values["cohort_over_by_hand"].value > 0
    assert "4 slides of 900 x 900 px on 2 workers" in found.notes["cohort_over_by_hand"]
