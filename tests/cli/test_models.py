"""`nh2st models`, and someone else's model in the commands that take one."""

import json

import pytest

from napari_nh2st.engine.store import open_prediction
from support.predictors import name_files, predictor_file

UNKNOWN = "no held-out accuracy is known for this model"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    file = predictor_file(tmp_path)
    name_files(monkeypatch, tmp_path, file)
    return file


def test_models_are_listed_with_what_they_need_and_how_far_to_trust_them(nh2st, tmp_path, monkeypatch):
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_like_that")
    name_files(monkeypatch, tmp_path, broken)
    status, out, _ = nh2st("models", "--add", predictor_file(tmp_path), "--json")
    assert status == 0
    listed = json.loads(out)
    rows = {row["name"]: row for row in listed["models"]}
    assert list(rows) == ["demo", "demo-paper", "her2st", "mine"]
    assert rows["mine"]["trust"] == UNKNOWN
    assert rows["mine"]["needs"] == "tiles of 64 px at 1.6 um"
    assert rows["mine"]["unit"] == "share of white"
    assert rows["her2st"]["trust"].startswith("mean held-out PCC 0.")
    (trouble,) = listed["warnings"]
    assert trouble.startswith(f"the model 'broken' of {broken} does not work: ModuleNotFoundError")
    status, out, err = nh2st("models", "--remove", tmp_path / "mine.py")
    assert status == 0
    assert "mine" not in out
    assert trouble in err


def test_a_file_that_does_not_work_is_said_when_it_is_added(nh2st, tmp_path, monkeypatch):
    name_files(monkeypatch, tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0")
    status, _, err = nh2st("models", "--add", tmp_path / "broken.py")
    assert status == 1
    assert "does not work: ZeroDivisionError" in err


def test_predict_takes_it_by_name_and_says_that_its_accuracy_is_unknown(nh2st, mine, slide, tmp_path):
    out = tmp_path / "out"
    words = ("predict", slide, "--model", "mine", "--out", out, "--format", "csv", "--device", "cpu", "--json")
    status, printed, err = nh2st(*words)
    assert status == 0, err
    document = json.loads(printed)
    (row,) = document["slides"]
    assert row["tiles_encoded"] == row["tiles_total"] > 50
    assert any(UNKNOWN in text.lower() for text in row["warnings"])
    assert document["provenance"]["model"] == "mine"
    assert document["provenance"]["precision"] == "the model's own"
    (folder,) = out.glob("*.nh2st")
    assert open_prediction(folder).genes == ["RED", "GREEN", "BLUE"]
    assert json.loads(nh2st(*words)[1])["slides"][0]["tiles_encoded"] == 0
    predictor_file(mine.parent, version="2")
    status, printed, err = nh2st(*words)
    assert status == 1
    assert "holds a prediction with another model" in json.loads(printed)["error"]


def test_an_unknown_gene_and_an_unknown_model_are_told_before_work(nh2st, mine, slide, tmp_path):
    more = ("--out", tmp_path / "out", "--genes", "REDD")
    assert "REDD" in nh2st("predict", slide, "--model", "mine", *more)[2]
    assert "one of demo, demo-paper, her2st, mine" in nh2st("predict", slide, "--model", "yours", *more)[2]
