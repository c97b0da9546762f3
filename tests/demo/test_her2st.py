"""The bundled model of real tissue: what it says of itself. How good it is stands in docs/results.md."""

import json
from pathlib import Path

import numpy as np
import pytest

from napari_nh2st.demo.her2st import NAME, cross_patient, finetune_command, recipe_path, train
from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.folder import (
    bundled_models,
    find_model,
    load_card,
    load_model,
    load_reference,
    put_reference,
)
from napari_nh2st.model.reference import fit_reference
from napari_nh2st.training.config import TrainingConfig, read_config
from support.models import small_model

REPORTS = Path(__file__).parents[2] / "docs" / "reports"
bundled = pytest.mark.skipif(NAME not in bundled_models(), reason="not built: make her2st-model")


def test_the_recipe_is_the_defaults():
    ours, default = read_config(recipe_path()).model_dump(), TrainingConfig().model_dump()
    assert {k for k in ours if ours[k] != default[k]} == {
        "name",
        "description",
        "licence",
        "tissue",
        "citation",
        "half",
    }


def test_command_is_the_one_a_person_types():
    words = finetune_command(Path("samples.csv"), Path("run"))
    assert words[1:6] == ["-m", "napari_nh2st", "finetune", "samples.csv", "--out"]


def report(kind, pcc, spots, test):
    genes = {"G0": {"pcc": pcc, "low": pcc - 0.1, "high": pcc + 0.1, "mse": 1.0}}
    split = {"train": ["T"], "test": [test], "kind": kind, "n_spots": spots}
    return {"budget": "full", "splits": [{**split, "models": {"nh2st-context": {"pcc_mean": pcc, "genes": genes}}}]}


def test_figures_come_from_patients_that_were_left_out(tmp_path):
    for i, found in enumerate(
        [
            report("cross-patient", 0.3, 300, "B"),
            report("cross-patient", 0.1, 100, "C"),
            report("same-patient", 0.9, 9, "D"),
        ]
    ):
        (tmp_path / f"{i}.json").write_text(json.dumps(found))
    figures = cross_patient(tmp_path)
    assert figures.kind == "cross-patient"
    assert figures.samples == ["B (trained on T)", "C (trained on T)"]
    assert figures.pcc_mean == pytest.approx(0.25)
    assert figures.genes["G0"].pcc == pytest.approx(0.25)
    with pytest.raises(Nh2stError, match="no full report"):
        cross_patient(tmp_path / "empty")


def test_a_finished_run_is_bundled_with_those_figures(tmp_path):
    model = small_model(tmp_path)
    tiles = np.random.default_rng(0).normal(size=(200, 3))
    made = fit_reference(tiles, tiles[:, :2], np.zeros(200, int), np.ones((1, 3)), patch=0.1)
    put_reference(made, model.path)
    model.path.rename(tmp_path / "model")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "a.json").write_text(json.dumps(report("cross-patient", 0.3, 300, "B")))
    folder = train(tmp_path / "none.csv", tmp_path / "reports", tmp_path, tmp_path / "bundle")
    card = load_card(folder)
    assert card.evaluation.pcc_mean == pytest.approx(0.3)
    assert list(card.evaluation.genes) == ["G0"]
    assert load_reference(folder).tiles == 200


@bundled
def test_the_card_says_what_it_is():
    card = load_card(NAME)
    assert not card.synthetic
    assert "HER2" in card.tissue
    assert "10.1038/s41467-021-26271-2" in card.citation
    assert {t.sample for t in card.training} == {"B4", "C2", "C3", "C4", "C5"}
    assert card.patients == 2
    assert card.mpp == pytest.approx(200 / 144, rel=1e-3)
    assert len(card.genes) == 250
    assert card.evaluation.kind == "cross-patient"
    assert len(card.evaluation.genes) > 150
    assert all(t.low <= t.pcc <= t.high for t in card.evaluation.genes.values())
    size = sum(f.stat().st_size for f in find_model(NAME).iterdir())
    assert size <= 8 * 2**20


@bundled
def test_its_figures_are_those_of_the_committed_reports():
    figures = cross_patient(REPORTS)
    assert load_card(NAME).evaluation.pcc_mean == figures.pcc_mean


@bundled
def test_it_loads_and_answers_finite_values():
    model = load_model(NAME)
    assert np.isfinite(model.net.decoder.weight.detach().numpy()).all()
    assert model.net.kernel_head is not None
