"""Beads of Slide-seq, sections of HEST-1k, and files of CELLxGENE."""

import gzip
import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression
from napari_nh2st.expression.detect import detect
from napari_nh2st.expression.find import find_sections
from napari_nh2st.expression.transform import Transform
from support import assays
from support.slides import tiff

SCALE = assays.PUCK_MPP / assays.OWN_MPP
PLACED = {"transform": Transform.of(assays.ON_SLIDE @ np.diag([SCALE, SCALE, 1]))}


@pytest.fixture(scope="module")
def made():
    return assays.tissue(rows=1, columns=2)


def read(path, form="bead-table", **more):
    return read_expression(Sample("S", "P", path.parent / "S.tif", path, form, **more))


def test_beads_are_joined_and_pooled(tmp_path, made):
    folder = assays.slide_seq(tmp_path / "Puck_1", made)
    for path in (folder, folder / "Puck_1.digital_expression.txt.gz", folder / "Puck_1_BeadLocationsForR.csv"):
        found = detect([path])
        assert (found.name, found.format, found.expression) == ("Puck_1", "bead-table", folder)
    data = read(folder, **PLACED)
    assert data.X.sum(axis=0).tolist() == [made.counts.sum(axis=0).tolist()]
    with pytest.raises(SampleError, match="give a matrix or landmarks in the column transform"):
        read(folder)


@pytest.mark.parametrize("name", ["X", "V1", "...1", ""])
def test_names_of_beads_in_a_column_that_r_has_named(tmp_path, made, name):
    folder = assays.slide_seq(tmp_path, made)
    there = read(folder, **PLACED)
    path = folder / "Puck_1_BeadLocationsForR.csv"
    path.write_text(path.read_text().replace("barcode", name, 1))
    assert (read(folder, **PLACED).X != there.X).nnz == 0


def test_a_table_by_r_is_read_alike(tmp_path, made):
    folder = assays.slide_seq(tmp_path / "one", made)
    table = pd.read_csv(folder / "Puck_1.digital_expression.txt.gz", sep="\t", index_col=0)
    other = tmp_path / "two"
    other.mkdir()
    table.rename_axis(None).to_csv(other / "MappedDGEForR.csv")
    places = pd.read_csv(folder / "Puck_1_BeadLocationsForR.csv").rename(columns={"barcode": "barcodes"})
    places.to_csv(other / "BeadLocationsForR.csv", index=False)
    one, two = read(folder, **PLACED), read(other, **PLACED)
    assert (one.X != two.X).nnz == 0
    assert np.array_equal(one.obsm["spatial"], two.obsm["spatial"])


def _counts(text):
    return lambda folder: (folder / "Puck_1.digital_expression.txt.gz").write_bytes(gzip.compress(text))


def _cut(folder):
    path = folder / "Puck_1.digital_expression.txt.gz"
    path.write_bytes(path.read_bytes()[:-20])


def _places(text):
    return lambda folder: (folder / "Puck_1_BeadLocationsForR.csv").write_text(text)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "Puck_1_BeadLocationsForR.csv").unlink(), "holds no beads"),
        (_cut, "cannot read .*digital_expression"),
        (_counts(b""), "it has no genes"),
        (_counts(b"GENE\tA\tB\nERBB2\t1\n"), "it names 2 beads, but its rows have 1 numbers"),
        (_counts(b"GENE\tA\tB\nERBB2\t1\t2\nVIM\t1\n"), "row 2 has 1 numbers, the first has 2"),
        (_counts(b"GENE\tA\tB\nERBB2\tx\t2\n"), "the row of ERBB2 holds something other than counts"),
        (_counts(b"GENE\tA\tB\nERBB2\t0.5\t2\n"), "holds no raw counts"),
        (_counts(b"GENE\tA\tB\nERBB2\t1\t2\n"), "share none of their beads"),
        (_places("barcode,xcoord\nA,1\n"), "lacks the column ycoord"),
        (_places("barcode,xcoord,ycoord\nA,1,b\n"), "ycoord holds something other than numbers"),
        (_places(""), "it is empty"),
    ],
)
def test_damaged_tables_of_beads_are_one_line(tmp_path, made, damage, words):
    folder = assays.slide_seq(tmp_path / "P", made)
    damage(folder)
    with pytest.raises(SampleError, match=words) as caught:
        read(folder, **PLACED)
    assert "\n" not in str(caught.value)


