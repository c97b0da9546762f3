"""`nh2st adapt`: measured spots correct a prediction; the places to measure next are files."""

import json

import numpy as np
import pandas as pd
import pytest

from napari_nh2st.annotations import read_annotations
from napari_nh2st.engine.store import open_prediction
from support.models import small_model
from support.sections import GENES, section


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapted")
    section(folder, "S1", "P1", 1)
    small_model(folder, genes=GENES, n_genes=4)
    return folder


@pytest.fixture
def predicted(nh2st, folder):
    if not (folder / "out").exists():
        nh2st(
            "predict",
            folder / "S1.tif",
            "--model",
            folder / "small-context",
            "--out",
            folder / "out",
            "--format",
            "none",
        )
    return folder / "out" / "S1.nh2st"


def test_spots_correct_a_prediction(nh2st, folder, predicted, tmp_path):
    words = (predicted, "--anchors", folder / "S1.h5ad", "--count", 12, "--out", tmp_path)
    status, out, err = nh2st("adapt", *words)
    assert (status, out.strip()) == (0, str(tmp_path / "S1-corrected.nh2st")), err
    assert "12 spots, left out one at a time: mean squared error" in err
    corrected, before = (open_prediction(p) for p in (tmp_path / "S1-corrected.nh2st", predicted))
    assert corrected.provenance["anchors"]["count"] == 12
    assert np.abs(corrected.matrix() - before.matrix()).max() > 0.5
    assert nh2st("export", tmp_path / "S1-corrected.nh2st", "--out", tmp_path / "a.csv")[0] == 0
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["DARK"].to_numpy() == pytest.approx(corrected.gene("DARK"), abs=1e-3)
    status, _, err = nh2st("adapt", *words)
    assert (status, "is there already: choose another --out" in err) == (1, True)


def test_a_slide_is_predicted_first_and_json_says_all(nh2st, folder, tmp_path):
    words = (folder / "S1.tif", "--anchors", folder / "S1.h5ad", "--spots", "S1-3,S1-20,S1-40", "--out", tmp_path)
    status, _, err = nh2st("adapt", *words)
    assert (status, "a slide has to be predicted first: give a model" in err) == (2, True)
    status, out, err = nh2st("adapt", *words, "--model", folder / "small-context", "--next", 4, "--json")
    assert status == 0, err
    said = json.loads(out)
    assert said["anchors"]["spots"] == ["S1-3", "S1-20", "S1-40"]
    assert said["anchors"]["agreement"]["pcc_before"] is None
    assert open_prediction(said["prediction"]).provenance["anchors"]["spots"] == said["anchors"]["spots"]
    table = pd.read_csv(said["next"]["csv"])
    assert list(table.columns) == ["place", "x_px", "y_px", "x_um", "y_um", "spread"]
    assert table.to_dict("records") == said["next"]["places"]
    drawn = read_annotations(said["next"]["geojson"]).annotations
    assert [a.name for a in drawn] == [f"next {n}" for n in range(1, 5)]
    assert drawn[0].polygons[0][0].mean(axis=0) == pytest.approx(
        table.loc[0, ["x_px", "y_px"]].to_numpy(float), abs=0.1
    )


def test_what_cannot_be_done_is_said(nh2st, folder, predicted, tmp_path):
    for words, says, wanted in (
        ((), "give measured spots (--anchors F), or ask where to measure (--next N)", 2),
        (("--count", 3, "--next", 2), "goes with --anchors", 2),
        (("--anchors", folder / "S1.h5ad", "--spots", "a", "--count", 2), "give names or a number, not both", 2),
        (("--anchors", folder / "S1.h5ad", "--spots", "S1-3,nope"), "S1 has no spot nope", 1),
        (("--anchors", folder / "S1.h5ad", "--count", 2), "3 or more are needed", 1),
        (("--anchors", folder / "missing.h5ad"), "there is no", 1),
        (("--next", 99999), "99999 places were asked for", 1),
    ):
        status, _, err = nh2st("adapt", predicted, *words, "--out", tmp_path)
        assert (status, says in err) == (wanted, True), err
    assert not list(tmp_path.iterdir())
