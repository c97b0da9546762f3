"""No section is trained on and held out at once, whatever it is called."""

from dataclasses import replace

import pytest

from napari_nh2st.engine.descriptor_file import put_descriptors, read_descriptors
from napari_nh2st.engine.section_descriptor import describe_section
from napari_nh2st.errors import SampleError
from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.model.card import TrainingSample
from napari_nh2st.model.folder import load_card
from napari_nh2st.slides import open_slide
from napari_nh2st.training.finetune import finetune
from napari_nh2st.training.sections.held_apart import NamedSection, not_apart
from napari_nh2st.training.sections.held_out_sections import split_samples
from support.models import small_model
from support.runs import settings
from support.sections import detailed_sheet


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    return read_sheet(detailed_sheet(tmp_path_factory.mktemp("sheet"), ("A", "P01", 1), ("B", "Q", 2)))


def described(sample):
    with open_slide(sample.slide, mpp=sample.mpp) as slide:
        return describe_section(slide, read_expression(sample))


@pytest.mark.parametrize(
    ("hold_out", "says"),
    [
        ({"hold_out_sections": ["S"]}, "one would be trained on and the other held out"),
        ({"hold_out_patients": ["P01"]}, "one would be trained on and the other held out"),
        ({}, "what is held out of one would be trained on in the other"),
    ],
)
def test_a_section_under_two_names_is_never_on_both_sides(sections, tmp_path, hold_out, says):
    a, b = sections
    with pytest.raises(SampleError, match=says) as error:
        finetune(
            [a, b, replace(a, sample="S", patient="Z9")], tmp_path / "r", config=settings(**hold_out), progress=False
        )
    assert all(line in str(error.value) for line in ("A (patient P01)", "S (patient Z9)", "they lie on one slide"))
    assert not (tmp_path / "r").exists()


def test_both_on_one_side_is_no_leak(sections):
    a, b = (NamedSection.of_sample(s, described(s)) for s in sections)
    twin = replace(a, name="S", patient="Z9")
    assert not_apart([a, twin], [b]) == ""
    assert not_apart([b], [a, twin]) == ""
    assert not_apart([a, b], []) == ""
    assert "leave one of the two out of the sheet" in not_apart([a, b, twin], [])


def test_a_patient_is_held_out_however_the_name_is_written(sections):
    a, b = sections
    samples = [a, b, replace(b, sample="C", patient="p1 ")]
    train, held_out = split_samples(samples, settings(hold_out_patients=["P 1"]))
    assert [s.sample for s in train] == ["B"]
    assert [s.sample for s in held_out] == ["A", "C"]


@pytest.fixture(scope="module")
def base(sections, tmp_path_factory):
    """A model that has learnt from A, under another name."""
    found = described(sections[0])
    entry = TrainingSample(sample="OLD", patient="X", spots=9, fingerprint=found.fingerprint)
    genes = ["G1", "G2", "G3", "G4"]
    made = small_model(tmp_path_factory.mktemp("base"), genes=genes, gene_means=[1.0] * 4, training=[entry])
    put_descriptors({("OLD", found.fingerprint): found}, made.path)
    return made


def test_what_the_base_has_learnt_from_is_not_held_out(sections, base, tmp_path):
    with pytest.raises(SampleError, match=r"A \(patient P01\) is OLD, and was among the training sections of"):
        finetune(
            sections, tmp_path / "r", base=base.path, config=settings(hold_out_sections=["A"]), progress=False
        )  # fmt: skip


def test_a_run_keeps_what_its_sections_are_known_by(sections, base, tmp_path, short_epochs):
    """Its own and those of its base; blocks of what the base has seen do not count on the card."""
    config = settings(epochs=1, refit=False, panel=4, mpp=None)
    folder = finetune(sections, tmp_path / "r", base=base.path, config=config, progress=False)
    card = load_card(folder)
    assert [t.sample for t in card.seen] == ["A", "B", "OLD"]
    assert [name for name, _ in read_descriptors(folder)] == ["OLD", "A", "B"]
    assert card.evaluation.samples == ["B (block)"]