def test_sections_of_hest_are_found_by_their_id(tmp_path, made):
    counts = assays.hest(tmp_path, made)
    tiff(tmp_path / "wsis" / "S1.tif", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "thumbnails").mkdir()
    tiff(tmp_path / "thumbnails" / "S1_downscaled_fullres.tif", np.zeros((8, 8, 3), np.uint8))
    ((sample,), says) = find_sections(tmp_path)
    assert says == []
    assert (sample.sample, sample.patient, sample.format, sample.mpp) == ("S1", "P7", "hest", assays.MPP)
    assert (sample.slide, sample.expression) == (tmp_path / "wsis" / "S1.tif", counts)
    assert detect([counts]).format == "hest"
    assert read(counts, "hest").n_obs == len(made.counts)
    assert read(counts, "hest", pool=assays.PLACE).n_obs == 2


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_damaged_facts_of_hest_are_one_line(tmp_path, made, text):
    counts = assays.hest(tmp_path, made)
    (tmp_path / "metadata" / "S1.json").write_text(text)
    with pytest.raises(SampleError, match=r"S1\.json"):
        read(counts, "hest")
    (tmp_path / "metadata" / "S1.json").unlink()
    with pytest.raises(SampleError, match="is no section of HEST-1k"):
        read(counts, "hest")
    assert detect([counts]).format == "h5ad"


def test_hest_without_a_pixel_size_or_a_patient(tmp_path, made):
    counts = assays.hest(tmp_path, made, patient="")
    (tmp_path / "metadata" / "S1.json").write_text(json.dumps({"pixel_size_um_estimated": float("nan")}))
    assert read(counts, "hest").n_obs == len(made.counts)
    with pytest.raises(SampleError, match="give the slide's µm per pixel"):
        read(counts, "hest", pool=assays.PLACE)


def test_a_visium_file_of_cellxgene(tmp_path):
    """X is normalised, raw has the counts under Ensembl ids, symbols stand in var alone, all spots of the array."""
    counts = np.arange(1, 25).reshape(6, 4)
    data = ad.AnnData(sp.csr_matrix(np.log1p(counts / 7.0).astype(np.float32)))
    data.var_names, data.var["feature_name"] = assays.IDS, pd.Categorical(["ERBB2", "CD74", "KRT8", assays.IDS[3]])
    data.obs["in_tissue"] = [1, 1, 1, 1, 0, 1]
    data.obs["array_row"], data.obs["array_col"] = np.arange(6), np.arange(6) * 2
    data.obsm["spatial"] = np.stack([np.arange(6) * 30, np.arange(6) * 50], axis=1)
    data.raw = ad.AnnData(sp.csr_matrix(counts.astype(np.float32)), var=pd.DataFrame(index=data.var_names))
    factors = {"spot_diameter_fullres": 20.0, "tissue_hires_scalef": 0.1}
    picture = {"images": {"hires": np.zeros((50, 40, 3), np.uint8)}, "scalefactors": factors}
    data.uns["spatial"] = {"is_single": np.True_, "GSM1": picture}
    data.write_h5ad(tmp_path / "c.h5ad")
    section = read(tmp_path / "c.h5ad", "h5ad")
    assert section.var_names.tolist() == ["ERBB2", "CD74", "KRT8", assays.IDS[3]]
    assert section.var["gene_ids"].tolist() == assays.IDS
    assert section.X.toarray().tolist() == counts[[0, 1, 2, 3, 5]].tolist()
    frame = section.uns["frame"]
    assert (frame["spot_diameter"], *frame["shape"]) == (20, 500, 400)
    assert section.uns["nh2st"]["slides"] == ["GSM1"]
    assert section.uns["nh2st"]["off_tissue"] == 1
