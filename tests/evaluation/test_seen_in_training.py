"""A training section is one whatever it is called: in the report, on the card, in a protocol."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nh2st.engine.descriptor_file import DESCRIPTORS, put_descriptors
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.section_descriptor import describe_section
from napari_nh2st.errors import SampleError
from napari_nh2st.evaluation.compare import compare
from napari_nh2st.evaluation.protocol import evaluate, with_figures
from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.model.card import TrainingSample
from napari_nh2st.model.folder import load_card
from napari_nh2st.slides import open_slide
from support.models import small_model
from support.sections import detailed_sheet

OPTIONS = PredictionOptions(device="cpu", precision="fp32", cache=False)
PANEL = [f"G{i}" for i in range(4)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A is trained on; B is another section; two more lines show A, as a JPEG and with half of the spots."""
    made = tmp_path_factory.mktemp("sheet")
    detailed_sheet(made, ("A", "P", 1), ("B", "Q", 2))
    Image.fromarray(tifffile.imread(made / "A.tif")).save(made / "again.jpg", quality=80)
    return made


@pytest.fixture(scope="module")
def samples(folder):
    a, b = read_sheet(folder / "samples.csv")
    again = replace(a, sample="S", patient="Z9", slide=folder / "again.jpg", mpp=1.0)
    return {
        "A": a,
        "B": b,
        "S": again,
        "file": replace(a, sample="S", patient="Z9"),
        "B of Z9": replace(b, patient="Z9"),
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory, samples):
    a = samples["A"]
    with open_slide(a.slide) as slide:
        descriptor = describe_section(slide, read_expression(a))
    entry = TrainingSample(sample="A", patient="P", spots=9, fingerprint=descriptor.fingerprint)
    made = small_model(tmp_path_factory.mktemp("model"), genes=PANEL, gene_means=[5.0] * 4, training=[entry])
    put_descriptors({("A", descriptor.fingerprint): descriptor}, made.path)
    return made


@pytest.mark.parametrize("name", ["file", "S", "A"])
def test_a_training_section_is_one_under_any_name(samples, model, name):
    report = evaluate([samples[name]], model, options=OPTIONS)
    (split,) = report["splits"]
    assert (split["kind"], split["training_section"]) == ("same-patient", "A")
    assert sum("among the training sections" in text for text in report["warnings"]) == 1
    with pytest.raises(SampleError, match=r"is A\).*the card stays as it was"):
        with_figures(model.card, report)


def test_only_sections_that_are_new_go_on_a_card(samples, model):
    report = evaluate([samples["S"], samples["B"]], model, options=OPTIONS)
    assert [s["kind"] for s in report["splits"]] == ["same-patient", "cross-patient"]
    evaluation = with_figures(model.card, report).evaluation
    assert (evaluation.samples, evaluation.kind) == (["B"], "cross-patient")
    assert evaluation.pcc_mean == pytest.approx(report["splits"][1]["models"]["nh2st-context"]["pcc_mean"], abs=1e-4)


def test_a_patient_with_a_training_section_is_a_training_patient(samples, model):
    report = evaluate([samples["S"], samples["B of Z9"]], model, options=OPTIONS)
    assert [s["kind"] for s in report["splits"]] == ["same-patient", "same-patient"]
    assert any("Z9 counts as a training patient" in text for text in report["warnings"])


def test_one_section_under_two_names_counts_once(samples, model):
    b = samples["B"]
    report = evaluate([b, replace(b, sample="B2", patient="R")], model, options=OPTIONS)
    assert any("B (patient Q) and B2 (patient R) are one section" in text for text in report["warnings"])
    assert with_figures(model.card, report).evaluation.samples == ["B"]
    assert [s["kind"] for s in report["splits"]] == ["cross-patient", "cross-patient"]


def test_a_patient_written_otherwise_is_the_same_and_is_said(samples, model):
    report = evaluate([replace(samples["B"], patient="p ")], model, options=OPTIONS)
    assert report["splits"][0]["kind"] == "same-patient"
    assert any(text.startswith("patients P and p  are taken for one person") for text in report["warnings"])


def test_a_card_without_descriptors_says_what_it_cannot_know(samples, model, tmp_path):
    old = small_model(tmp_path, genes=PANEL, gene_means=[5.0] * 4, training=model.card.training)
    report = evaluate([samples["file"]], old, options=OPTIONS)
    assert report["splits"][0]["training_section"] == "A"
    assert not any("descriptors" in text for text in report["warnings"])
    report = evaluate([samples["B"]], old, options=OPTIONS)
    assert report["splits"][0]["kind"] == "cross-patient"
    assert any("keeps no descriptors" in text for text in report["warnings"])
    unknown = small_model(tmp_path / "u", genes=PANEL, gene_means=[5.0] * 4, training=[])
    report = evaluate([samples["B"]], unknown, options=OPTIONS)
    assert any("does not say what it was trained on" in text for text in report["warnings"])


@pytest.mark.parametrize("protocol", ["A,B:S", "cross-patient", "leave-section-out"])
def test_a_protocol_never_trains_on_what_it_scores(samples, protocol):
    with pytest.raises(SampleError) as error:
        compare([samples["A"], samples["B"], samples["S"]], protocol)
    assert all(name in str(error.value) for name in ("A (patient P)", "S (patient Z9)", "are one section"))


def test_patients_written_in_two_ways_are_one_in_a_protocol(samples):
    from napari_nh2st.evaluation.splits import parse_protocol

    sheet = [samples["A"], replace(samples["B"], patient=" p")]
    with pytest.raises(SampleError, match="at least two patients"):
        parse_protocol("cross-patient", sheet)
    (split,) = parse_protocol("A:B", sheet)
    assert split.kind == "same-patient"


def test_the_command_warns_and_spares_the_card(samples, model, folder, nh2st, tmp_path):
    """A training section under another name and patient: warned about, and the card is left as it is."""
    (folder / "renamed.csv").write_text(
        "sample,patient,slide,expression,format,mpp\nS,Z9,again.jpg,A.h5ad,h5ad,1\n", "utf-8"
    )
    own = small_model(tmp_path, genes=PANEL, gene_means=[5.0] * 4, training=model.card.training)
    (own.path / DESCRIPTORS).write_bytes((model.path / DESCRIPTORS).read_bytes())
    before = load_card(own.path)
    status, _, err = nh2st("evaluate", folder / "renamed.csv", "--model", own.path, "--update-card")
    assert status == 1
    assert "warning: S (patient Z9) is A (patient P), which was among the training sections" in err
    assert load_card(own.path) == before
    status, out, err = nh2st("evaluate", folder / "renamed.csv", "--model", own.path, "--json")
    assert (status, json.loads(out)["splits"][0]["kind"]) == (0, "same-patient")
    assert np.isfinite(json.loads(out)["splits"][0]["models"]["nh2st-context"]["pcc_mean"])
