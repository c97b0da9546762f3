"""Spots that were placed on another scan: laid on this one from three landmarks, a model scores them as before."""

import json

import anndata as ad
import numpy as np
import pytest
from PIL import Image

from napari_nh2st.demo.sheet import ARRAY_PITCH, write_sample_sheet
from napari_nh2st.demo.tissue import make_section
from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.expression.transform import Landmarks, Transform
from napari_nh2st.expression.transform_files import inlined, write_landmarks
from support.slides import tiff

SEED, SIZE_MM = 83, (2.4, 2.2)
RADIUS = ARRAY_PITCH / 4  # of a spot, as `spot_diameter` takes it: half of the distance between spots is its diameter
_SCORED = {}
OFF = 6.0  # um by which a person misses a landmark


def turn(degrees, scale, mirror, shape):
    """Turn a picture of this shape, mirrored first, and enlarge it, so that all of it is seen."""
    height, width = shape
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ matrix.T
    size = np.ceil(np.ptp(corners, axis=0)).astype(int)
    return Transform.of(np.column_stack([matrix, -corners.min(axis=0)])), (int(size[0]), int(size[1]))


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A section as it was measured: its folder, its sample and its picture."""
    folder = tmp_path_factory.mktemp("before")
    (sample,) = read_sheet(write_sample_sheet([SEED], folder, size_mm=SIZE_MM))
    return folder, sample, make_section(SEED, size_mm=SIZE_MM).image


def scores(nh2st, sheet):
    status, out, err = nh2st("evaluate", sheet, "--model", "demo", "--json")
    assert status == 0, err
    return json.loads(out)["splits"][0]["models"]["nh2st-context"]["pcc_mean"]


@pytest.fixture
def was(before, nh2st):
    """The section's own score, computed once."""
    folder = before[0]
    if folder not in _SCORED:
        _SCORED[folder] = scores(nh2st, folder / "samples.csv")
    return _SCORED[folder]


def marked(spots, true, scale, seed):
    """Mark three spots far apart on both images, on the slide only as well as a person does."""
    corners = [spots.sum(axis=1).argmin(), spots.sum(axis=1).argmax(), (spots[:, 0] - spots[:, 1]).argmax()]
    own = spots[corners]
    return Landmarks.of(own, true.place(own) + np.random.default_rng(seed).uniform(-OFF, OFF, (3, 2)) * scale)


@pytest.mark.parametrize(("degrees", "mirror", "scale"), [(90, False, 0.5), (7, True, 1.25)])
def test_spots_of_a_turned_scan_score_as_before(nh2st, before, was, tmp_path, degrees, mirror, scale):
    """The same slide; the spots' places are in pixels of a copy that was turned, mirrored and scaled."""
    _, sample, picture = before
    there, _ = turn(degrees, scale, mirror, picture.shape[:2])
    data = ad.read_h5ad(sample.expression)
    true = data.obsm["spatial"].copy()
    data.obsm["spatial"] = there.place(true)
    data.write_h5ad(tmp_path / "other.h5ad")
    write_landmarks(marked(data.obsm["spatial"], there.inverse, 1.0, degrees), tmp_path / "marks.csv")
    (tmp_path / "laid.csv").write_text(
        f"sample,patient,slide,expression,format,transform\nL,P,{sample.slide},other.h5ad,h5ad,marks.csv\n"
    )
    (laid,) = read_sheet(tmp_path / "laid.csv")
    assert np.linalg.norm(read_expression(laid).obsm["spatial"] - true, axis=1).max() < RADIUS
    assert scores(nh2st, tmp_path / "laid.csv") == pytest.approx(was, abs=0.02)


@pytest.mark.parametrize(("degrees", "mirror", "scale"), [(90, True, 1.0), (7, False, 1.1)])
def test_spots_on_a_turned_scan_score_as_before(nh2st, before, was, tmp_path, degrees, mirror, scale):
    """The same spots; the slide is another scan of the section, turned, mirrored and scaled."""
    _, sample, picture = before
    there, size = turn(degrees, scale, mirror, picture.shape[:2])
    back = there.inverse.matrix
    scan = Image.fromarray(picture).transform(
        size, Image.Transform.AFFINE, back[0] + back[1], Image.Resampling.BICUBIC, fillcolor=(243, 241, 242)
    )
    tiff(tmp_path / "scan.tif", np.asarray(scan), resolution=(1e4 * scale, 1e4 * scale), resolutionunit=3)
    own = ad.read_h5ad(sample.expression).obsm["spatial"]
    write_landmarks(marked(own, there, scale, degrees), tmp_path / "marks.csv")
    for name, cell in (("laid", "marks.csv"), ("exact", inlined(there))):
        line = f"L,P,scan.tif,{sample.expression},h5ad,{cell}"
        (tmp_path / f"{name}.csv").write_text(f"sample,patient,slide,expression,format,transform\n{line}\n")
    (laid,) = read_sheet(tmp_path / "laid.csv")
    away = np.linalg.norm(read_expression(laid).obsm["spatial"] - there.place(own), axis=1)
    assert away.max() < RADIUS * scale
    # Another scan is another picture, if only by resampling; where the spots lie must not add to that.
    exact = scores(nh2st, tmp_path / "exact.csv")
    assert scores(nh2st, tmp_path / "laid.csv") == pytest.approx(exact, abs=0.02)
    assert exact == pytest.approx(was, abs=0.1)
