"""`nh2st finetune` as a contract: its panel, and what a finished run keeps."""

import json

import pytest

from napari_nh2st.model.folder import load_card
from support.models import small_model
from support.sections import sheet


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return sheet(tmp_path_factory.mktemp("sheet"), ("S1", "P1", 1, 1000))


def test_a_panel_of_what_was_measured(nh2st, samples, tmp_path, monkeypatch):
    """The way out when a base model has genes that the sections lack."""
    base = small_model(tmp_path, genes=["LIGHT", "ABSENT", "DARK", "GONE"], gene_means=[5.0] * 4, gene_stds=[1.0] * 4)
    asked = {}

    def estimate(*_, base, config, **__):
        asked.update(base=base, genes=config.genes, panel=config.panel)
        raise SystemExit

    monkeypatch.setattr("napari_nh2st.training.estimate.estimate_run.estimate", estimate)
    words = ["finetune", samples, "--estimate"]
    err = nh2st(*words, "--model", base.path, "--panel", "shared")[2]
    assert asked["genes"] == ["LIGHT", "DARK"]
    assert "2 of 4 genes of small-context were measured in every section" in err
    (tmp_path / "genes.txt").write_text("REST\nDARK\n")
    for panel, genes, number in (("3", None, 3), ("REST,DARK", ["REST", "DARK"], 250), ("shared", None, 250)):
        nh2st(*words, "--panel", panel)
        assert (asked["genes"], asked["panel"]) == (genes, number)
    nh2st(*words, "--panel", tmp_path / "genes.txt")
    assert asked["genes"] == ["REST", "DARK"]
    status, _, err = nh2st(*words, "--model", base.path, "--panel", "3")
    assert (status, "keeps the panel of the model" in err) == (2, True)


@pytest.fixture
def short_epochs(monkeypatch):
    monkeypatch.setattr("napari_nh2st.training.data.batches.FEWEST_STEPS", 2)


def test_genes_that_were_not_measured_name_the_way_out(nh2st, samples, tmp_path, short_epochs):
    base = small_model(tmp_path, genes=["LIGHT", "ABSENT", "DARK", "GONE"], gene_means=[5.0] * 4, gene_stds=[1.0] * 4)
    status, _, err = nh2st("finetune", samples, "--out", tmp_path / "run", "--model", base.path, "--epochs", 1)
    assert status == 1
    assert "2 of 4 genes of the panel were not measured: ABSENT, GONE; " in err.splitlines()[-1]
    assert "--panel shared" in err.splitlines()[-1]
    words = ["--out", tmp_path / "run", "--model", base.path, "--epochs", 1, "--panel", "shared"]
    status, _, err = nh2st("finetune", samples, *words)
    assert status == 0, err
    assert load_card(tmp_path / "run" / "model").genes == ["LIGHT", "DARK"]


def test_resuming_a_finished_run_changes_nothing(nh2st, samples, tmp_path, short_epochs):
    run = tmp_path / "run"
    settings = tmp_path / "c.yaml"
    settings.write_text("pretrain_steps: 1\npanel: 2\nepochs: 1\nrefit: false\n")
    status, _, err = nh2st("finetune", samples, "--out", run, "--config", settings)
    assert status == 0, err
    test = sheet(tmp_path, ("T1", "P9", 5, 1000))
    assert nh2st("evaluate", test, "--model", run / "model", "--update-card")[0] == 0
    card = (run / "model" / "card.json").read_bytes()
    assert json.loads(card)["evaluation"]["kind"] == "cross-patient"
    lines = (run / "metrics.jsonl").read_text()
    status, out, err = nh2st("finetune", samples, "--out", run, "--resume")
    assert (status, f"model: {run / 'model'}" in out) == (0, True)
    assert "has ended: there is nothing to resume" in err
    assert (run / "model" / "card.json").read_bytes() == card
    assert (run / "metrics.jsonl").read_text() == lines


def test_a_sheet_without_pixel_sizes_is_told_where_to_write_them(nh2st, tmp_path):
    import tifffile

    line = sheet(tmp_path, ("S1", "P1", 1, 1000))
    base = small_model(tmp_path, genes=["LIGHT", "DARK"], gene_means=[5.0] * 2, gene_stds=[1.0] * 2)
    pixels = tifffile.imread(tmp_path / "S1.tif")
    tifffile.imwrite(tmp_path / "S1.tif", pixels, photometric="rgb")
    for words in (["finetune", line, "--out", tmp_path / "run"], ["evaluate", line, "--model", base.path]):
        status, _, err = nh2st(*words)
        assert status == 1
        assert "fill in the column mpp" in err.splitlines()[-1]
        assert "--mpp" not in err
