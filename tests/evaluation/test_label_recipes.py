"""Recipes of scoring: labels as they say, and what each gives away to predictors without skill."""

import json

import numpy as np
import pytest

from napari_nh2st import metrics
from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation.label_recipes import RECIPES, MeasuredSpots, recipes_named, score_recipe
from napari_nh2st.evaluation.recipe_report import markdown, recipes_table
from napari_nh2st.targets import SpotCounts
from support.models import small_model
from support.sections import GENES, sheet

SIDE, PANEL = 14, 80


def array(side: int = SIDE) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(side) * 100.0] * 2), axis=-1).reshape(-1, 2)


def measured(seed: int = 0, level: float = 0.0) -> tuple[MeasuredSpots, np.ndarray]:
    """Counts round a smooth truth, predicted but for some error; and the mean of each gene, (G,)."""
    rng = np.random.default_rng(seed)
    spots = array()
    wave = np.sin(spots @ rng.normal(0, 0.006, (2, PANEL)) + rng.uniform(0, 6, PANEL))
    base = np.random.default_rng(9).uniform(1, 5, PANEL)
    truth = base + level + 0.4 * wave
    depth = rng.lognormal(7, 0.4, len(spots))
    counts = rng.poisson(np.exp(truth) / np.exp(truth).sum(axis=1, keepdims=True) * depth[:, None])
    everything = depth * 1.3 + counts.sum(axis=1)
    predicted = truth + 0.4 * rng.normal(size=truth.shape)
    return MeasuredSpots(SpotCounts(counts.astype(np.float32), everything), spots, predicted), base


def test_every_row_says_what_it_is_and_all_but_ours_what_it_gives_away():
    assert next(iter(RECIPES)) == "ours"
    for name, row in RECIPES.items():
        assert row.name == name
        assert row.about
        assert row.cite
        assert bool(row.warning) == (name != "ours")
        assert not row.about.endswith(".")


