"""Visium HD: bins of `binned_outputs`, pooled to places."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression
from napari_nh2st.expression.detect import detect
from napari_nh2st.expression.find import find_sections
from support import assays, visium
from support.slides import tiff


def read(folder, **more):
    return read_expression(Sample("S", "P", folder / "S.tif", folder, "visium-hd", **more))


@pytest.fixture(scope="module")
def made():
    return assays.tissue()


def bins(folder, name="008"):
    return folder / "outs" / "binned_outputs" / f"square_{name}um"


def test_bins_are_pooled_to_places(tmp_path, made):
    data = read(assays.visium_hd(tmp_path, made))
    found = {
        (r, c): x.tolist() for r, c, x in zip(data.obs.array_row, data.obs.array_col, data.X.toarray(), strict=True)
    }
    assert found == made.at_places()
    assert data.var["gene_ids"].tolist() == assays.IDS
    pixels = assays.PLACE / assays.MPP
    centres = (data.obs[["array_col", "array_row"]].to_numpy() + 0.5) * pixels
    assert np.array_equal(data.obsm["spatial"], centres)
    assert set(data.obs["pooled"]) == {14 * 14}
    assert data.uns["frame"] == {"spot_diameter": pixels, "shape": (1340, 1790), "within": 5}
    assert data.uns["nh2st"]["off_tissue"] == 1
    assert data.uns["nh2st"]["says"] == [f"its {made.counts.shape[0]:,} bins are pooled to 24 places of 112 µm"]


def test_places_are_as_wide_as_the_sheet_says(tmp_path, made):
    data = read(assays.visium_hd(tmp_path, made), pool=56.0)
    assert data.n_obs == 4 * 24
    assert data.X.sum() == made.counts.sum()


def test_a_place_of_which_less_than_half_is_covered_is_left_out(tmp_path, made):
    x, y = made.um.T
    for width, there in ((0.45, 20), (0.55, 24)):  # of the places in the first column
        kept = (x > assays.PLACE * (2 - width)) & (y > 0)
        part = replace(made, counts=made.counts[kept], um=made.um[kept], array=made.array[kept])
        data = read(assays.visium_hd(tmp_path / str(width), part))
        assert data.n_obs == there
        said = "4 places with fewer than 98 bins are left out" in data.uns["nh2st"]["says"][0]
        assert said == (there == 20)


def test_bins_of_eight_are_read_first_and_those_that_are_named(tmp_path, made):
    assays.visium_hd(tmp_path, made, ("002", "016", "008"))
    assert "bins of 8 µm are read, not those of 16, 2 µm" in read(tmp_path).uns["nh2st"]["says"]
    matrix = bins(tmp_path, "016") / "filtered_feature_bc_matrix.h5"
    for path in (bins(tmp_path, "016"), matrix):
        assert detect([path]).expression == bins(tmp_path, "016")
    other = tmp_path / "other"
    assays.visium_hd(other, made, ("002", "016"))
    assert "bins of 16 µm are read, not those of 2 µm" in read(other).uns["nh2st"]["says"]


def test_a_folder_is_recognised_by_whatever_is_dropped(tmp_path, made):
    outs = assays.visium_hd(tmp_path / "HD 1", made) / "outs"
    for path in (tmp_path / "HD 1", outs, outs / "binned_outputs"):
        found = detect([path])
        assert (found.name, found.format, found.expression) == ("HD 1", "visium-hd", outs)
    found = detect([bins(tmp_path / "HD 1")])
    assert (found.name, found.format) == ("HD 1", "visium-hd")
    visium.outs(tmp_path / "V", [[1]], ["A"])
    assert detect([tmp_path / "V"]).format == "visium"


def test_it_is_found_with_its_image(tmp_path, made):
    assays.visium_hd(tmp_path / "HD 1", made)
    tiff(tmp_path / "HD 1" / "he.tif", np.zeros((8, 8, 3), np.uint8))
    (sample,), says = find_sections(tmp_path)
    assert (sample.sample, sample.format, sample.slide.name, says) == ("HD 1", "visium-hd", "he.tif", [])


def test_bins_of_all_barcodes_where_there_are_no_others(tmp_path, made):
    assays.visium_hd(tmp_path, made)
    there = read(tmp_path)
    place = bins(tmp_path)
    (place / "filtered_feature_bc_matrix.h5").rename(place / "raw_feature_bc_matrix.h5")
    data = read(tmp_path)
    assert (data.X != there.X).nnz == 0
    assert data.uns["nh2st"]["off_tissue"] == 1
    assert data.uns["nh2st"]["says"][0].startswith("there is no filtered_feature_bc_matrix: raw_feature_bc_matrix.h5")


def test_without_a_pixel_size_the_sheet_gives_it(tmp_path, made):
    assays.visium_hd(tmp_path, made, mpp=None)
    with pytest.raises(SampleError, match="give the slide's µm per pixel"):
        read(tmp_path)
    assert read(tmp_path, mpp=0.5).n_obs == 24


def _drop(name):
    return lambda place: (place / name).unlink()


def _cut(place):
    path = place / "spatial" / "tissue_positions.parquet"
    path.write_bytes(path.read_bytes()[:-50])


def _empty(place):
    (place / "spatial" / "tissue_positions.parquet").write_bytes(b"")


def _rewritten(change):
    def write(place):
        path = place / "spatial" / "tissue_positions.parquet"
        change(pd.read_parquet(path)).to_parquet(path, index=False)

    return write


def _text(place):
    (place / "spatial" / "scalefactors_json.json").write_text(json.dumps([1]))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_drop("filtered_feature_bc_matrix.h5"), "lacks filtered_feature_bc_matrix"),
        (_drop("spatial/tissue_positions.parquet"), "lacks spatial/tissue_positions.parquet"),
        (_cut, "cannot read .*tissue_positions.parquet"),
        (_empty, "cannot read .*tissue_positions.parquet"),
        (_rewritten(lambda t: t.drop(columns="barcode")), "lacks the column barcode"),
        (_rewritten(lambda t: t.iloc[:0]), "lacks the column barcode"),
        (_rewritten(lambda t: t.assign(pxl_row_in_fullres="a")), "something other than numbers"),
        (_rewritten(lambda t: t.assign(pxl_row_in_fullres=np.nan)), "lacks the column pxl_row_in_fullres"),
        (_rewritten(lambda t: t.assign(barcode="x")), "tissue_positions.parquet names x twice"),
        (_rewritten(lambda t: t.assign(barcode=t.barcode.str.lower() + "0")), "share none of their barcodes"),
        (_text, "holds no scale factors"),
    ],
)
def test_a_damaged_folder_is_one_line(tmp_path, made, damage, words):
    assays.visium_hd(tmp_path, made)
    damage(bins(tmp_path))
    with pytest.raises(SampleError, match=words) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_no_such_folder_is_one_line(tmp_path):
    with pytest.raises(SampleError, match="is no folder of Visium HD"):
        read(Path(tmp_path))


def test_without_pyarrow_it_says_what_to_install(tmp_path, made, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assays.visium_hd(tmp_path, made)
    with pytest.raises(SampleError, match=r"pip install 'napari-nh2st\[parquet\]'"):
        read(tmp_path)
