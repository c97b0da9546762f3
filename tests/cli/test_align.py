"""`nh2st align` as a contract: residuals, snap, what it writes and refuses."""

import json

import anndata as ad
import numpy as np
import pytest

from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.expression.transform import Landmarks, Transform
from napari_nh2st.expression.transform_files import read_transform, write_landmarks, write_transform
from support.slides import tiff

PITCH, SIDE = 100, 3600
THERE = Transform.of([[0, -2, 3600], [2, 0, 0]])  # from a copy of half the size, turned by 90 degrees


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A slide of 2 um a pixel with a bean of tissue, and spots placed on a turned copy of it."""
    folder = tmp_path_factory.mktemp("align")
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) - SIDE / 2
    angle = np.arctan2(y, x)
    bean = np.hypot(x, y) < 1100 + 250 * np.cos(angle - 0.4) + 200 * np.cos(2 * angle) + 140 * np.sin(3 * angle)
    pixels = np.full((SIDE, SIDE, 3), 245, np.uint8)
    pixels[bean] = (190, 110, 170)
    tiff(folder / "S.tif", pixels, resolution=(5e3, 5e3), resolutionunit=3)
    at = np.arange(20, SIDE, PITCH)
    spots = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    spots = spots[bean[spots[:, 1], spots[:, 0]]].astype(float)
    rng = np.random.default_rng(1)
    data = ad.AnnData(rng.poisson(20, (len(spots), 3)).astype(np.float32))
    data.obs_names, data.var_names = [f"s{i}" for i in range(len(spots))], ["A", "B", "C"]
    data.obsm["spatial"] = THERE.inverse.place(spots)
    data.write_h5ad(folder / "S.h5ad")
    own = data.obsm["spatial"][[0, len(spots) // 2 + 20, len(spots) - 1, 40]]
    there = THERE.place(own) + np.array([[3.0, 0], [0, 4], [-5, 0], [0, 0]])
    write_landmarks(Landmarks.of(own, there, ["vessel", "fold", "tip", "4"]), folder / "marks.csv")
    (folder / "samples.csv").write_text("sample,patient,slide,expression,format\nS,P,S.tif,S.h5ad,h5ad\n")
    return folder


def true_places(folder):
    return THERE.place(ad.read_h5ad(folder / "S.h5ad").obsm["spatial"])


def test_landmarks_are_told_in_micrometres_and_the_file_goes_into_the_sheet(nh2st, folder, tmp_path):
    out_file = tmp_path / "S_transform.json"
    words = ["align", folder / "samples.csv", "--landmarks", folder / "marks.csv", "--out", out_file]
    status, out, err = nh2st(*words)
    assert status == 0, err
    lines = out.splitlines()
    assert lines[0] == "S: scale 1.998, turned by 90.1°"
    assert [line.split()[0] for line in lines[2:6]] == ["vessel", "fold", "tip", "4"]
    assert all(line.endswith(" um") for line in lines[2:6])
    assert 0 < float(lines[2].split()[-2]) < 20
    assert lines[-1] == str(out_file)
    document = json.loads(out_file.read_text())
    assert [mark["name"] for mark in document["landmarks"]] == ["vessel", "fold", "tip", "4"]
    (tmp_path / "laid.csv").write_text(
        f"sample,patient,slide,expression,format,transform\nS,P,{folder}/S.tif,{folder}/S.h5ad,h5ad,{out_file.name}\n"
    )
    (laid,) = read_sheet(tmp_path / "laid.csv")
    assert np.linalg.norm(read_expression(laid).obsm["spatial"] - true_places(folder), axis=1).max() < 15
    # It is not replaced unasked.
    assert nh2st(*words)[0] == 1
    assert "is there already" in nh2st(*words)[2]
    assert nh2st(*words, "--overwrite", "--affine")[0] == 0


def test_snapping_says_how_well_outlines_agree_before_and_after(nh2st, folder, tmp_path):
    start = THERE.then(Transform.scaled(1, 150, 0))  # 300 um beside
    write_transform(start, tmp_path / "beside.json")
    words = ["align", folder / "S.h5ad", "--slide", folder / "S.tif", "--matrix", tmp_path / "beside.json"]
    status, out, err = nh2st(*words, "--snap", "--out", tmp_path / "t.json", "--json")
    assert status == 0, err
    said = json.loads(out)
    assert said["snap"]["before"] < said["snap"]["after"]
    assert said["snap"]["moved_um"] == pytest.approx(300, abs=50)
    assert said["before"]["on_tissue"] < said["after"]["on_tissue"] == said["spots"]
    own = ad.read_h5ad(folder / "S.h5ad").obsm["spatial"]
    found = read_transform(tmp_path / "t.json").place(own)
    assert np.linalg.norm(found - true_places(folder), axis=1).max() * 2 < 50


@pytest.mark.parametrize("program", ["loupe", "xenium", "qupath"])
def test_matrices_of_programs_are_taken_turned_round_and_written(nh2st, folder, tmp_path, program):
    section = [folder / "S.h5ad", "--slide", folder / "S.tif"]
    write_transform(THERE.inverse, tmp_path / "back.json")
    words = ["align", *section, "--matrix", tmp_path / "back.json", "--inverse", "--format", program]
    status, _, err = nh2st(*words, "--out", tmp_path / "theirs")
    assert status == 0, err
    status, out, err = nh2st("align", *section, "--matrix", tmp_path / "theirs", "--out", tmp_path / "ours", "--json")
    assert status == 0, err
    np.testing.assert_allclose(json.loads(out)["matrix"], THERE.matrix, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ([], 2, "say how: --landmarks L.csv, --matrix M or --snap"),
        (["--landmarks", "{folder}/marks.csv", "--matrix", "x"], 2, "not both"),
        (["--snap", "--affine"], 2, "goes with --landmarks"),
        (["--snap", "--sample", "T"], 1, "say which section with --sample: S"),
        (["--landmarks", "{folder}/samples.csv"], 1, "name the columns spot_x"),
        (["--matrix", "{folder}/nothing.json"], 1, "nothing.json"),
        (["--snap", "--format", "elastix"], 2, "none of nh2st, loupe, xenium, qupath"),
    ],
)
def test_what_cannot_be_done_is_one_line(nh2st, folder, tmp_path, more, status, said):
    words = [word.format(folder=folder) for word in more]
    found, _, err = nh2st("align", folder / "samples.csv", "--out", tmp_path / "t.json", *words)
    assert found == status
    assert said in err
    assert not (tmp_path / "t.json").exists()
