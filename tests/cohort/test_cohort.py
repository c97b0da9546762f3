"""`nh2st predict --workers`: what it does with several slides, a huge one and a broken one, and what it leaves."""

import base64
import json

import anndata
import numpy as np
import pandas as pd
import pytest

from napari_nh2st.engine.store import open_prediction


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, slides, model):
    """The words of a command whose slide `b` is several tasks, and has a region."""
    folder = tmp_path_factory.mktemp("cohort")
    outline = [[200, 200], [1200, 200], [1200, 1300], [200, 1300], [200, 200]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [outline]}, "properties": {}}
    feature["properties"] = {"objectType": "annotation", "name": "tumour"}
    (slides / "b.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    rows = ["slide,patient,regions", "a.tif,P1,", "b.tif,</script>,b.geojson", "broken.tif,P2,"]
    (slides / "sheet.csv").write_text("\n".join(rows))
    words = ["predict", slides / "sheet.csv", "--model", model.path, "--out", folder, "--format", "csv", "--workers", 2]
    return folder, [*words, "--device", "cpu", "--precision", "fp32", "--split", 1.5, "--json"]


def test_a_cohort_and_what_it_leaves(cohort, nh2st, slides, monkeypatch):
    folder, words = cohort
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    status, out, err = nh2st(*words)
    said = json.loads(out)
    assert (status, said["status"], said["error"]) == (1, 1, f"1 of 3 slides failed: {folder / 'cohort.csv'} says why")
    assert [row["path"] for row in said["slides"]] == [str(slides / name) for name in ("a.tif", "b.tif")]
    small, large = said["slides"]  # parts of a huge slide share what they encode at their border
    assert small["tiles_encoded"] == small["tiles_total"] > 10
    assert large["tiles_encoded"] > 0
    assert large["tiles_encoded"] + large["tiles_skipped"] == large["tiles_total"]
    assert [one["path"] for one in said["failed"]] == [str(slides / "broken.tif")]
    assert err.count("warning: broken failed: ") == 1
    assert "slides: 2 done, 0 running, 1 failed, 0 waiting; 2 workers; " in err
    _look_at_the_table(folder)
    _look_at_the_matrix(folder)
    _look_at_the_page(folder)
    assert open_prediction(folder / "b.nh2st").provenance["command"].startswith("nh2st predict ")
    kept = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and "cohort." not in p.name}
    again = json.loads(nh2st(*[1 if word == 2 else word for word in words])[1])  # other workers, the same work
    assert [row["tiles_encoded"] for row in again["slides"]] == [0, 0]
    assert {p: p.read_bytes() for p in kept} == kept
    seconds = [pd.read_csv(folder / "cohort.csv")["seconds"][i] for i in (0, 1)]
    assert all(seconds), "of the run that has predicted them"


def _look_at_the_table(folder):
    table = pd.read_csv(folder / "cohort.csv")
    assert table["slide"].tolist() == ["a", "b", "broken"]
    assert table["state"].tolist() == ["done", "done", "failed"]
    assert "is not a slide of a known format" in table["warnings"][2]
    np.testing.assert_allclose(table["tissue_mm2"][:2], [0.56, 2.55], rtol=0.06)
    assert table["tiles"][1] == len(open_prediction(folder / "b.nh2st"))


def _look_at_the_matrix(folder):
    data = anndata.read_h5ad(folder / "cohort.h5ad")
    assert data.obs_names.tolist() == ["a", "b", "b, tumour"]
    assert data.obs["region"].tolist() == ["all tissue", "all tissue", "tumour"]
    prediction = open_prediction(folder / "b.nh2st")
    assert data.var_names.tolist() == prediction.genes
    np.testing.assert_allclose(data.layers["mean"][1], prediction.matrix().mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(data.layers["sd"][1], prediction.matrix().std(axis=0, ddof=1), atol=1e-3)
    x, y = prediction.places.centres.T
    inside = prediction.matrix()[(x > 200) & (x < 1200) & (y > 200) & (y < 1300)]
    assert data.obs["tiles"].iloc[2] == len(inside)
    np.testing.assert_allclose(data.X[2], inside.mean(axis=0), atol=1e-3)


def _look_at_the_page(folder):
    page = (folder / "cohort.html").read_text(encoding="utf-8")
    assert page.count("<tr class=") == 3
    assert "<h2>Failed</h2>" in page
    assert "&lt;/script&gt;" in page
    text = page.split('<script type="application/json" id="pictures">')[1].split("</script>")[0]
    pictures = json.loads(text)
    assert list(pictures) == ["a", "b"]
    assert list(pictures["b"]["maps"]) == [f"G{i}" for i in range(6)]
    shown = pictures["b"]["maps"]["G1"]
    cells = np.frombuffer(base64.b64decode(shown["cells"]), np.uint8).reshape(shown["rows"], shown["columns"])
    prediction = open_prediction(folder / "b.nh2st")
    assert ((cells != 255).sum(), cells.shape) == (len(prediction), tuple(prediction.places.grid.max(axis=0) + 1))


def test_without_dask_one_line_says_how_to_install_it(nh2st, slides, model, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_nh2st.formats.find_spec", lambda name: None)
    status, _, err = nh2st("predict", slides / "a.tif", "--model", model.path, "--out", tmp_path, "--workers", 2)
    assert status == 1
    assert err == (
        "error: running on several workers needs distributed, which is not installed: "
        "pip install 'napari-nh2st[cohort]'\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_scheduler_that_is_not_there(nh2st, slides, model, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_nh2st.cohort.cluster._CONNECT", 0.5)
    words = ["predict", slides / "a.tif", "--model", model.path, "--out", tmp_path]
    status, _, err = nh2st(*words, "--scheduler", "tcp://127.0.0.1:1")
    assert (status, err.splitlines()[-1].startswith("error: no scheduler of Dask answers at")) == (1, True)
    assert nh2st(*words, "--scheduler", "tcp://127.0.0.1:1", "--workers", 2)[0] == 1
