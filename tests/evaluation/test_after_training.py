import json

import numpy as np
import pytest

from napari_nh2st.evaluation.after_training import summarise
from napari_nh2st.evaluation.protocol import evaluate
from napari_nh2st.expression import read_sheet
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.folder import load_card
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.finetune import finetune
from napari_nh2st.training.run.held_out_prediction import read_held_out
from napari_nh2st.training.run.summary import read_summary
from support.runs import short_epochs
from support.sections import sheet

NAMES = ["coordinates alone", "colour ridge", "this model"]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheet")
    return sheet(folder, ("S1", "P1", 1, 1200), ("S2", "P2", 2, 1200), ("S3", "P2", 3, 1200))


def run(samples, out, **more):
    arch = Architecture(width=4, dim=16, hidden=8, heads=4, dropout=0.1)
    values = {"epochs": 1, "device": "cpu", "precision": "fp32", "panel": 4, "mpp": 2.0, "landmarks": 32}
    config = TrainingConfig(architecture=arch, pretrain_steps=2, **{**values, **more})
    with short_epochs():
        return finetune(samples, out, config=config, progress=False, finish=summarise)


@pytest.mark.parametrize(
    ("hold_out", "names", "kind"),
    [
        ({"hold_out_sections": ["S3"]}, ["S3"], "same-patient"),
        ({"hold_out_patients": ["P2"], "precision": "bf16"}, ["S2", "S3"], "cross-patient"),
    ],
)
def test_held_out_sections_have_the_figures_of_evaluate(samples, tmp_path, hold_out, names, kind):
    model = run(samples, tmp_path / "r", **hold_out)
    found, card = read_summary(tmp_path / "r"), load_card(model)
    splits = evaluate([s for s in read_sheet(samples) if s.sample in names], model)["splits"]
    figures = [s["models"]["nh2st-context"] for s in splits]
    expected = np.average([f["pcc_mean"] for f in figures], weights=[s["n_spots"] for s in splits])
    assert [line.name for line in found.lines] == NAMES
    assert found.lines[-1].pcc == pytest.approx(expected, abs=1e-4)
    assert (found.held_out, found.kind, found.genes) == (names, kind, 4)
    assert found.spots == sum(s["n_spots"] for s in splits)
    assert (card.evaluation.samples, card.evaluation.kind) == (names, kind)
    assert card.evaluation.pcc_mean == pytest.approx(expected, abs=1e-4)
    assert any("optimistic" in text for text in found.caveats) == (kind == "same-patient")
    shown = read_held_out(tmp_path / "r")
    at = shown.genes.index("DARK")
    dark = [np.corrcoef(section.measured[:, at], section.predicted[:, at])[0, 1] for section in shown.sections]
    assert shown.epoch is None
    assert dark == pytest.approx([f["genes"]["DARK"]["pcc"] for f in figures], abs=2e-3)


def test_blocks_have_the_figures_of_the_card(samples, tmp_path):
    model = run(samples, tmp_path / "r", precision="bf16")
    found, card = read_summary(tmp_path / "r"), load_card(model)
    assert found.held_out == card.evaluation.samples == ["S1 (block)", "S2 (block)", "S3 (block)"]
    assert [line.name for line in found.lines] == NAMES
    assert found.lines[-1].pcc == pytest.approx(card.evaluation.pcc_mean, abs=1e-4)
    assert found.spots == 3 * 5
    assert all(line.low <= line.pcc <= line.high for line in found.lines)
    assert found.caveats[0].startswith("Blocks of its own training sections")
    # The one epoch, trained in bf16, was scored as the card scores it: the network's float32 sums round to 1e-6.
    told = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [t["test_pcc"] for t in told if "test_pcc" in t] == pytest.approx([card.evaluation.pcc_mean], abs=1e-4)
    assert card.recipe["precision"] == "bf16"
    assert json.loads((tmp_path / "r" / "environment.json").read_text("utf-8"))["precision"] == "bf16"


def test_a_part_of_a_section_knows_nothing_of_the_rest(samples):
    from napari_nh2st.expression import read_expression
    from napari_nh2st.training.sections.new_card import card_for
    from napari_nh2st.training.sections.section import load_section, part_of

    some = read_sheet(samples)[:1]
    data = [read_expression(s) for s in some]
    card = card_for(some, data, TrainingConfig(panel=4, mpp=2.0))
    section = load_section(some[0], data[0], card)
    spots = np.array([0, 1, 2, 8])
    part = part_of(section, spots)
    assert list(part.ids) == [section.ids[i] for i in spots]
    np.testing.assert_array_equal(part.labels, section.labels[spots])
    whole = section.measured.known(spots, np.zeros(len(section.labels), dtype=bool))
    known = part.measured.known(np.arange(4), np.zeros(4, dtype=bool))
    assert known[:, 4].all()
    assert known.sum() < whole.sum()
    theirs = section.measured.labels(spots, section.labels)
    np.testing.assert_array_equal(part.measured.labels(np.arange(4), part.labels)[known], theirs[known])
    np.testing.assert_array_equal(part.labels, theirs[:, 4])
    others = ~np.isin(np.arange(len(section.labels)), spots)
    np.testing.assert_array_equal(known, section.measured.known(spots, others))
