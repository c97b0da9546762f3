"""OME-TIFF and OME-Zarr: levels, places on lattices of any pitch, and what validators say."""

import numpy as np
import pytest
import tifffile
import zarr

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats import export
from napari_nh2st.formats.lattice_image import frame_of, halved
from napari_nh2st.geometry import Box, TileSet
from support.predictions import prediction


def on_lattice(pitch, size=(2000, 3000), scale=1.3):
    """A prediction on every tile of a lattice of this pitch, with patches of 112 px."""
    small = prediction(undone=0)
    places = TileSet.lattice(Box(0, 0, size[1], size[0]), scale=scale, pitch=pitch, patch=112)
    hidden = np.random.default_rng(1).normal(size=(len(places), 6)).astype(np.float16)
    return Prediction(places, hidden, small.decoder, small.card, small.slide | {"mpp": 0.5 / scale}, small.provenance)


@pytest.mark.parametrize("pitch", [112, 64, 48, 16, 128])
def test_the_image_begins_less_than_a_tile_from_the_slides_corner(pitch):
    made = on_lattice(pitch)
    frame, grid = frame_of(made), made.places.grid
    assert abs(frame.corner) < frame.side
    centres = frame.corner + (grid[:, ::-1] + frame.pad + 0.5) * frame.side
    np.testing.assert_allclose(centres, made.places.centres, atol=1e-6)
    assert grid.min() + frame.pad >= 0
    assert frame.shape == tuple(grid.max(axis=0) + 1 + frame.pad)


def test_a_coarser_level_is_the_mean_of_what_has_a_value():
    plane = np.array([[1, 3, 5], [np.nan, np.nan, 7], [np.nan, np.nan, 9]], dtype=np.float32)
    np.testing.assert_array_equal(halved(plane), [[2, 6], [np.nan, 9]])


@pytest.fixture(scope="module")
def large():
    return on_lattice(16, size=(4200, 8400), scale=1.0)  # 262 x 525 pixels: three levels


def test_levels_of_an_ome_tiff_cover_the_same_slide(large, tmp_path):
    with tifffile.TiffFile(export(large, "ome-tiff", tmp_path / "a", genes=["CD74", "ERBB2"])) as file:
        shapes = [level.shape for level in file.series[0].levels]
        coarse, fine = (file.series[0].levels[i].asarray() for i in (1, 0))
        steps = [level.pages[0].get_resolution("MICROMETER")[0] for level in file.series[0].levels]
    assert shapes == [(2, *s) for s in frame_of(large).levels()]
    assert len(shapes) == 3
    np.testing.assert_allclose(coarse[1], halved(fine[1]), rtol=1e-6)
    np.testing.assert_allclose(1 / np.array(steps), np.array([8, 16, 32]), rtol=1e-4)


def test_an_ome_zarr_is_valid_and_its_levels_cover_the_same_slide(large, tmp_path):
    yaozarrs = pytest.importorskip("yaozarrs", reason="the extra “test” brings it")
    path = export(large, "ome-zarr", tmp_path / "a", genes=["CD74", "ERBB2"])
    yaozarrs.validate_zarr_store(path)
    group = zarr.open_group(path, mode="r")
    (image,) = group.attrs["ome"]["multiscales"]
    corners = []
    for dataset in image["datasets"]:
        scale, translation = (t[t["type"]] for t in dataset["coordinateTransformations"])
        assert group[dataset["path"]].shape[0] == 2
        corners.append(translation[1] - scale[1] / 2)
    np.testing.assert_allclose(corners, -0.25)  # half a pixel of the slide, whose first pixel has its centre at 0
    np.testing.assert_allclose(group["1"][1], halved(group["0"][1]), rtol=1e-6)


def test_another_folder_is_not_replaced(tmp_path):
    (tmp_path / "a.ome.zarr").mkdir()
    (tmp_path / "a.ome.zarr" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        export(prediction(), "ome-zarr", tmp_path / "a.ome.zarr")
    assert (tmp_path / "a.ome.zarr" / "thesis.txt").read_text() == "mine"


def test_qupath_is_not_given_more_than_it_takes(monkeypatch, tmp_path):
    import dataclasses

    from napari_nh2st.formats import EXPORTERS

    monkeypatch.setitem(EXPORTERS, "geojson", dataclasses.replace(EXPORTERS["geojson"], most_values=200))
    with pytest.raises(Nh2stError, match=r"93 tiles x 4 genes are too many.*at most 2 genes"):
        export(prediction(), "geojson", tmp_path / "a")
    assert export(prediction(), "geojson", tmp_path / "a", genes=["ERBB2"]).exists()
