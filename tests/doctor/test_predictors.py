"""Doctor on other people's models: which one does not work and why, and whether one keeps to the contract."""

import json

import pytest

from napari_nh2st.doctor.checks import model as of_model
from napari_nh2st.doctor.checks.predictors import others_work
from napari_nh2st.doctor.child import Answer
from napari_nh2st.doctor.privacy import Private
from napari_nh2st.doctor.probes import model as model_probe
from napari_nh2st.doctor.probes import predictors as probe
from support.doctor import probes
from support.predictors import name_files, predictor_file


def told(capsys, function, *arguments):
    capsys.readouterr()
    function(*arguments)
    return dict(json.loads(line.partition(" ")[2]) for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("facts", "level", "said"),
    [
        ({"working": 2, "troubles": [], "torch": False}, "ok", "2 of other people's models can be used"),
        ({"working": 2, "troubles": [], "torch": True}, "warning", "listing them loads torch"),
        ({"working": 1, "troubles": ["the model 'a' does not work", "b"]}, "warning", "does not work (1 more"),
        ({}, "warning", "cannot be listed: did not answer"),
    ],
)
def test_what_is_found_of_other_peoples_models(facts, level, said):
    answer = Answer(facts, "" if facts else "did not answer")
    finding = others_work(probes(predictors=answer))
    assert finding.level == level
    assert said in finding.found


def test_without_any_nothing_is_said():
    assert others_work(probes()) is None


def test_the_probe_and_the_report_of_a_broken_one(tmp_path, monkeypatch, capsys):
    broken = tmp_path / "confidential.py"
    broken.write_text("1 / 0")
    name_files(monkeypatch, tmp_path, predictor_file(tmp_path), broken)
    facts = told(capsys, probe.probe)
    assert facts["working"] == 1
    (trouble,) = facts["troubles"]
    assert "'confidential'" in trouble
    assert "ZeroDivisionError" in trouble
    cleaned = Private().clean(trouble)
    assert "confidential" not in cleaned
    assert "ZeroDivisionError" in cleaned


def test_a_model_that_keeps_to_the_contract_and_one_that_does_not(tmp_path, monkeypatch, capsys):
    more = "\nclass Odd(Mine):\n    def predict(self, batch):\n        return super().predict(batch) * len(batch)\n"
    sound, odd = predictor_file(tmp_path), predictor_file(tmp_path, "odd", more=f"{more}\npredictor = Odd\n")
    name_files(monkeypatch, tmp_path, sound, odd)
    answers = probes(model=told(capsys, model_probe.probe, "mine", "cpu"))
    assert of_model.card(answers, "mine", "cpu").found.startswith("it describes itself: 3 genes, version 1")
    assert of_model.weights(answers, "mine", "cpu").found == "it can be loaded"
    assert of_model.predicts(answers, "mine", "cpu").level == "ok"
    assert of_model.gene_ids(answers, "mine", "cpu") is None
    assert of_model.device_agrees(answers, "mine", "cpu") is None
    assert of_model.trust(answers, "mine", "cpu").found == "no held-out accuracy is known for this model"
    answers = probes(model=told(capsys, model_probe.probe, "odd", "cpu"))
    assert "the size of the batch changes a value" in of_model.predicts(answers, "odd", "cpu").found
