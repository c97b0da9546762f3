"""Checks of a slide, a model, a run and a prediction, each with the fault that it looks for."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_nh2st.doctor.checks import model as of_model
from napari_nh2st.doctor.checks import prediction as of_prediction
from napari_nh2st.doctor.checks import run as of_run
from napari_nh2st.doctor.checks import slide as of_slide
from napari_nh2st.doctor.child import MARK, Answer
from napari_nh2st.doctor.known_answers import known_answer
from napari_nh2st.doctor.probes import checkpoints, prediction, slide
from napari_nh2st.doctor.probes import model as model_probe
from napari_nh2st.doctor.subject import Subject, recognise
from napari_nh2st.engine.store import save_prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.folder import bundled_models, find_model, weights_hash
from napari_nh2st.training.run.detached_process import identity
from support import slides
from support.doctor import MODEL, PREDICTION, SLIDE, probes
from support.models import small_model
from support.predictions import prediction as small_prediction


def told(capsys, probe, *arguments):
    """Run a probe in this process and return its facts."""
    capsys.readouterr()
    probe(*map(str, arguments))
    lines = [line.removeprefix(MARK) for line in capsys.readouterr().out.splitlines() if line.startswith(MARK)]
    return dict(json.loads(line) for line in lines)


# slides


@pytest.mark.parametrize(
    ("check", "changes", "level", "said"),
    [
        ("opens", {}, "ok", "aperio, 3000 x 2000 pixels, 2 levels"),
        ("pixel_size", {"mpp": None, "mpp_source": "none"}, "fault", "how large its pixels are"),
        ("reads", {}, "ok", "150 MB of pixels a second"),
        ("reads", {"level 1": {"bytes": 0, "seconds": 0, "error": "gone"}}, "fault", "level 1 cannot be read: gone"),
        ("reads", {"level 0": {"bytes": 3e6, "seconds": 1, "error": ""}}, "warning", "read slowly: 3 MB"),
        ("sound", {"warnings": ["2 tiles are missing."]}, "warning", "2 tiles are missing"),
        ("tissue", {"tissue": 0}, "warning", "no tissue"),
        ("tissue", {"tissue": 1.0}, "warning", "no glass"),
        ("stays", {"changed": True}, "fault", "changes while it is read"),
    ],
)  # fmt: skip
def test_slide(tmp_path, check, changes, level, said):
    finding = getattr(of_slide, check)(probes(slide=SLIDE | changes), tmp_path / "a.svs", None)
    assert finding.level == level
    assert said in finding.found


@pytest.mark.parametrize(
    ("answer", "check", "said"),
    [
        (Answer(error="a.svs does not exist"), "opens", "it cannot be opened: a.svs does not exist"),
        (Answer(ended="did not answer within 120 s"), "opens", "opening it did not answer within 120 s"),
        (
            Answer({"levels": [[1, 1]], "level 0": "begun"}, ended="ended with signal 11 (SIGSEGV)"),
            "reads", "reading level 0 ended with signal 11 (SIGSEGV)",
        ),
        (Answer({"levels": [[1, 1], [1, 1]], "level 0": SLIDE["level 0"]}, error="x"), "reads", "level 1 was not"),
        (Answer({"tissue": "begun"}, ended="ended with signal 9 (SIGKILL)"), "tissue", "looking for tissue ended"),
    ],
)  # fmt: skip
def test_a_slide_whose_probe_dies(tmp_path, answer, check, said):
    finding = getattr(of_slide, check)(probes(slide=answer), tmp_path / "a.svs", None)
    assert finding.level == "fault"
    assert finding.found.startswith(said)


def test_the_probe_reads_every_level(tmp_path, capsys):
    pixels = slides.picture(300, 260)
    file = slides.tiff(
        tmp_path / "a.tif", pixels, [slides.shrunk(pixels, 150, 130)], resolution=(1e4, 1e4), resolutionunit=3
    )
    facts = told(capsys, slide.probe, file)
    assert facts["levels"] == [[300, 260], [150, 130]]
    assert facts["level 1"]["error"] == ""
    assert facts["level 1"]["bytes"] == 4 * 3 * 150 * 130
    assert facts["mpp"] == pytest.approx(1)
    assert facts["changed"] is False


def test_the_probe_finds_a_broken_level(tmp_path, capsys):
    pixels = slides.picture(300, 260)
    file = slides.tiff(tmp_path / "a.tif", pixels, [slides.shrunk(pixels, 150, 130)], compression="zlib")
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    file.write_bytes(data)
    facts = told(capsys, slide.probe, file, "0.5")
    finding = of_slide.sound(probes(slide=facts), file, 0.5)
    assert finding.level == "warning"
    assert "undecodable" in finding.found


# models


@pytest.mark.parametrize(
    ("check", "changes", "level", "said"),
    [
        ("weights", {}, "ok", "1,000 weights"),
        ("predicts", {}, "ok", "as it was shipped"),
        ("predicts", {"repeats": 0.5}, "fault", "other values when they are predicted again"),
        ("predicts", {"known": 0.5}, "fault", "differ from those recorded when it was shipped"),
        ("predicts", {"predicted": False}, "fault", "not numbers"),
        ("device_agrees", {"device": "cuda", "device_differs": 0.001}, "ok", "agree"),
        ("device_agrees", {"device": "cuda", "device_differs": 0.5}, "fault", "cuda and the processor disagree"),
        ("device_agrees", {"device": "cuda"}, "fault", "cannot predict on cuda"),
    ],
)
def test_model(check, changes, level, said):
    finding = getattr(of_model, check)(probes(model=MODEL | changes), "demo", "auto")
    assert finding.level == level
    assert said in finding.found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("models")).path


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model")


def test_a_model_without_weights(folder):
    (folder / "model.safetensors").unlink()
    finding = of_model.card(probes(), str(folder), "cpu")
    assert finding.level == "fault"
    assert "has no model.safetensors" in finding.found
    assert of_model.weights(probes(), str(folder), "cpu") is None


def test_a_card_that_is_no_card(folder):
    (folder / "card.json").write_text('{"name": 3')
    assert of_model.card(probes(), str(folder), "cpu").level == "fault"


def test_a_model_that_was_not_scored_and_has_no_ids(folder):
    assert "Ensembl" in of_model.gene_ids(probes(), str(folder), "cpu").found
    assert "nobody has scored it" in of_model.trust(probes(), str(folder), "cpu").found


def test_the_probe_predicts_with_a_model(folder, capsys):
    facts = told(capsys, model_probe.probe, folder, "cpu")
    assert facts["predicted"] is True
    assert facts["repeats"] == 0
    assert "known" not in facts
    assert facts["device"] == "cpu"


def test_weights_that_are_no_numbers(folder):
    weights = load_file(folder / "model.safetensors")
    weights["decoder.bias"][0] = torch.nan
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(Nh2stError, match=r"decoder\.bias") as refused:
        model_probe.probe(str(folder), "cpu")
    finding = of_model.weights(probes(model=Answer(error=str(refused.value))), str(folder), "cpu")
    assert finding.level == "fault"


def test_every_bundled_model_has_a_known_answer():
    assert all(known_answer(weights_hash(find_model(name))) for name in bundled_models())


def test_this_machine_predicts_as_the_demo_model_was_shipped(capsys):
    facts = told(capsys, model_probe.probe, "demo", "cpu")
    assert of_model.predicts(probes(model=facts), "demo", "cpu").level == "ok"


# runs


@pytest.fixture
def run(tmp_path):
    """A run that was killed in its second epoch."""
    folder = tmp_path / "RUN"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "start.json").write_text(json.dumps({"base": None, "seed": 0, "samples": ["A1", "B1"]}))
    (folder / "config.yaml").write_text("epochs: 4\n")
    rows = [{"event": "started", "total_epochs": 4}, {"step": 1, "epoch": 0, "train_loss": 1.0, "seconds": 1.0}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    argv = ["python", "-m", "napari_nh2st", "finetune", "my sheet.csv", "--out", str(folder)]
    (folder / "job.json").write_text(json.dumps({"pid": 2**22 + 1, "identity": "1", "argv": argv, "started": 0}))
    (folder / "log.txt").write_text("epoch 1 of 4\nTraceback (most recent call last):\nRuntimeError: out of memory\n")
    torch.save({"epoch": 0, "state_dict": {}}, folder / "checkpoints" / "last.ckpt")
    return folder


def test_a_dead_run_says_why_and_how_to_go_on(run):
    finding = of_run.state(probes(), run)
    assert finding.level == "fault"
    assert "RuntimeError: out of memory" in finding.found
    assert finding.mend.endswith(f"nh2st finetune 'my sheet.csv' --out {run} --resume")
    assert finding.details[-1] == "RuntimeError: out of memory"


def test_a_run_at_work(run):
    record = json.loads((run / "job.json").read_text()) | {"pid": os.getpid(), "identity": identity(os.getpid())}
    (run / "job.json").write_text(json.dumps(record))
    assert of_run.state(probes(), run).found == "it is at work (running, epoch 1 of 4)"


@pytest.mark.parametrize(
    ("event", "level", "said"),
    [("done", "ok", "it is done"), ("cancelled", "warning", "it was stopped"), ("failed", "fault", "it ended early")],
)
def test_a_run_that_ended(run, event, level, said):
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"event": event}) + "\n")
    finding = of_run.state(probes(), run)
    assert finding.level == level
    assert said in finding.found


def test_the_record_of_a_run_is_damaged(run):
    (run / "start.json").write_text('{"samples": ')
    assert of_run.started_with(probes(), run).level == "fault"


def test_settings_of_a_run_are_damaged(run):
    (run / "config.yaml").write_text("epochs: many\n")
    assert of_run.started_with(probes(), run).level == "fault"


def test_checkpoints_are_read(run, capsys):
    files = of_run.checkpoint_files(run)
    facts = told(capsys, checkpoints.probe, *files)
    assert facts == {"last.ckpt": {"epoch": 0}}
    assert of_run.checkpoints(probes(checkpoints=facts), run).found == "1 checkpoint file can be read, up to epoch 1"


def test_a_checkpoint_that_was_cut_short(run, capsys):
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-100])
    facts = told(capsys, checkpoints.probe, last)
    finding = of_run.checkpoints(probes(checkpoints=facts), run)
    assert finding.level == "fault"
    assert "last.ckpt cannot be read" in finding.found
    assert str(last) in finding.mend


def test_a_checkpoint_that_ends_its_reader(run):
    answer = Answer({"last.ckpt": {"error": "begun"}}, ended="ended with signal 7 (SIGBUS)")
    assert "reading it ended with signal 7" in of_run.checkpoints(probes(checkpoints=answer), run).found


def test_a_full_disk_under_a_run(run, monkeypatch):
    monkeypatch.setattr(of_run, "free_bytes", lambda _: 10**6)
    assert of_run.space(probes(), run).level == "fault"


# predictions


@pytest.mark.parametrize(
    ("check", "answer", "level", "said"),
    [
        ("readable", PREDICTION, "ok", "30 tiles of 6 genes"),
        ("readable", Answer(error="its zarr.json is missing"), "fault", "cannot be read: its zarr.json is missing"),
        ("readable", PREDICTION | {"not_finite": 3}, "fault", "3 of 30 tiles hold values that are not numbers"),
        ("readable", PREDICTION | {"tiles": 0}, "warning", "nothing is predicted"),
        ("complete", PREDICTION | {"damaged": 2}, "warning", "2 tiles were left out"),
        ("its_slide", PREDICTION | {"slide": "gone"}, "warning", "has moved or gone"),
        ("its_slide", PREDICTION | {"slide": "other"}, "fault", "another slide"),
        ("its_slide", PREDICTION | {"slide": "SlideError: x"}, "warning", "cannot be opened"),
        ("writer", PREDICTION | {"written_by": "process 12"}, "ok", "process 12"),
    ],
)
def test_prediction(tmp_path, check, answer, level, said):
    finding = getattr(of_prediction, check)(probes(prediction=answer), tmp_path)
    assert finding.level == level
    assert said in finding.found


def test_the_command_that_mends_a_prediction_is_named(tmp_path):
    answer = Answer({"command": PREDICTION["command"]}, error="x")
    assert PREDICTION["command"] in of_prediction.readable(probes(prediction=answer), tmp_path).mend


def test_the_probe_reads_a_prediction(tmp_path, capsys):
    folder = save_prediction(
        small_prediction(slide_path=tmp_path / "gone.svs", fingerprint="0" * 32), tmp_path / "a.nh2st"
    )
    facts = told(capsys, prediction.probe, folder)
    assert facts["tiles"] == len(small_prediction().only_done())
    assert (facts["not_finite"], facts["slide"]) == (0, "gone")


def test_a_prediction_without_a_part(tmp_path):
    folder = save_prediction(small_prediction(), tmp_path / "a.nh2st")
    (folder / "zarr.json").unlink()
    with pytest.raises(Nh2stError):
        prediction.probe(str(folder))


# what is what


def test_subjects_are_told_apart(tmp_path, run, whole):
    file = slides.tiff(tmp_path / "a.tif", slides.picture(70, 60))
    folder = save_prediction(small_prediction(), tmp_path / "out" / "a.nh2st")
    for path, kind in [
        (file, ("slide", file)),
        (tmp_path / "gone.svs", ("slide", tmp_path / "gone.svs")),
        (run, ("run", run)),
        (run / "metrics.jsonl", ("run", run)),
        (whole, ("model", whole)),
        (whole / "card.json", ("model", whole)),
        (folder, ("prediction", folder)),
        (folder.parent, ("prediction", folder)),
        (folder / "zarr.json", ("prediction", folder)),
    ]:
        assert recognise(path) == kind
    mixed = Subject.named([run, file, folder], str(whole))
    assert (mixed.slides, mixed.models, mixed.runs, mixed.predictions) == ((file,), (str(whole),), (run,), (folder,))


def test_a_damaged_prediction_is_still_one(tmp_path):
    (tmp_path / "a.nh2st").mkdir()
    assert recognise(tmp_path / "a.nh2st")[0] == "prediction"


def test_a_folder_that_is_nothing(tmp_path):
    with pytest.raises(Nh2stError, match="is not a run, prediction or model folder"):
        recognise(tmp_path)


def test_a_run_that_does_not_exist(tmp_path):
    with pytest.raises(Nh2stError, match="RUN does not exist"):
        recognise(tmp_path / "RUN")


def test_known_values_are_of_the_patches_of_the_probe():
    assert model_probe.patches(112).shape == (2, 112, 112, 3)
    assert np.unique(model_probe.patches(112)).size > 90
