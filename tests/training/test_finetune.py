import os

import numpy as np
import pytest
import torch

from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation.protocol import evaluate
from napari_nh2st.geometry import Box, TileSet
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.folder import load_card, load_model, load_reference
from napari_nh2st.slides import find_tissue
from napari_nh2st.training.config import read_config
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.finetune import finetune
from napari_nh2st.training.network.label_units import fold_labels, unfold_labels
from napari_nh2st.training.run.reference import _some
from support.models import small_model
from support.runs import WHOLE, events, same_weights, scores, settings
from support.sections import sheet

pytestmark = pytest.mark.usefixtures("short_epochs")

ARCH = Architecture(width=8, dim=32, hidden=16, heads=4, dropout=0.1)


def everything(**more):
    """Three epochs of the whole network, once."""
    return settings(
        **{"train": "everything", "architecture": ARCH, "epochs": 3, "views": 0, "refit": False, **WHOLE, **more}
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on two sections of 81 spots, of which 85% are trained on."""
    large = sheet(tmp_path_factory.mktemp("sheet"), ("S1", "P1", 1), ("S2", "P2", 2))
    out = tmp_path_factory.mktemp("run") / "r"
    finetune(large, out, config=everything(inner_validation=0.075), seed=0, progress=False)
    return out


def test_what_can_be_learnt_is_learnt_and_what_cannot_is_not_claimed(run, tmp_path):
    test = sheet(tmp_path, ("S3", "P3", 7))
    report = evaluate(test, run / "model")
    split = report["splits"][0]
    genes = split["models"]["nh2st-context"]["genes"]
    assert split["kind"] == "cross-patient"
    assert genes["DARK"]["pcc"] > 0.7
    assert genes["LIGHT"]["pcc"] > 0.7
    assert split["models"]["nh2st-context"]["mse_ratio"] < 1
    assert split["models"]["mean-profile"]["pcc_mean"] == 0


def test_shuffled_spots_score_nothing(run, tmp_path):
    import anndata as ad

    test = sheet(tmp_path, ("S3", "P3", 7))
    data = ad.read_h5ad(tmp_path / "S3.h5ad")

    def score() -> float:
        return evaluate(test, run / "model")["splits"][0]["models"]["nh2st-context"]["pcc_mean"]

    true, chance = score(), []
    for seed in range(5):  # one order of 81 spots alone is off by .1 and more
        shuffled = data[np.random.default_rng(seed).permutation(data.n_obs)].copy()
        shuffled.obsm["spatial"], shuffled.obs_names = data.obsm["spatial"], data.obs_names
        shuffled.write_h5ad(tmp_path / "S3.h5ad")
        chance.append(score())
    assert abs(np.mean(chance)) < 0.1
    assert true > 0.35


def test_the_card_says_what_was_done(run):
    card = load_card(run / "model")
    assert [t.sample for t in card.training] == ["S1", "S2"]
    assert card.genes[0] == "REST"
    assert card.pitch == 64  # spots 144 um apart, 2 um a pixel, in whole cells of 16
    assert card.evaluation.kind == "same-patient"
    assert card.evaluation.samples == ["S1 (block)", "S2 (block)"]
    trust = card.evaluation.genes["DARK"]
    assert trust.low <= trust.pcc <= trust.high
    assert card.recipe["seed"] == 0
    assert (
        card.intervals is None
    )  # of the whole network there are the blocks alone, 24 spots: too few to claim anything
    assert (run / "model" / "README.md").read_text().startswith("---")


def test_what_the_training_tissue_looks_like_is_kept_beside_the_model(run):
    model, reference = load_model(run / "model"), load_reference(run / "model")
    assert reference.dim == model.net.embedding_dim
    assert reference.tiles > 100
    assert len(reference.colours) == len(model.card.training)


def test_of_a_large_slide_whole_squares_are_taken():
    places = TileSet.lattice(Box(0, 0, 10_000, 8_000), scale=1.25, pitch=48, patch=112)
    few = _some(places, 2000)
    assert len(few) == 2000
    square = {tuple(s) for s in (few.centres / 1.25 // 1024).astype(int)}
    assert len(square) < 10  # of 48: the rest need not be encoded
    assert len(_some(places, 10**6)) == len(places)


def test_metrics_tell_the_whole_story(run):
    lines = events(run)
    assert lines[0]["event"] == "started"
    assert lines[0]["total_epochs"] == 3
    assert lines[-1]["event"] == "done"
    assert sum("val_pcc" in line for line in lines) == 3
    assert any("train_loss" in line for line in lines)
    assert all({"step", "epoch", "seconds"} <= line.keys() for line in lines)


def test_the_model_kept_is_the_best_epoch(run):
    """By the inner blocks; what the card says is that epoch's figure on the others."""
    best = max((line for line in events(run) if "val_pcc" in line), key=lambda line: line["val_pcc"])
    assert load_card(run / "model").evaluation.pcc_mean == pytest.approx(best["test_pcc"], abs=2e-4)


def test_the_model_is_trained_again_on_all_spots_and_keeps_the_figures_of_those_held_out(straight, samples, tmp_path):
    finetune(
        samples,
        tmp_path / "once",
        config=settings(pretrain_steps=2, refit=False, kernel_share=None),
        seed=1,
        progress=False,
    )
    card, once = load_card(straight / "model"), load_card(tmp_path / "once" / "model")
    assert card.evaluation == once.evaluation
    assert (card.intervals.held_out, card.intervals.spots) == ("patients", 50)  # by models that knew the other one
    assert [t.spots for t in card.training] == [25, 25]
    assert all(t.spots < 25 for t in once.training)
    assert (once.architecture.landmarks, card.architecture.landmarks) == (34, 48)  # of 34 spots, of 50 at most 48
    assert card.gene_means != once.gene_means
    lines = events(straight)
    assert next(line["total_epochs"] for line in lines if "total_epochs" in line) == 4
    assert lines[-1]["epoch"] == 3
    steps = [line["step"] for line in lines if "train_loss" in line]
    assert steps == sorted(set(steps))


def test_a_second_run_into_the_same_folder_is_refused(straight, samples):
    with pytest.raises(Nh2stError, match="holds a run already"):
        finetune(samples, straight, config=settings(), progress=False)


def test_resume_goes_on_where_it_stopped(straight, samples, tmp_path):
    """Stopped after an epoch and resumed, it is the undisturbed run, whatever it is called with."""
    broken = tmp_path / "broken"
    config = settings(pretrain_steps=2, **WHOLE)
    finetune(samples, broken, config=config, seed=1, progress=False, cancelled=lambda: len(scores(broken)) >= 1)
    assert events(broken)[-1]["event"] == "cancelled"
    assert load_card(broken / "model").name == "model"
    finetune(samples, broken, config=settings(epochs=9, panel=2), seed=5, progress=False, resume=True)
    lines = events(broken)
    assert "resumed" in [line.get("event") for line in lines]
    assert lines[-1]["event"] == "done"
    assert max(scores(broken)) == 1
    a, b = (load_card(run / "model") for run in (straight, broken))
    assert a.genes == b.genes
    assert b.recipe["seed"] == 1
    assert same_weights(straight, broken)


def test_resuming_on_other_samples_is_refused(straight, three_samples):
    with pytest.raises(Nh2stError, match="was started on S1, S2: resume it"):
        finetune(three_samples, straight, config=settings(), progress=False, resume=True)


def test_a_stop_before_the_first_epoch_leaves_no_half_trained_model(tmp_path, samples):
    run = tmp_path / "r"

    def stop_while_encoding():
        told = events(run)
        return bool(told) and told[-1].get("stage") == "looking at the tissue"

    with pytest.raises(Nh2stError, match="no model to keep"):
        finetune(samples, run, config=settings(), progress=False, cancelled=stop_while_encoding)
    assert not (run / "model").exists()
    assert events(run)[-1]["event"] == "cancelled"


def test_a_folder_that_is_there_is_told_from_the_first_section_on(tmp_path, samples):
    """A window makes the folder and follows the run in it; a stop is heard while sections are read."""
    run = tmp_path / "r"
    run.mkdir()
    (run / "stop").touch()
    os.utime(run / "stop", (1, 1))  # of an earlier run

    def stop_at_the_slides():
        told = events(run)
        if told and told[-1]["stage"] == "reading the slides":
            (run / "stop").touch()
        return False

    with pytest.raises(Nh2stError, match="no model to keep"):
        finetune(samples, run, config=settings(), progress=False, cancelled=stop_at_the_slides)
    told = events(run)
    assert (told[0]["stage"], told[0]["done"], told[0]["total"]) == ("reading the sections", 0, 2)
    assert [row["stage"] for row in told if "stage" in row] == [
        "reading the sections", "finding the tissue", "reading the slides",
    ]  # fmt: skip
    assert told[-1]["event"] == "cancelled"
    assert not (run / "start.json").exists()


def test_the_tissue_of_a_section_is_found_once(tmp_path, samples, monkeypatch):
    found = []
    find = find_tissue.find_tissue
    monkeypatch.setattr(find_tissue, "find_tissue", lambda *a: found.append(a) or find(*a))

    def stop_when_read():
        return (tmp_path / "r").is_dir()

    with pytest.raises(Nh2stError, match="no model to keep"):
        finetune(samples, tmp_path / "r", config=settings(), progress=False, cancelled=stop_when_read)
    assert len(found) == 2


def test_a_stop_file_keeps_the_best_so_far(tmp_path, samples):
    run = tmp_path / "r"

    def leave_a_file():
        if scores(run):
            (run / "stop").touch()
        return False

    finetune(samples, run, config=settings(epochs=3), progress=False, cancelled=leave_a_file)
    assert events(run)[-1]["event"] == "cancelled"
    assert load_model(run / "model").card.evaluation is not None


def test_paper_trains_too(tmp_path, samples):
    paper = ARCH.model_copy(update={"variant": "paper"})
    config = settings(architecture=paper, spots_per_step=8, refit=False)
    folder = finetune(samples, tmp_path / "r", config=config, progress=False)
    assert load_model(folder).card.architecture.variant == "paper"


def test_a_base_model_gives_geometry_panel_and_weights(tmp_path, samples):
    base = small_model(tmp_path, genes=["LIGHT", "OTHER", "DARK"], gene_means=[1.0, 2.0, 3.0])
    config = everything(epochs=1, learning_rate=1e-9, genes=["DARK", "REST", "LIGHT"], mpp=None, kernel_share=0.0)
    tuned = load_model(finetune(samples, tmp_path / "r", base=base.path, config=config, progress=False))
    assert (tuned.card.mpp, tuned.card.pitch, tuned.card.architecture) == (1.0, 144, base.card.architecture)
    assert tuned.card.base.startswith("small-context ")
    old, new = base.net.decoder.weight, tuned.net.decoder.weight
    assert torch.allclose(new[0], old[2], atol=1e-4)
    assert torch.allclose(new[2], old[0], atol=1e-4)
    assert torch.allclose(tuned.net.head.token[0].weight, base.net.head.token[0].weight, atol=1e-4)


def test_folding_the_labels_and_back(tmp_path):
    net = small_model(tmp_path).net
    mean, std = np.linspace(1, 2, 6, dtype=np.float32), np.linspace(0.5, 3, 6, dtype=np.float32)
    scale = LabelScale(mean, std)
    hidden = torch.randn(4, 12)
    before = net.decoder(hidden).detach()
    fold_labels(net, scale)
    assert torch.allclose(net.decoder(hidden), before * torch.from_numpy(std) + torch.from_numpy(mean), atol=1e-5)
    unfold_labels(net, scale)
    assert torch.allclose(net.decoder(hidden), before, atol=1e-5)


def test_wrong_settings_are_all_said_at_once(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("epochs: 0\nlerning_rate: 1\n")
    with pytest.raises(Nh2stError, match="lerning_rate") as error:
        read_config(path)
    assert "epochs" in str(error.value)
    path.write_text("epochs: 3\narchitecture: {width: 16}\n")
    assert read_config(path).architecture.width == 16


def test_a_sample_that_cannot_be_used_stops_before_anything_is_written(tmp_path, samples):
    config = settings(genes=["DARK", "NOWHERE"])
    with pytest.raises(Nh2stError, match="NOWHERE"):
        finetune(samples, tmp_path / "r", config=config, progress=False)
    assert not (tmp_path / "r").exists()
