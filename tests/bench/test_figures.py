"""The table of figures and the JSON document: a contract."""

import json

import pytest

from napari_nh2st.bench.figures import BY_KEY, FIGURES, TARGETS, Findings, Value, document, rows, table
from napari_nh2st.bench.run import PARTS

CONTRACT = {
    "ratios": [
        "over_released_procedure",
        "over_bare_encoder",
        "dense_over_released",
        "dense_cost",
        "dense_agreement",
        "dense_pcc_loss",
        "finetune_over_naive",
    ],
    "seconds": [
        "first_tiles_cold",
        "first_tiles_warm",
        "heartbeat_p95",
        "heartbeat_max",
        "napari_own_max",
        "gene_switch",
    ],
    "memory_mb": ["huge_slide", "small_slide"],
}


def test_the_document_has_the_keys_that_scripts_read():
    report = document(Findings(), "cpu", "fp32", {})
    for group, keys in CONTRACT.items():
        assert set(keys) <= set(report[group])
        assert all(report[group][key] is None for key in keys)
    assert (report["device"], report["precision"]) == ("cpu", "fp32")
    json.dumps(report)


def test_every_figure_is_measured_by_one_part():
    assert sorted(key for part in PARTS for key in part.keys) == sorted(BY_KEY)


@pytest.mark.parametrize(
    ("key", "value", "precision", "holds"),
    [
        ("over_bare_encoder", 0.5, "fp32", False),
        ("over_bare_encoder", 0.5, "bf16", True),
        ("over_bare_encoder_bf16", 0.5, "fp32", True),
        ("over_released_procedure", 12.0, "fp32", True),
        ("over_released_procedure", 12.0, "bf16", False),
        ("dense_over_released", 12.0, "fp32", None),
        ("dense_cost", 1.6, "fp32", False),
        ("dense_pcc_loss", -0.1, "fp32", True),
        ("finetune_over_naive", 3.0, "fp32", False),
        ("huge_over_small", None, "fp32", None),
        ("small_slide", 900.0, "fp32", None),
        ("second_run_encoded", 0.0, "fp32", True),
        ("gene_switch", None, "fp32", None),
    ],
)
def test_what_is_asked(key, value, precision, holds):
    assert BY_KEY[key].holds(value, precision) is holds


def test_the_table_says_what_was_reached_and_what_was_asked():
    found = Findings(
        {"over_bare_encoder": Value(0.5, 0.4, 0.6), "dense_cost": Value.one(1.2)},
        {"released": {"places_per_s": 5.8}},
        {"first_tiles_cold": "left out: there is no display"},
    )
    report = document(found, "cpu", "fp32", {})
    by_what = {row[0]: row[1:] for row in rows(report)}
    assert by_what[BY_KEY["over_bare_encoder"].what] == ["0.50 (0.40 to 0.60)", "at least 0.60", "short"]
    assert by_what[BY_KEY["dense_cost"].what] == ["1.20", "at most 1.50", "ok"]
    assert len(by_what) == len(TARGETS) + 1
    text = table(report)
    assert "released" in text
    assert "left out: there is no display" in text


def test_figures_are_said_once():
    assert len({f.what for f in FIGURES}) == len({f.key for f in FIGURES}) == len(FIGURES)


def test_a_target_without_a_value_says_why_in_its_row():
    notes = {"over_bare_encoder_bf16": "not here: no fast bfloat16", "dense_cost": "failed: the slide is broken"}
    report = document(Findings(notes=notes), "cpu", "fp32", {})
    by_what = {row[0]: row[1:] for row in rows(report)}
    assert by_what.keys() == {figure.what for figure in TARGETS}
    assert by_what[BY_KEY["over_bare_encoder_bf16"].what] == ["not here", "at least 0.38", "-"]
    assert by_what[BY_KEY["dense_cost"].what] == ["failed", "at most 1.50", "-"]
    assert by_what[BY_KEY["finetune_over_naive"].what] == ["not run", "at least 5.00", "-"]
    assert "failed: the slide is broken" in table(report)


def test_a_note_of_several_figures_is_said_once():
    found = Findings.missing(["first_tiles_cold", "gene_switch"], "left out: there is no display")
    found.took = {"the window": 2.0, "peak memory": 30.4}
    text = table(document(found, "cpu", "fp32", {}))
    assert "first_tiles_cold, gene_switch: left out: there is no display" in text
    assert "It took 32 s: the window 2 s, peak memory 30 s." in text
