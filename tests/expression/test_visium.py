import gzip
import json

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression
from napari_nh2st.expression.detect import detect
from support import visium

GENES = ["A", "B", "C", "D"]
COUNTS = np.arange(24).reshape(6, 4) + 1


def read(path, form="visium"):
    return read_expression(Sample("S", "P", path / "i.tif", path, form))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("mtx", [False, True])
def test_counts_and_places_are_joined_by_barcode(tmp_path, version, mtx):
    visium.outs(tmp_path, COUNTS, GENES, version=version, mtx=mtx)
    for path in (tmp_path, tmp_path / "outs"):
        data = read(path)
        assert data.n_obs == 6  # not the spot beside the tissue
        for i in range(6):
            spot = data[f"AAAC{i:04d}-1"]
            assert spot.X.toarray()[0].tolist() == COUNTS[i].tolist()
            assert spot.obsm["spatial"][0].tolist() == [100.0 * i, 10.0 * i]
        assert list(data.var_names) == GENES
        assert data.var["gene_ids"].tolist() == [f"ENSG{i:011d}" for i in range(4)]


def test_the_matrix_file_stands_for_its_folder(tmp_path):
    visium.outs(tmp_path, COUNTS, GENES)
    assert read(tmp_path / "outs" / "filtered_feature_bc_matrix.h5").n_obs == 6


@pytest.mark.parametrize("mtx", [False, True])
def test_without_a_filtered_matrix_all_barcodes_are_read_and_those_off_tissue_counted(tmp_path, mtx):
    visium.outs(tmp_path, COUNTS, GENES, mtx=mtx)
    there = read(tmp_path)
    end = "" if mtx else ".h5"
    raw = tmp_path / "outs" / f"raw_feature_bc_matrix{end}"
    (tmp_path / "outs" / f"filtered_feature_bc_matrix{end}").rename(raw)
    paths = [tmp_path, tmp_path / "outs", *([] if mtx else [raw])]
    assert {detect([path]).expression for path in paths} == {tmp_path / "outs"}
    for path in paths:
        data = read(path)
        assert (data.X != there.X).nnz == 0
        assert data.uns["nh2st"]["off_tissue"] == 1
        assert data.uns["nh2st"]["says"] == [
            f"there is no filtered_feature_bc_matrix: {raw.name} is read, of which spots under tissue are taken"
        ]


def test_the_filtered_matrix_goes_first(tmp_path):
    visium.outs(tmp_path, COUNTS, GENES)
    (tmp_path / "outs" / "raw_feature_bc_matrix.h5").write_bytes(b"")
    assert read(tmp_path).n_obs == 6


def test_symbols_that_repeat_are_told_apart_silently(tmp_path, recwarn):
    visium.outs(tmp_path, COUNTS, ["A", "A", "C", "D"])
    assert list(read(tmp_path).var_names) == ["A", "A-1", "C", "D"]
    assert not [w for w in recwarn if "not unique" in str(w.message)]


def test_the_full_resolution_image_is_known_from_the_picture(tmp_path):
    visium.outs(tmp_path, COUNTS, GENES, image=(3000, 4010), diameter=89.5)
    frame = read(tmp_path).uns["frame"]
    assert frame["shape"] == pytest.approx((3000, 4010))
    assert frame["within"] == pytest.approx(5.0)
    assert frame["spot_diameter"] == 89.5


def test_an_h5ad_keeps_what_scanpy_and_hest_say_of_the_image(tmp_path):
    data = ad.AnnData(COUNTS.astype(np.float32))
    data.obsm["spatial"] = np.ones((6, 2))
    picture = {"images": {"downscaled_fullres": np.zeros((50, 80, 3), np.uint8)}}
    factors = {"tissue_downscaled_fullres_scalef": 0.05, "spot_diameter_fullres": 120.0}
    data.uns["spatial"] = {"ST": {**picture, "scalefactors": factors}}
    data.write_h5ad(tmp_path / "h.h5ad")
    frame = read(tmp_path / "h.h5ad", "h5ad").uns["frame"]
    assert frame["shape"] == pytest.approx((1000, 1600))
    assert frame["spot_diameter"] == 120.0
    data.uns["spatial"] = "elsewhere"
    data.write_h5ad(tmp_path / "h.h5ad")
    assert read(tmp_path / "h.h5ad", "h5ad").uns["frame"] == {}


