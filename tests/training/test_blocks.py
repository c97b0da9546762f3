"""Two blocks of each section that a run does not learn from: one chooses, the other is scored."""

import json
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from napari_nh2st.evaluation.after_training import summarise
from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.encoder_file import encoder_hash
from napari_nh2st.model.folder import load_card
from napari_nh2st.training.finetune import finetune
from napari_nh2st.training.pretraining import on_sections
from napari_nh2st.training.pretraining.crops import CropPairs
from napari_nh2st.training.pretraining.on_sections import pretrain_on_sections
from napari_nh2st.training.run.held_out_prediction import read_held_out
from napari_nh2st.training.run.summary import read_summary
from napari_nh2st.training.sections.array_pitch import spacing_of
from napari_nh2st.training.sections.blocks import APART, hold_out_blocks, lay_blocks
from napari_nh2st.training.sections.section import load_section
from support.models import small_card
from support.runs import events, same_weights, scores, settings
from support.sections import GENES, sheet

pytestmark = pytest.mark.usefixtures("short_epochs")

PART = 0.15


def array(side: int, hexagonal: bool = False) -> np.ndarray:
    row, column = np.divmod(np.arange(side * side), side)
    return np.stack([column + hexagonal * (row % 2) / 2, row * (0.75**0.5 if hexagonal else 1)], axis=1) * 100.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spots", [array(5), array(14), array(40, hexagonal=True)], ids=["25", "196", "1600"])
def test_blocks_are_compact_of_a_size_and_apart(spots, seed):
    (block,) = lay_blocks([spots], PART, seed)
    count = round(PART * len(spots))
    assert block.inner.sum() == block.scored.sum() == count
    between = np.linalg.norm(spots[block.inner][:, None] - spots[block.scored], axis=-1)
    assert between.min() > APART * spacing_of(spots)
    for part in (block.inner, block.scored):
        reach = np.linalg.norm(spots[part] - spots[part].mean(axis=0), axis=1).max()
        assert reach < 3 * (count * 100**2 / np.pi) ** 0.5
    alone = lay_blocks([spots], PART, seed, scored=False)[0]
    np.testing.assert_array_equal(alone.inner, block.inner)
    assert not alone.scored.any()


def test_a_section_too_small_for_two_blocks_has_one():
    for spots in (array(3), array(4), np.arange(10.0)[:, None] * [100, 0]):
        (block,) = lay_blocks([spots], PART, 0)
        assert block.inner.sum() >= 2
        assert not block.scored.any()


def encoder_of(run: Path, which: str = "") -> Path:
    return run / "checkpoints" / f"encoder{which}.safetensors"


def shuffled(samples: Path, folder: Path, which: str) -> Path:
    """Make the sheet's sections again, with other counts in the blocks that choose or in those that are scored."""
    folder.mkdir()
    other = sheet(folder, ("S1", "P1", 1, 1000), ("S2", "P2", 2, 1000))
    read = [ad.read_h5ad(samples.parent / f"{name}.h5ad") for name in ("S1", "S2")]
    blocks = lay_blocks([data.obsm["spatial"] for data in read], settings().inner_validation, seed=1)
    for name, data, block in zip(("S1", "S2"), read, blocks, strict=True):
        changed = np.asarray(data.X)
        spots = np.flatnonzero(getattr(block, which))
        # NOISE is counted most there: a panel of the genes with the highest mean would take it for REST.
        changed[spots] = np.random.default_rng(3).permutation(changed[spots], axis=0)
        changed[spots, GENES.index("NOISE")] += 40_000
        data.X = changed
        data.write_h5ad(folder / f"{name}.h5ad")
    return other


@pytest.mark.parametrize("target", ["ln1p-cp10k", "pearson-residuals"])
def test_scored_blocks_choose_nothing(samples, tmp_path, target):
    """Other counts there change their own figures; panel, encoder, epoch and the first training's weights stay."""
    config = settings(pretrain_steps=2, views=0, epochs=3, panel=2, refit=False, labels=target, kernel_share=None)
    same = finetune(samples, tmp_path / "a", config=config, seed=1, progress=False)
    changed = finetune(shuffled(samples, tmp_path / "sheet", "scored"), tmp_path / "b", config=config, seed=1,
                       progress=False)  # fmt: skip
    one, two = load_card(same), load_card(changed)
    assert (one.genes, one.label_facts) == (two.genes, two.label_facts)
    assert "NOISE" not in two.genes
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert encoder_hash(encoder_of(tmp_path / "a")) == encoder_hash(encoder_of(tmp_path / "b"))
    assert scores(tmp_path / "a") == scores(tmp_path / "b")
    assert one.evaluation.samples == two.evaluation.samples == ["S1 (block)", "S2 (block)"]
    assert one.evaluation.pcc_mean != two.evaluation.pcc_mean


