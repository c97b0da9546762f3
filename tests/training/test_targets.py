"""A run in each target: what it leaves is in the target's unit, and is scored in it."""

import numpy as np
import pytest

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation.protocol import evaluate, predict_spots
from napari_nh2st.evaluation.report import markdown
from napari_nh2st.expression import labels, read_expression, read_sheet, spot_counts
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.folder import load_model
from napari_nh2st.slides import open_slide
from napari_nh2st.targets import TARGETS
from napari_nh2st.training.finetune import finetune
from support.runs import WHOLE, settings, short_epochs
from support.sections import sheet

OPTIONS = PredictionOptions(device="cpu", precision="fp32", cache=False)
FEW = 4


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return sheet(tmp_path_factory.mktemp("sheet"), ("S1", "P1", 1, 1000), ("S2", "P2", 2, 1000))


@pytest.fixture(scope="module", params=TARGETS)
def run(request, samples, tmp_path_factory):
    with short_epochs(FEW):
        out = tmp_path_factory.mktemp("run") / request.param
        finetune(samples, out, config=settings(labels=request.param, epochs=1, **WHOLE), progress=False)
    return out


def test_the_card_has_the_target_and_the_means_of_its_labels(run, samples):
    card, target = load_model(run / "model").card, TARGETS[run.name]
    assert card.unit == target.unit
    assert card.recipe["labels"] == target.name
    data = [read_expression(sample) for sample in read_sheet(samples)]
    made = np.concatenate([card.labels(spot_counts(d, card.genes)) for d in data])
    assert np.allclose(card.gene_means, made.mean(axis=0), atol=1e-4)


def test_a_model_is_scored_in_its_own_unit(run, samples):
    model, sample = load_model(run / "model"), read_sheet(samples)[0]
    scored = predict_spots(sample, model, OPTIONS)
    made = model.card.labels(spot_counts(read_expression(sample), model.card.genes))
    assert np.array_equal(scored.truth, made)
    assert np.abs(scored.predicted.mean(axis=0) - made.mean(axis=0)).max() < 3 * made.std()


def test_a_report_is_in_the_models_unit_and_says_the_correlation_with_ln_labels(run, samples):
    model, sample = load_model(run / "model"), read_sheet(samples)[0]
    report, scored = evaluate([sample], model, options=OPTIONS), predict_spots(sample, model, OPTIONS)
    figures, ours = report["splits"][0]["models"]["nh2st-context"], run.name == "ln1p-cp10k"
    assert report["unit"] == TARGETS[run.name].unit
    assert figures["mse"] == pytest.approx(((scored.truth - scored.predicted) ** 2).mean(), rel=1e-3)
    assert any("pcc_ln1p" in warning for warning in report["warnings"]) != ours
    ln = labels(read_expression(sample), model.card.genes)
    expected = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(ln.T, scored.predicted.T, strict=True)])
    assert figures["pcc_mean" if ours else "pcc_ln1p"] == pytest.approx(expected, abs=1e-4)
    assert (figures["pcc_ln1p"] is None) == ours
    assert f"Labels are raw {TARGETS[run.name].unit}" in markdown(report).replace("\\", "")
    assert ("PCC on ln labels" in markdown(report)) != ours


def test_what_is_predicted_beside_the_genes_can_be_asked_for(run, samples):
    model, sample, target = load_model(run / "model"), read_sheet(samples)[0], TARGETS[run.name]
    assert {name: output.unit for name, output in model.card.outputs.items()} == {
        output.name: output.unit for output in target.outputs
    }
    data = read_expression(sample)
    with open_slide(sample.slide, mpp=sample.mpp) as slide:
        places = TileSet.at(
            data.obsm["spatial"], scale=model.card.scale_on(slide.require_mpp()), pitch=model.card.pitch
        )
        prediction, _ = predict_places(slide, model, places, OPTIONS)
    assert prediction.outputs == [output.name for output in target.outputs]
    assert not set(prediction.outputs) & set(prediction.genes)
    for output in target.outputs:
        measured = output.make(spot_counts(data, model.card.genes).depth)
        found = prediction.output(output.name)
        assert abs(found.mean() - measured.mean()) < measured.std()
        assert np.array_equal(prediction.only_genes(prediction.genes[:2]).output(output.name), found)
    with pytest.raises(Nh2stError, match="beside its genes" if not target.outputs else target.outputs[0].name):
        prediction.output("number of cells")


def test_a_run_goes_on_with_the_target_of_the_model_it_starts_from(run, samples, tmp_path):
    with short_epochs(FEW):
        finetune(samples, tmp_path / "r", base=run / "model", config=settings(epochs=1), progress=False)
    assert load_model(tmp_path / "r" / "model").card.label_recipe == run.name


def test_with_another_target_the_genes_of_the_base_are_learnt_afresh(run, samples, tmp_path):
    """Rows in another unit would be worse than none."""
    other = next(name for name in TARGETS if name != run.name)
    out = tmp_path / "r"
    with short_epochs(FEW):
        finetune(samples, out, base=run / "model", config=settings(epochs=1, labels=other), progress=False)
    model, sample = load_model(out / "model"), read_sheet(samples)[0]
    assert model.card.label_recipe == other
    scored = predict_spots(sample, model, OPTIONS)
    assert np.abs(scored.predicted.mean(axis=0) - scored.truth.mean(axis=0)).max() < 3 * scored.truth.std()
