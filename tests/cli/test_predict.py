"""`nh2st predict` as a contract: what it writes, prints and keeps."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import tifffile

from cli.test_regions import square
from napari_nh2st import predict
from napari_nh2st.annotations import read_annotations
from napari_nh2st.engine import memory
from napari_nh2st.engine.session import Session
from napari_nh2st.engine.store import open_prediction
from napari_nh2st.errors import Nh2stWarning
from support.servers import serving
from support.slides import picture, tiff


def test_predict_writes_what_it_says_and_a_second_run_encodes_nothing(nh2st, slide, model, tmp_path, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))  # nothing is encoded yet
    folder = tmp_path / "out"
    words = ["predict", slide, "--model", model.path, "--out", folder, "--format", "h5ad,csv", "--json"]
    status, out, err = nh2st(*words)
    first = json.loads(out)
    assert status == 0, err
    row = first["slides"][0]
    assert row["tiles_encoded"] == row["tiles_total"] > 50
    assert all(Path(p).exists() for p in row["outputs"])
    assert first["provenance"]["model_hash"] == model.hash
    again = json.loads(nh2st(*words)[1])["slides"][0]
    assert (again["tiles_encoded"], again["tiles_skipped"]) == (0, row["tiles_total"])
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []


def test_a_slide_on_another_machine_in_a_sheet(nh2st, slide, model, tmp_path):
    with serving(Path(slide).parent) as server:
        address = f"{server.address}/{Path(slide).name}"
        sheet = tmp_path / "slides.csv"
        sheet.write_text(f"slide\n{address}\n", encoding="utf-8")
        words = ["predict", sheet, "--model", model.path, "--out", tmp_path / "there", "--json"]
        status, out, err = nh2st(*words)
        assert status == 0, err
        assert json.loads(out)["slides"][0]["path"] == address
        kept = open_prediction(json.loads(out)["slides"][0]["outputs"][0])
        assert kept.slide["path"] == address
    status, _, err = nh2st("predict", slide, "--model", model.path, "--out", tmp_path / "here")
    assert status == 0, err
    here = open_prediction(next((tmp_path / "here").glob("*.nh2st")))
    assert np.array_equal(here.hidden, kept.hidden, equal_nan=True)
    status, _, err = nh2st(*words[:-1])
    assert (status, err.count("error: ")) == (1, 1)
    assert f"{address} cannot be reached" in err


def test_predict_says_so_before_it_begins(nh2st, slide, model, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 10**6)
    status, _, err = nh2st("predict", slide, "--model", model.path, "--out", tmp_path / "out")
    assert (status, err.count("error: ")) == (1, 1)
    assert "there is not enough memory: a prediction of" in err
    assert not (tmp_path / "out").exists()


def test_a_region_and_some_genes(nh2st, slide, model, tmp_path):
    words = ["predict", slide, "--model", model.path, "--out", tmp_path, "--region", "400,300,600,500"]
    status, _, err = nh2st(*words, "--genes", "G1,G4", "--format", "csv")
    assert status == 0, err
    table = pd.read_csv(tmp_path / "ä slide.csv")
    assert table.columns[-2:].tolist() == ["G1", "G4"]
    assert table["x_px"].between(400, 1000).all()
    assert table["y_px"].between(300, 800).all()


def test_drawn_regions_and_the_table_of_their_genes(nh2st, slide, model, tmp_path):
    drawn, out = tmp_path / "drawn.geojson", tmp_path / "out"
    core, rim = square(300, 300, 400, name="core"), square(800, 500, 300, classification={"name": "rim"})
    drawn.write_text(json.dumps({"type": "FeatureCollection", "features": [core, rim]}), encoding="utf-8")
    words = ["predict", slide, "--model", model.path, "--out", out, "--genes", "G1,G4", "--format", "csv,geojson"]
    status, _, err = nh2st(*words, "--regions", drawn)
    assert status == 0, err
    tiles = pd.read_csv(out / "ä slide.csv")[["x_px", "y_px"]].to_numpy()
    where = [((tiles >= low) & (tiles < high)).all(axis=1) for low, high in ((300, 700), ((800, 500), (1100, 800)))]
    assert (np.sum(where, axis=0) == 1).all()
    made = open_prediction(out).only_done()
    assert len(made) == len(tiles) > 4
    table = pd.read_csv(out / "ä slide-regions.csv")
    assert (set(table["region"]), set(table["gene"])) == ({"core", "rim"}, {"G1", "G4"})
    assert table.groupby("region")["n_tiles"].first().to_dict() == {"core": where[0].sum(), "rim": where[1].sum()}
    assert nh2st("regions", out, drawn, "--genes", "G1,G4", "--out", tmp_path / "same.csv")[0] == 0
    pd.testing.assert_frame_equal(table, pd.read_csv(tmp_path / "same.csv"))
    assert {a.title for a in read_annotations(out / "ä slide.geojson").annotations} >= {"core", "rim"}
    assert nh2st(*words, "--regions", drawn)[0] == 0  # the same again
    drawn.write_text(json.dumps({"type": "FeatureCollection", "features": [core]}), encoding="utf-8")
    status, _, err = nh2st(*words, "--regions", drawn)
    assert (status, "would replace it by less" in err) == (1, True), err
    with pytest.warns(Nh2stWarning):
        again = predict(slide, model, regions=drawn)
    assert len(again) == where[0].sum()


def test_drawn_regions_that_cannot_be(nh2st, slide, model, tmp_path):
    drawn = tmp_path / "drawn.geojson"
    drawn.write_text(json.dumps(square(9000, 9000, 400, name="off")), encoding="utf-8")
    words = ["predict", slide, "--model", model.path, "--out", tmp_path / "out", "--regions", drawn]
    for more, code, says in (
        ([], 1, "there is no tissue in these regions; were they drawn on it?"),
        (["--region", "0,0,9,9"], 2, "--regions: goes with one slide, and with neither --region nor workers"),
        (["--workers", 2], 2, "--regions: goes with one slide"),
    ):
        status, _, err = nh2st(*words, *more)
        assert (status, says in " ".join(err.split())) == (code, True), err


def test_an_impossible_pixel_size_names_the_option(nh2st, model, data_dir, tmp_path):
    path = data_dir / "slides" / "CMU-1-Small-Region.jpeg.tiff"
    status, _, err = nh2st("predict", path, "--model", model.path, "--out", tmp_path)
    assert status == 1
    assert "--mpp" in err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_recompression_changes_little(nh2st, model, data_dir, tmp_path):
    """The same region as SVS and as a recompressed TIFF whose mpp is given: the same tiles, nearly the same numbers."""
    found = []
    for name, more in (("CMU-1-Small-Region.svs", []), ("CMU-1-Small-Region.jpeg.tiff", ["--mpp", "0.499"])):
        words = ["predict", data_dir / "slides" / name, "--model", model.path, "--out", tmp_path, "--format", "none"]
        assert nh2st(*words, *more)[0] == 0
        found.append(open_prediction(tmp_path / f"{Path(name).stem}.nh2st"))
    a, b = found
    shared = {tuple(g) for g in a.places.grid} & {tuple(g) for g in b.places.grid}
    assert len(shared) >= 0.9 * max(len(a), len(b))
    rows = [[i for i, g in enumerate(p.places.grid) if tuple(g) in shared] for p in found]
    first, second = (p.matrix()[r] for p, r in zip(found, rows, strict=True))
    for gene in range(first.shape[1]):
        assert np.corrcoef(first[:, gene], second[:, gene])[0, 1] > 0.95


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child process")
def test_ctrl_c_keeps_what_was_computed(slide, model, tmp_path):
    """Interrupted in mid-run: one line, exit status 130, and the same command goes on."""
    big = slide.parent / "big.tif"
    tiff(big, np.tile(picture(1100, 1200) // 2 + 60, (4, 4, 1)), resolution=(1e4, 1e4), resolutionunit=3)
    words = [
        sys.executable,
        "-m",
        "napari_nh2st",
        "predict",
        str(big),
        "--model",
        str(model.path),
        "--out",
        str(tmp_path),
    ]
    run = subprocess.Popen([*words, "--format", "none"], stderr=subprocess.PIPE, text=True, env={**os.environ})
    store = tmp_path / "big.nh2st" / "state" / "c"
    until = time.monotonic() + 120
    while time.monotonic() < until and run.poll() is None and not store.exists():
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    sent = time.monotonic()
    err = run.communicate(timeout=60)[1]
    assert time.monotonic() - sent < 10  # leaving Python included; the engine itself stops within a second
    assert run.returncode == 130, err
    assert err.splitlines()[-1].startswith("error: stopped; what was predicted is kept")
    done = subprocess.run([*words, "--format", "none", "--json"], capture_output=True, text=True, check=True)
    row = json.loads(done.stdout)["slides"][0]
    assert row["tiles_skipped"] > 0
    assert row["tiles_encoded"] < row["tiles_total"]


def test_the_pictures_of_a_file_are_predicted_apart(nh2st, model, tmp_path):
    """Their results, exports and caches differ, and the one that was left out is named."""
    dark, red = (picture(900, 1000, seed=n) // 3 + 90 for n in (1, 2))
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as file:
        for pixels in (dark, red[:700, :800]):
            file.write(
                pixels, tile=(256, 256), photometric="rgb", metadata=None, resolution=(1e4, 1e4), resolutionunit=3
            )
    words = ["--model", model.path, "--out", tmp_path / "out", "--format", "csv", "--json"]
    status, out, err = nh2st("predict", path, f"{path}#2", *words)
    assert status == 0, err
    rows = json.loads(out)["slides"]
    assert [Path(p).name for row in rows for p in row["outputs"]] == [
        "two.nh2st",
        "two.csv",
        "two#2.nh2st",
        "two#2.csv",
    ]
    first, second = (open_prediction(row["outputs"][0]) for row in rows)
    assert first.slide["fingerprint"] != second.slide["fingerprint"]
    assert (first.slide["shape"], second.slide["shape"]) == ([900, 1000], [700, 800])
    assert [sum("#2" in line for line in row["warnings"]) for row in rows] == [1, 0]
    assert nh2st("figure", rows[1]["outputs"][0], "--gene", "G1", "--out", tmp_path / "a.png")[0] == 0


def test_a_slide_that_goes_away_stops_the_run_and_the_same_command_goes_on(nh2st, slide, model, tmp_path, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    words = ["predict", slide, "--model", model.path, "--format", "csv", "--out"]
    real = Session.stream

    def going_away(self, *args, **options):
        for chunk in real(self, *args, **options):
            yield chunk
            break
        with monkeypatch.context() as patch:
            patch.setattr("napari_nh2st.slides.file._read_all", _gone)
            self.slide.read(0, 0, 8, 8, 1)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "stream", going_away)
        status, _, err = nh2st(*words, tmp_path / "out")
    assert status == 1
    assert "(Stale file handle): is its disk still there? What was predicted is kept in" in err.splitlines()[-1]
    assert err.splitlines()[-1].endswith("and the same command goes on when the slide is back")
    for folder in ("out", "undisturbed"):
        assert nh2st(*words, tmp_path / folder)[0] == 0
    mended, undisturbed = (pd.read_csv(tmp_path / folder / "ä slide.csv") for folder in ("out", "undisturbed"))
    pd.testing.assert_frame_equal(mended, undisturbed, rtol=4e-3)


def _gone(*_):
    raise OSError(116, "Stale file handle")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are Unicode")
def test_a_slide_whose_name_is_no_utf8(nh2st, slide, model, tmp_path):
    path = tmp_path / os.fsdecode(b"bad\xff.tif")
    shutil.copy(slide, path)
    words = [
        "predict",
        path,
        "--model",
        model.path,
        "--out",
        tmp_path,
        "--format",
        "h5ad,csv",
        "--region",
        "0,0,900,900",
    ]
    for _ in range(2):
        status, _, err = nh2st(*words)
        assert status == 0, err
    assert open_prediction(tmp_path).slide["path"].endswith("bad\\xff.tif")


def test_a_part_never_replaces_a_file_that_holds_more(nh2st, slide, model, tmp_path):
    words = ["predict", slide, "--model", model.path, "--out", tmp_path]
    words += ["--format", "h5ad,csv,geojson,ome-tiff,ome-zarr"]
    region = ["--region", "400,300,600,500"]
    assert nh2st(*words, *region, "--genes", "G1,G4")[0] == 0
    assert nh2st(*words, *region, "--genes", "G4,G1")[0] == 0  # the same, repeated
    assert nh2st(*words)[0] == 0  # more
    whole = (tmp_path / "ä slide.h5ad").read_bytes(), (tmp_path / "ä slide.csv").read_bytes()
    for smaller in ([*region], ["--genes", "G1"]):
        status, out, err = nh2st(*words, *smaller)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert "holds all tissue with all genes, and this command would replace it by less: choose another --out" in err
    for name in ("geojson", "ome-tiff", "ome-zarr"):
        status, _, err = nh2st(*words[:-1], name, "--genes", "G1")
        assert (status, "would replace it by less" in err) == (1, True), name
    assert whole == ((tmp_path / "ä slide.h5ad").read_bytes(), (tmp_path / "ä slide.csv").read_bytes())


def test_a_file_holds_the_tiles_of_its_own_command(nh2st, slide, model, tmp_path):
    words = ["predict", slide, "--model", model.path, "--out", tmp_path / "out", "--json"]
    assert nh2st(*words, "--format", "none")[0] == 0
    status, out, err = nh2st(*words, "--region", "400,300,600,500", "--genes", "G1,G4")
    assert status == 0, err
    row = json.loads(out)["slides"][0]
    data = anndata.read_h5ad(tmp_path / "out" / "ä slide.h5ad")
    assert data.shape == (row["tiles_total"], 2)
    assert row["tiles_total"] < len(open_prediction(tmp_path / "out"))
    said = data.uns["nh2st"]
    assert (said["region"], said["genes"]) == ("400,300,600,500", "G1,G4")
    assert "--region 400,300,600,500 --genes G1,G4" in said["command"]
