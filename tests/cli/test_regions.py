"""`nh2st regions`: regions of another program go in, and come out with their genes."""

import json

import numpy as np
import pandas as pd

from napari_nh2st.annotations import read_annotations
from napari_nh2st.engine.store import open_prediction


def square(x, y, side, **properties):
    corners = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [corners]}, "properties": properties}


def test_regions_come_out_with_their_genes(nh2st, slide, model, tmp_path):
    nh2st("predict", slide, "--model", model.path, "--out", tmp_path, "--format", "none")
    drawn = tmp_path / "drawn.geojson"
    features = [
        square(300, 300, 500, name="core"),
        square(9000, 9000, 50, name="off"),
        square(0, 0, 9, objectType="cell"),
    ]
    drawn.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    status, out, err = nh2st("regions", tmp_path, drawn, "--out", tmp_path / "out.geojson", "--genes", "G1,G2")
    assert (status, out.strip()) == (0, str(tmp_path / "out.geojson")), err
    assert "note: drawn.geojson: 1 cell left out" in err
    core, off = json.loads((tmp_path / "out.geojson").read_text(encoding="utf-8"))["features"]
    made = open_prediction(tmp_path).only_done()
    inside = ((made.places.centres > 300) & (made.places.centres < 800)).all(axis=1)
    numbers = core["properties"]["measurements"]
    assert numbers["predicted tiles"] == inside.sum() > 3
    np.testing.assert_allclose(numbers["G1: mean"], made.gene("G1")[inside].mean(), rtol=1e-3)
    assert len(numbers) == 1 + 2 * 3
    assert off["properties"]["measurements"] == {"predicted tiles": 0.0}
    assert nh2st("regions", tmp_path, drawn, "--out", tmp_path / "out.csv")[0] == 0
    assert set(pd.read_csv(tmp_path / "out.csv")["region"]) == {"core"}
    status, _, err = nh2st("regions", tmp_path, "--domains", "--out", tmp_path / "domains.geojson", "--genes", "G1")
    assert status == 0, err
    domains = read_annotations(tmp_path / "domains.geojson").annotations
    assert [a.kind for a in domains] == [f"Domain {n}" for n in range(1, len(domains) + 1)]


def test_what_cannot_be_done_is_said(nh2st, slide, tmp_path):
    for words, says in (
        (("a.nh2st", "--out", tmp_path / "x.csv"), "give a file of regions, or --domains instead"),
        (("a.nh2st", "b.geojson", "--out", tmp_path / "x.txt"), "end the file's name in .geojson or .csv"),
    ):
        status, _, err = nh2st("regions", *words)
        assert (status, says in err) == (2, True), err