@pytest.mark.parametrize("where", ["X", "layers", "raw"])
def test_an_h5ad_may_hold_its_counts_in_three_places(tmp_path, where):
    data = ad.AnnData(sp.csr_matrix(COUNTS.astype(np.float32)))
    data.var_names, data.obsm["spatial"] = GENES, np.ones((6, 2))
    counts = data.copy()
    if where != "X":
        data.layers["counts"] = data.X.copy()
        if where == "raw":
            data.raw = counts
            del data.layers["counts"]
            data = data[:, :2].copy()
        sc.pp.normalize_total(data, target_sum=1e4)
        sc.pp.log1p(data)
    data.write_h5ad(tmp_path / "c.h5ad")
    found = read(tmp_path / "c.h5ad", "h5ad")
    assert np.array_equal(found.X.toarray(), COUNTS)
    assert list(found.var_names) == GENES


def _no_positions(outs):
    (outs / "spatial" / "tissue_positions.csv").rename(outs / "spatial" / "tissue_positions.parquet")


def _broken_matrix(outs):
    (outs / "filtered_feature_bc_matrix.h5").write_bytes(b"no HDF5")


def _broken_factors(outs):
    (outs / "spatial" / "scalefactors_json.json").write_text(json.dumps([1, 2]))


def _other_barcodes(outs):
    path = outs / "spatial" / "tissue_positions.csv"
    path.write_text(path.read_text().replace("AAAC", "TTTG"))


def _twice(outs):
    path = outs / "spatial" / "tissue_positions.csv"
    path.write_text(path.read_text().replace("AAAC0001", "AAAC0000"))


def _without_a_column(outs):
    path = outs / "spatial" / "tissue_positions.csv"
    path.write_text(path.read_text().replace("pxl_row", "row"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_no_positions, "its format is visium-hd"),
        (_broken_matrix, "cannot read"),
        (_broken_factors, "cannot read"),
        (_other_barcodes, "share none of their barcodes"),
        (_twice, "twice"),
        (_without_a_column, "lacks the column pxl_row_in_fullres"),
    ],
)
def test_a_folder_that_does_not_fit_is_one_line(tmp_path, spoil, words):
    visium.outs(tmp_path, COUNTS, GENES)
    spoil(tmp_path / "outs")
    with pytest.raises(SampleError, match=words) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_says_what_is_missing(tmp_path):
    with pytest.raises(SampleError, match="is not a Visium folder"):
        read(tmp_path)


def test_barcodes_without_a_position_are_counted(tmp_path):
    visium.outs(tmp_path, COUNTS, GENES)
    path = tmp_path / "outs" / "spatial" / "tissue_positions.csv"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("AAAC0001-1")))
    assert read(tmp_path).uns["nh2st"]["says"] == [
        "1 barcodes of filtered_feature_bc_matrix.h5 have no position, and are left out"
    ]


def _as_pandas_saves(text):
    head, *rows = text.splitlines()
    return "\n".join([f",{head}", *(f"{i},{row}" for i, row in enumerate(rows))])


@pytest.mark.parametrize(
    "change",
    [
        _as_pandas_saves,
        lambda text: text.replace("pxl_row_in_fullres", "imagerow").replace("pxl_col_in_fullres", "imagecol"),
        lambda text: text.partition("\n")[0].upper() + "\n" + text.partition("\n")[2],
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace("-1,1,", "-1,TRUE,").replace("-1,0,", "-1,FALSE,"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_positions_however_they_were_saved(tmp_path, change, packed):
    visium.outs(tmp_path, COUNTS, GENES)
    path = tmp_path / "outs" / "spatial" / "tissue_positions.csv"
    changed = change(path.read_text()).encode()
    path.unlink()
    path.with_name(path.name + ".gz" * packed).write_bytes(gzip.compress(changed) if packed else changed)
    data = read(tmp_path)
    assert data.obsm["spatial"].tolist() == [[100.0 * i, 10.0 * i] for i in range(6)]
    assert data.uns["nh2st"]["off_tissue"] == 1


def test_positions_without_a_column_at_their_end_are_refused(tmp_path):
    visium.outs(tmp_path, COUNTS, GENES, version=1)
    path = tmp_path / "outs" / "spatial" / "tissue_positions_list.csv"
    path.write_text("".join(line.rpartition(",")[0] + "\n" for line in path.read_text().splitlines()))
    with pytest.raises(SampleError, match="lacks the column pxl_col_in_fullres"):
        read(tmp_path)
