"""`Prediction.adapt` and `Prediction.where_next`: spots of a file correct what was predicted on their slide."""

import shutil
from dataclasses import replace

import anndata as ad
import numpy as np
import pytest

from napari_nh2st import Nh2stError, Nh2stWarning, open_prediction, predict
from napari_nh2st.api import anchors as module
from napari_nh2st.engine.options import PredictionOptions
from support.models import small_model
from support.sections import GENES, section

CPU = PredictionOptions(device="cpu", precision="fp32", cache=False)
pytestmark = pytest.mark.filterwarnings("ignore::napari_nh2st.Nh2stWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("anchored")
    for name, seed in (("S1", 1), ("S2", 2)):
        section(folder, name, "P1", seed)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return small_model(folder, genes=[*GENES, "OTHER"], n_genes=5, name="small")


@pytest.fixture(scope="module")
def made(folder, model):
    return predict(folder / "S1.tif", model, out=folder / "out", options=CPU)


def error(prediction, folder, spots):
    data = ad.read_h5ad(folder / "S1.h5ad")[spots]
    counts = np.asarray(data.X, dtype=float)
    truth = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    predicted = prediction.at(data.obsm["spatial"], GENES)
    return float(np.nanmean((truth - predicted) ** 2)), float(np.nanmean(np.isfinite(predicted)))


def test_spots_of_a_file_correct_the_rest_of_their_slide(folder, model, made, tmp_path):
    corrected = made.adapt(folder / "S1.h5ad", count=15)
    facts = corrected.provenance["anchors"]
    assert (facts["source"], facts["count"], facts["genes"]) == ("S1", 15, 4)
    rest = [name for name in ad.read_h5ad(folder / "S1.h5ad").obs_names if name not in facts["spots"]]
    (before, there), (after, also) = (error(p, folder, rest) for p in (made, corrected))
    assert there == also > 0.9
    assert after < before / 4
    assert facts["agreement"]["error_after"] < facts["agreement"]["error_before"] / 4
    assert corrected["OTHER"] == pytest.approx(made["OTHER"])
    corrected.save(tmp_path / "S1-corrected.nh2st")
    assert open_prediction(tmp_path / "S1-corrected.nh2st")["DARK"] == pytest.approx(corrected["DARK"], nan_ok=True)
    some = made.adapt(folder / "S1.h5ad", spots=facts["spots"][:5], model=model)
    assert some.provenance["anchors"]["spots"] == facts["spots"][:5]
    assert some.provenance["anchors"]["agreement"]["pcc_after"] is None  # five spots say nothing of a correlation


def test_the_spots_of_another_slide_are_refused(folder, made, tmp_path):
    with pytest.raises(Nh2stError, match=r"is named S2\.h5ad, the slide S1"):
        made.adapt(folder / "S2.h5ad")
    shutil.copy(folder / "S1.h5ad", tmp_path / "far.h5ad")
    data = ad.read_h5ad(tmp_path / "far.h5ad")
    data.obsm["spatial"] = data.obsm["spatial"] + 5000
    data.write_h5ad(tmp_path / "far.h5ad")
    with pytest.raises(Nh2stError, match="spots lie off S1"):
        made.adapt(tmp_path / "far.h5ad")
    with pytest.raises(Nh2stError, match="S1 has no spot nope"):
        made.adapt(folder / "S1.h5ad", spots=["nope"])


def test_it_says_where_the_correction_does_not_help(folder, made, monkeypatch):
    found = module.measured_spots(made, folder / "S1.h5ad")
    noise = np.random.default_rng(0).normal(size=found.anchors.values.shape)
    nothing_to_mend = (found.at.matrix(GENES) + noise).astype(np.float32)
    anchors = replace(found.anchors, values=nothing_to_mend)
    monkeypatch.setattr(module, "measured_spots", lambda *_, **__: replace(found, anchors=anchors))
    with pytest.warns(Nh2stWarning, match="predicted no better with the correction than without"):
        made.adapt("")


def test_where_to_measure_next_is_a_table(made, folder):
    table = made.where_next(6)
    assert list(table.columns) == ["x_px", "y_px", "x_um", "y_um", "spread"]
    assert (made.places.holding(table[["x_px", "y_px"]].to_numpy()) >= 0).all()
    after = made.adapt(folder / "S1.h5ad").where_next(6)
    assert (after["spread"].to_numpy() < table["spread"].to_numpy()).all()
