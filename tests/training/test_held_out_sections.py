import anndata as ad
import numpy as np
import pytest

from napari_nh2st.errors import Nh2stError, SampleError
from napari_nh2st.expression import read_sheet
from napari_nh2st.model.folder import load_card
from napari_nh2st.training.config import read_config
from napari_nh2st.training.finetune import finetune
from napari_nh2st.training.run.held_out_prediction import read_held_out
from napari_nh2st.training.sections.held_out_sections import HeldOutSections, split_samples
from support.runs import events, settings
from support.sections import GENES, PITCH, sheet

pytestmark = pytest.mark.usefixtures("short_epochs")


def quick(**more):
    return settings(**{"views": 0, "pretrain_steps": 2, **more})


def test_patients_take_all_their_sections_with_them(three_samples):
    read = read_sheet(three_samples)
    train, held_out = split_samples(read, quick(hold_out_patients=["P2"]))
    assert [s.sample for s in train] == ["S1"]
    assert [s.sample for s in held_out] == ["S2", "S3"]
    train, held_out = split_samples(read, quick(hold_out_sections=["S2"]))
    assert [s.sample for s in train] == ["S1", "S3"]
    assert split_samples(read, quick()) == (read, [])


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"hold_out_sections": ["S9"]}, "no sample S9"),
        ({"hold_out_patients": ["P9"]}, "no patient P9"),
        ({"hold_out_patients": ["P1", "P2"]}, "leave at least one"),
    ],
)
def test_what_cannot_be_held_out_says_so(three_samples, names, says):
    with pytest.raises(SampleError, match=says):
        split_samples(read_sheet(three_samples), quick(**names))


def test_one_way_to_hold_out(tmp_path):
    (tmp_path / "c.yaml").write_text("hold_out_sections: [S1]\nhold_out_patients: [P1]\n")
    with pytest.raises(Nh2stError, match=r"c\.yaml: hold out either"):
        read_config(tmp_path / "c.yaml")


@pytest.mark.parametrize("train", ["head", "everything"])
def test_a_held_out_section_is_scored_and_chooses_nothing(three_samples, tmp_path, train):
    """Its counts are changed after a run: the run that sees the changed ones ends with the same weights."""
    once = {"epochs": 1, "refit": False, "windows_per_step": 1, "window": 256} if train == "everything" else {}
    config = quick(hold_out_sections=["S3"], train=train, kernel_share=None, **once)
    first = finetune(three_samples, tmp_path / "a", config=config, progress=False)
    scored = [row for row in events(tmp_path / "a") if "test_pcc" in row]
    assert len(scored) == config.epochs
    assert all({"val_pcc", "test_loss"} <= row.keys() for row in scored)
    card = load_card(first)
    assert [t.sample for t in card.training] == ["S1", "S2"]
    assert card.evaluation is None  # the blocks have chosen the epoch; the section's figures come from `summarise`

    shown = read_held_out(tmp_path / "a")
    assert (shown.what, shown.genes, len(shown.sections)) == ("sections", card.genes, 1)
    data = ad.read_h5ad(three_samples.parent / "S3.h5ad")
    np.testing.assert_allclose(shown.sections[0].xy, data.obsm["spatial"], atol=1)
    assert len(shown.sections[0].around) == 0
    assert shown.sections[0].spacing == pytest.approx(PITCH, rel=0.15)  # the model's pitch, in whole cells

    other = sheet(tmp_path, *((f"S{i}", f"P{min(i, 2)}", i, 1000) for i in (1, 2, 3)))
    data.X = np.random.default_rng(0).permutation(data.X, axis=0)
    data.write_h5ad(tmp_path / "S3.h5ad")
    second = finetune(other, tmp_path / "b", config=config, progress=False)
    again = [row["test_pcc"] for row in events(tmp_path / "b") if "test_pcc" in row]
    assert again != [row["test_pcc"] for row in scored]
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def test_blocks_are_shown_among_the_spots_that_are_trained_on(straight):
    shown = read_held_out(straight)
    assert shown.what == "blocks"
    assert [s.name for s in shown.sections] == ["S1", "S2"]
    for section in shown.sections:
        assert len(section.xy) == len(section.measured) == len(section.predicted) == 4
        assert len(section.around) == 25 - 2 * 4  # nor is the inner block trained on
        assert len(np.unique(np.concatenate([section.around, section.xy]), axis=0)) == 25 - 4
    stages = [row["stage"] for row in events(straight) if "stage" in row]
    assert list(dict.fromkeys(stages)) == [
        "choosing the learnt head's share", "pretraining the encoder", "looking at the tissue", "training",
        "working out intervals", "training on the held-out blocks too", "scoring beside simpler models",
    ]  # fmt: skip


def test_genes_that_were_not_measured_there_are_left_out(tmp_path):
    other = sheet(tmp_path, ("S1", "P1", 1, 1000), ("S3", "P2", 3, 1000))
    data = ad.read_h5ad(tmp_path / "S3.h5ad")
    data[:, GENES[1:]].copy().write_h5ad(tmp_path / "S3.h5ad")
    finetune(other, tmp_path / "r", config=quick(epochs=1, hold_out_patients=["P2"]), progress=False)
    assert sorted(read_held_out(tmp_path / "r").genes) == sorted(GENES[1:])
    data.var_names = [f"ENSG{i}" for i in range(4)]
    data.write_h5ad(tmp_path / "S3.h5ad")
    card = load_card(tmp_path / "r" / "model")
    with pytest.raises(SampleError, match="held-out S3"):
        HeldOutSections.read([s for s in read_sheet(other) if s.sample == "S3"], card)