def test_the_panel_may_not_see_what_is_scored_even_where_all_else_would_change_it(samples, tmp_path):
    """Where the inner blocks have the other counts, the panel does change: the test above is no accident."""
    config = settings(views=0, epochs=1, panel=2, refit=False)
    changed = finetune(shuffled(samples, tmp_path / "sheet", "inner"), tmp_path / "b", config=config, seed=1,
                       progress=False)  # fmt: skip
    assert "NOISE" in load_card(changed).genes


def test_the_figures_are_those_of_scored_spots(straight):
    """The card, the picture and the epochs' figures: of spots that neither taught nor chose."""
    shown, card = read_held_out(straight), load_card(straight / "model")
    at = shown.genes.index("DARK")  # it varies: half precision tells its values apart
    pcc = np.mean([np.corrcoef(s.measured[:, at], s.predicted[:, at])[0, 1] for s in shown.sections])
    assert pcc == pytest.approx(card.evaluation.genes["DARK"].pcc, abs=5e-3)
    figures = {row["epoch"]: row["test_pcc"] for row in events(straight) if "test_pcc" in row}
    chosen = scores(straight)
    assert figures.keys() == chosen.keys()
    assert figures[max(chosen, key=chosen.get)] == pytest.approx(card.evaluation.pcc_mean, abs=1e-3)


@pytest.fixture(scope="module")
def section(tmp_path_factory):
    sample = read_sheet(sheet(tmp_path_factory.mktemp("one"), ("S1", "P1", 1, 1600)))[0]
    return load_section(sample, read_expression(sample), small_card(genes=GENES, gene_means=[0.0] * 4))


def test_pretraining_shows_no_tissue_of_scored_spots(section, monkeypatch):
    """Their patches are painted: no crop that is drawn has a spot of paint, and many have where nothing is scored."""
    arch, drawn = Architecture(width=4), []

    def look(images, places, settings, *, wander, **_):
        drawn.extend(batch.numpy().any(axis=(1, 2, 3)) for batch in CropPairs(images, places, settings, wander))

    monkeypatch.setattr(on_sections, "pretrain_on", look)
    hold_out_blocks([section], PART, 0)
    paint = np.zeros_like(section.pixels)
    for x, y in np.round(section.centres[section.scored, SELF] - arch.patch / 2).astype(int):
        paint[y : y + arch.patch, x : x + arch.patch] = 255
    painted = replace(section, pixels=paint)
    pretrain_on_sections([painted], arch, settings(pretrain_steps=40), 0)
    assert len(drawn) == 40
    assert not np.any(drawn)
    drawn.clear()
    pretrain_on_sections([replace(painted, held_out=painted.inner)], arch, settings(pretrain_steps=40), 0)
    assert np.mean(drawn) > 0.1


def test_the_second_training_sees_all_tissue_and_keeps_the_panel(straight):
    assert encoder_hash(encoder_of(straight)) != encoder_hash(encoder_of(straight, "-again"))
    assert (straight / "checkpoints" / "embedded-again.safetensors").is_file()
    assert [t.spots for t in load_card(straight / "model").training] == [25, 25]


def test_sections_too_small_to_be_scored_are_trained_on_and_named(tmp_path):
    small = sheet(tmp_path, ("S1", "P1", 1, 848), ("S2", "P2", 2, 1000))
    assert ad.read_h5ad(tmp_path / "S1.h5ad").n_obs == 16
    model = finetune(small, tmp_path / "r", config=settings(views=0, epochs=1), progress=False, finish=summarise)
    card = load_card(model)
    assert card.evaluation.samples == ["S2 (block)"]
    assert [t.sample for t in card.training] == ["S1", "S2"]
    notes = [row["note"] for row in events(tmp_path / "r") if "note" in row]
    assert "S1: too few spots for a second block, so none is scored there" in notes
    assert read_summary(tmp_path / "r").held_out == ["S2 (block)"]

    lines = (tmp_path / "samples.csv").read_text().splitlines()
    (tmp_path / "samples.csv").write_text("\n".join(lines[:2]) + "\n")
    model = finetune(small, tmp_path / "q", config=settings(views=0, epochs=1), progress=False, finish=summarise)
    assert load_card(model).evaluation is None
    assert read_summary(tmp_path / "q") is None
    assert read_held_out(tmp_path / "q") is None
    notes = [row["note"] for row in events(tmp_path / "q") if "note" in row]
    assert any(note.endswith("none is scored there: the run reports no figure") for note in notes)
    assert json.loads((tmp_path / "q" / "metrics.jsonl").read_text().splitlines()[-1])["event"] == "done"
