"""Measured beside predicted: the frame of the spots, and figures that are those of `nh2st evaluate`."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from napari_nh2st.analysis import measured
from napari_nh2st.analysis.measured import Frame
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.engine.section_descriptor import SectionDescriptor
from napari_nh2st.engine.seen_sections import SeenSections
from napari_nh2st.errors import SampleError
from napari_nh2st.evaluation.protocol import evaluate
from napari_nh2st.expression import Sample, read_sheet
from napari_nh2st.expression.detect import detect
from napari_nh2st.model.card import Evaluation, GeneTrust, TrainingSample
from napari_nh2st.slides import TissueMask, open_slide
from napari_nh2st.training.sections.examine import examine
from support.models import small_model
from support.predictions import GENES as PANEL
from support.predictions import prediction
from support.sections import GENES, sheet

OPTIONS = PredictionOptions(device="cpu", precision="fp32", cache=False)
SHAPE = (3000, 4000)


def tissue():
    """Tissue from (400, 300) to (3600, 2700)."""
    mask = np.zeros((30, 40), dtype=bool)
    mask[3:27, 4:36] = True
    return TissueMask.from_array(mask, SHAPE)


def array(x0, y0, x1, y1, step=100.0):
    return np.stack(np.meshgrid(np.arange(x0, x1 + 1, step), np.arange(y0, y1 + 1, step)), axis=-1).reshape(-1, 2)


def test_spots_are_laid_by_their_image_else_over_the_tissue():
    spots = array(500, 400, 3500, 2600)
    assert measured.guess(spots, {"shape": (6000.0, 8000.0), "within": 4.0}, SHAPE, tissue()) == Frame(0.5)
    found = measured.guess(spots / 8, {}, SHAPE, tissue())
    assert np.allclose(np.ptp(found.transform.place(spots / 8), axis=0).prod(), 3200 * 2400)
    middle = (found.transform.place(spots / 8).min(axis=0) + found.transform.place(spots / 8).max(axis=0)) / 2
    assert np.allclose(middle, (2000, 1500))


def test_a_guess_is_there_for_any_spots():
    assert measured.guess(np.array([[5.0, 5.0]]), {}, SHAPE, tissue()) == Frame()
    bare = TissueMask.from_array(np.zeros((30, 40)), SHAPE)
    assert measured.guess(array(0, 0, 400, 300), {}, SHAPE, bare).scale == pytest.approx(10)
    skewed = {"shape": (3000.0, 8000.0), "within": 1.0}
    assert measured.guess(array(0, 0, 400, 300), skewed, SHAPE, bare).scale == pytest.approx(10)


def test_a_frame_scales_then_moves():
    assert Frame(2.0, 10, -5).transform.place(np.array([[3.0, 4.0]])).tolist() == [[16.0, 3.0]]


def test_a_spot_is_as_large_as_recorded_or_half_the_pitch():
    spots = array(0, 0, 500, 500)
    assert measured.spot_diameter(spots, {"spot_diameter": 55.5}) == 55.5
    assert measured.spot_diameter(spots, {}) == 50.0
    assert measured.spot_diameter(spots[:1], {}) == 1.0


def counts_at(spots, genes=PANEL):
    counts = np.random.default_rng(1).poisson(5, (len(spots), len(genes)))
    data = ad.AnnData(sp.csr_matrix(counts, dtype=np.float32))
    data.var_names, data.obsm["spatial"] = list(genes), np.asarray(spots, dtype=float)
    return data


def small(**card_changes) -> tuple[Prediction, ad.AnnData]:
    made = prediction(lattice=False, undone=2)
    made.card = made.card.model_copy(update=card_changes)
    return made, counts_at(made.places.centres, [g for g in PANEL if g != "IGKC"])


def test_a_gene_that_was_not_measured_is_named_and_has_no_values():
    made, data = small()
    found = measured.compare("C5", data, made, left_out=3)
    assert found.missing == ["IGKC"]
    assert found.values("IGKC") is None
    assert found.left_out == 5
    truth, predicted = found.values("CD74")
    assert np.allclose(predicted, made.gene("CD74")[made.done])
    assert len(truth) == 18
    table = found.table()
    assert list(table.columns) == ["PCC", "low", "high", "card", "MSE", "measured"]
    assert "IGKC" not in table.index
    assert table["PCC"].is_monotonic_decreasing
    assert table.loc["ERBB2", "card"] == 0.4
    assert np.isnan(table.loc["CD74", "card"])


def test_other_units_leave_only_correlations():
    made, data = small(label_recipe="log10-cp10k-panel-smoothed", evaluation=None)
    found = measured.compare("C5", data, made)
    assert not found.same_unit
    assert list(found.table().columns) == ["PCC", "low", "high", "measured"]


def test_no_common_gene_is_a_sentence():
    made, data = small()
    data.var_names = ["x", "y", "z"]
    with pytest.raises(SampleError, match="none of the model's genes were measured"):
        measured.compare("C5", data, made)


def test_nothing_predicted_is_a_sentence():
    made, data = small()
    made.hidden[:] = np.nan
    with pytest.raises(SampleError, match="nothing could be predicted at the spots"):
        measured.compare("C5", data, made)


def test_a_section_of_the_training_is_known_by_its_slide_or_its_name():
    made, data = small(training=[TrainingSample(sample="C5", patient="C", spots=3, fingerprint="abc")])
    made.slide["fingerprint"] = "abc"
    assert measured.compare("renamed", data, made).trained_as == "C5"
    made.slide["fingerprint"] = "other"
    assert measured.compare("renamed", data, made).trained_as == ""
    assert measured.compare("C5", data, made).trained_as == "C5"


def test_a_changed_copy_of_a_training_section_is_known_by_its_descriptor():
    made, data = small()
    made.slide["fingerprint"] = "other"
    own = SectionDescriptor("abc", marks=np.arange(50, dtype=np.uint32))
    seen = SeenSections([(TrainingSample(sample="C5", patient="C", spots=3, fingerprint="abc"), own)])
    copy = SectionDescriptor("other", marks=np.arange(20, dtype=np.uint32))
    assert measured.compare("renamed", data, made, seen=seen, descriptor=copy).trained_as == "C5"
    new = SectionDescriptor("other", marks=np.arange(100, 150, dtype=np.uint32))
    assert measured.compare("C5", data, made, seen=seen, descriptor=new).trained_as == ""


def same_table(found: measured.Comparison, report: dict) -> None:
    """Every figure of the table is that of the report, to three digits and more."""
    figures = report["splits"][0]["models"][f"nh2st-{found.card.architecture.variant}"]
    table = found.table()
    assert set(table.index) == set(figures["genes"])
    for gene, wanted in figures["genes"].items():
        got = table.loc[gene, ["PCC", "low", "high", "MSE"]].to_numpy(dtype=float)
        assert got == pytest.approx([wanted[k] for k in ("pcc", "low", "high", "mse")], abs=2e-4)
    assert found.figures["pcc_mean"] == pytest.approx(figures["pcc_mean"], abs=2e-4)
    assert found.figures["ci"]["pcc_mean"] == pytest.approx(figures["ci"]["pcc_mean"], abs=2e-4)


def compared(path, found, model, options, mpp=None):
    """As the dock does it, without one."""
    with open_slide(path, mpp=mpp) as slide:
        data = measured.read_measurement(found, slide.path)
        findings = examine(Sample(found.name, "", path, found.expression, found.format), data, slide)
        assert findings.findings == ()
        data = findings.admit(found.name, data)
        made, _ = predict_places(
            slide, model, measured.spots_of(data, model.card, slide.require_mpp()), options.for_scoring()
        )
    return measured.compare(found.name, data, made)


def test_the_table_is_that_of_evaluate(tmp_path):
    trust = Evaluation(kind="same-patient", samples=["X"], pcc_mean=0.1, genes={"DARK": GeneTrust(pcc=0.1)})
    model = small_model(tmp_path, genes=GENES, gene_means=[5.0] * 4, evaluation=trust)
    report = evaluate(sheet(tmp_path, ("S1", "P1", 1)), model, options=OPTIONS)
    found = compared(tmp_path / "S1.tif", detect([tmp_path / "S1.h5ad"]), model, OPTIONS)
    assert len(found.scored.truth) == report["splits"][0]["n_spots"]
    same_table(found, report)


@pytest.mark.long
def test_the_table_of_a_real_section_is_that_of_evaluate(data_dir):
    from napari_nh2st.model.folder import load_model

    model = load_model("her2st")
    sample = next(s for s in read_sheet(data_dir / "her2st" / "samples.csv") if s.sample == "C5")
    report = evaluate([sample], model, options=replace(OPTIONS, precision="auto"))
    found = compared(sample.slide, detect([sample.expression]), model, replace(OPTIONS, precision="auto"), sample.mpp)
    assert found.trained_as == "C5"
    assert not found.missing
    same_table(found, report)