def test_labels_are_those_of_the_recipe():
    spots, _ = measured()
    counts, depth = spots.counted.counts.astype(float), spots.counted.depth

    def labels(name):
        return RECIPES[name].labels(spots.counted, spots.centres)

    np.testing.assert_allclose(labels("ours"), np.log(1 + counts / depth[:, None] * 1e4))
    np.testing.assert_allclose(labels("hest"), np.log(1 + counts))
    np.testing.assert_allclose(np.expm1(labels("panel-library")).sum(axis=1), 1e4)
    middle, corner = 3 * SIDE + 3, 0
    around = [middle + dy * SIDE + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    np.testing.assert_allclose(labels("smoothed")[middle], labels("ours")[around].mean(axis=0))
    np.testing.assert_allclose(labels("smoothed")[corner], labels("ours")[[0, 1, SIDE, SIDE + 1]].mean(axis=0))
    raw = np.log10(1 + counts / counts.sum(axis=1, keepdims=True) * 1e4)
    np.testing.assert_allclose(labels("triplex")[middle], raw[around].mean(axis=0))
    np.testing.assert_array_equal(labels("released"), labels("triplex"))


def test_on_a_hexagonal_array_six_spots_are_next_to_one():
    row, column = np.divmod(np.arange(100), 10)
    centres = np.stack([(column + row % 2 / 2) * 100.0, row * 100 * 0.75**0.5], axis=1)
    counts = np.zeros((100, 1), np.float32)
    counts[44] = 7
    labels = RECIPES["smoothed"].labels(SpotCounts(counts, np.full(100, 1e4)), centres)
    assert (labels > 0).sum() == 7
    np.testing.assert_allclose(labels[labels > 0], np.log(8) / 7)


def test_ours_is_the_correlation_per_gene_of_each_section():
    one, base = measured(0)
    two, _ = measured(1)
    found = score_recipe(RECIPES["ours"], [one, two], base)
    each = [metrics.pcc(RECIPES["ours"].labels(s.counted, s.centres), s.predicted).mean for s in (one, two)]
    assert found["figure"] == pytest.approx(np.mean(each))
    assert found["ci"][0] < found["figure"] < found["ci"][1]
    assert (found["mean_profile"], found["averaged_over"]) == (0, [PANEL, PANEL])
    assert abs(found["shuffled"]) < 0.02


@pytest.mark.parametrize("name", RECIPES)
def test_no_figure_comes_without_what_no_skill_reaches(name):
    spots, base = measured()
    found = score_recipe(RECIPES[name], [spots], base)
    assert 0 < found["figure"] <= 1
    assert found["ci"][0] <= found["figure"] <= found["ci"][1]
    assert found["shuffled"] < found["figure"]
    assert score_recipe(RECIPES[name], [spots], None)["mean_profile"] is None
    assert found == score_recipe(RECIPES[name], [spots], base)


def test_the_traps_are_shown():
    spots, base = measured()
    found = {name: score_recipe(RECIPES[name], [spots], base) for name in RECIPES}
    ours = found["ours"]["figure"]
    assert found["smoothed"]["figure"] > ours + 0.02  # noise is averaged away
    assert found["best-50"]["figure"] > ours + 0.01
    assert found["best-50"]["shuffled"] > 0.02 > abs(found["ours"]["shuffled"])
    assert found["across-genes"]["mean_profile"] > 0.8
    assert found["released"]["mean_profile"] > 0.9
    assert found["released"]["shuffled"] > 0.85
    assert found["across-genes"]["one_number"] == 0  # it is the same for all genes
    assert found["hest"]["averaged_over"] == [50]
    assert found["released"]["averaged_over"] == [50]


def test_without_the_library_one_number_a_spot_is_skill():
    """Depth alone, which no label of ours shows."""
    spots, base = measured()
    depth = np.log(spots.counted.depth)[:, None] + np.zeros((1, PANEL))
    blind = MeasuredSpots(spots.counted, spots.centres, depth)
    ours, raw = (score_recipe(RECIPES[name], [blind], base) for name in ("ours", "no-library"))
    assert raw["one_number"] == pytest.approx(raw["figure"])
    assert raw["one_number"] > ours["one_number"] + 0.2


def test_pooled_spots_reward_a_predictor_that_only_knows_the_section():
    sections = []
    for seed, level in ((0, 0.0), (1, 1.5)):
        spots, base = measured(seed)
        more = spots.counted.counts * np.float32(np.exp(level))
        flat = level + np.random.default_rng(seed).normal(0, 0.01, spots.predicted.shape)
        sections.append(MeasuredSpots(SpotCounts(more, spots.counted.depth), spots.centres, flat))
    assert abs(score_recipe(RECIPES["ours"], sections, base)["figure"]) < 0.05
    assert score_recipe(RECIPES["pooled"], sections, base)["figure"] > 0.4


def test_names_of_recipes():
    assert recipes_named("all") == list(RECIPES)
    assert recipes_named("released, ours") == ["released", "ours"]
    with pytest.raises(Nh2stError, match="no recipe mine: choose among ours, "):
        recipes_named("ours,mine")
    with pytest.raises(Nh2stError, match="name a recipe"):
        recipes_named(" ,")


def test_on_the_command_line(nh2st, tmp_path):
    samples = sheet(tmp_path, ("S1", "P9", 1, 1000))
    model = small_model(tmp_path, genes=GENES, gene_means=[5.0, 5.1, 5.2, 9.0], gene_stds=[1.0] * 4)
    words = ["evaluate", samples, "--model", model.path]
    status, out, err = nh2st(*words, "--labels", "all", "--out", tmp_path / "r.json")
    assert status == 0, err
    rows = [line.split()[0] for line in out.splitlines()[1 : 1 + len(RECIPES)]]
    assert rows == list(RECIPES)
    report = json.loads((tmp_path / "r.json").read_text())
    assert [row["name"] for row in report["recipes"]] == list(RECIPES)
    assert report["sections"] == [{"sample": "S1", "kind": "cross-patient", "n_spots": 25}]
    status, plain, _ = nh2st(*words, "--json")
    assert status == 0
    same = json.loads(plain)["splits"][0]["models"]["nh2st-context"]["pcc_mean"]
    assert report["recipes"][0]["figure"] == pytest.approx(same, abs=1e-4)
    page = (tmp_path / "r.md").read_text()
    assert page == markdown(report)
    assert recipes_table(report) in page
    assert "`released`" in page
    status, out, _ = nh2st(*words, "--labels", "ours,hest", "--json")
    assert status == 0
    assert [row["name"] for row in json.loads(out)["recipes"]] == ["ours", "hest"]


def test_what_cannot_be_scored_so_is_said_in_a_line(nh2st, tmp_path):
    samples = sheet(tmp_path, ("S1", "P9", 1, 1000))
    residuals = small_model(
        tmp_path, genes=GENES, gene_means=[0.0] * 4, label_recipe="pearson-residuals",
        label_facts={"share": [0.1, 0.2, 0.3, 0.4], "theta": 100.0, "clip": 5.0},
    )  # fmt: skip
    status, _, err = nh2st("evaluate", samples, "--model", residuals.path, "--labels", "all")
    assert status != 0
    assert "the recipes are about models that predict ln(1 + counts" in err
    status, _, err = nh2st("evaluate", samples, "--model", residuals.path, "--labels", "mine")
    assert status != 0
    assert "no recipe mine" in err
    status, _, err = nh2st("evaluate", samples, "--protocol", "cross-patient", "--labels", "all")
    assert status != 0
    assert "single model" in err
