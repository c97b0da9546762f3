"""Space Ranger's matrices, as HDF5 and as a folder: genes alone, and nothing that is damaged."""

import gzip
import shutil

import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression, tenx_file, tenx_folder
from support import visium

COUNTS = np.arange(24).reshape(6, 4) + 1
IDS = [f"ENSG{i:011d}" for i in range(4)]


@pytest.fixture(params=["h5", "mtx"])
def matrix(request, tmp_path):
    """The path of a matrix, and its reader."""
    visium.outs(tmp_path, COUNTS, ["A", "B", "C", "D"], mtx=request.param == "mtx")
    folder = tmp_path / "outs" / "filtered_feature_bc_matrix"
    return (folder, tenx_folder.read) if request.param == "mtx" else (folder.with_suffix(".h5"), tenx_file.read)


def dense(counts):
    kind = sp.csc_matrix if counts.by_columns else sp.csr_matrix
    return kind((counts.data, counts.indices, counts.indptr), shape=(len(counts.spots), len(counts.genes))).toarray()


def rewrite(path, place, change):
    """Change a part of a matrix: a dataset of the file, or the text of a file in the folder."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            values = file[place][()]
            del file[place]
            file[place] = change(values)
        return
    packed = path / place
    packed.write_bytes(gzip.compress(change(gzip.decompress(packed.read_bytes()).decode()).encode()))


def test_counts_names_and_ids(matrix):
    path, reader = matrix
    counts = reader(path)
    assert np.array_equal(dense(counts)[:6], COUNTS)
    assert counts.genes == ["A", "B", "C", "D"]
    assert counts.ids == IDS
    assert counts.spots[0] == "AAAC0000-1"


def test_antibodies_are_no_genes(matrix):
    path, reader = matrix
    if path.suffix == ".h5":
        rewrite(path, "matrix/features/feature_type", lambda v: [b"Antibody Capture", *v[1:]])
    else:
        rewrite(path, "features.tsv.gz", lambda t: t.replace("Gene Expression", "Antibody Capture", 1))
    counts = reader(path)
    assert counts.genes == ["B", "C", "D"]
    assert np.array_equal(dense(counts)[:6], COUNTS[:, 1:])


def test_a_matrix_of_antibodies_alone_is_refused(matrix):
    path, reader = matrix
    if path.suffix == ".h5":
        rewrite(path, "matrix/features/feature_type", lambda v: [b"Antibody Capture"] * 4)
    else:
        rewrite(path, "features.tsv.gz", lambda t: t.replace("Gene Expression", "Antibody Capture"))
    with pytest.raises(SampleError, match="no counts of genes, but of Antibody Capture"):
        reader(path)


def test_genomes_before_names_are_taken_off_and_told(tmp_path):
    ids = [f"GRCh38_{i}" for i in IDS[:2]] + ["mm10___ENSMUSG00000000001", "mm10___ENSMUSG00000000002"]
    visium.outs(tmp_path, COUNTS, ["GRCh38_A", "GRCh38_B", "mm10___A2", "mm10___B2"], ids=ids)
    counts = tenx_file.read(tmp_path / "outs" / "filtered_feature_bc_matrix.h5")
    assert counts.genes == ["A", "B", "A2", "B2"]
    assert counts.ids == [*IDS[:2], "ENSMUSG00000000001", "ENSMUSG00000000002"]
    assert counts.says == ["its genes are of 2 genomes (GRCh38, mm10)"]


@pytest.mark.parametrize("part", ["shape", "indices", "indptr", "data"])
@pytest.mark.parametrize("kind", ["f8", "f4", "u4", "u8", "i8", "i2"])
def test_whole_numbers_of_any_type(tmp_path, part, kind):
    """R's DropletUtils writes the shape as floating numbers, other programs other parts."""
    visium.outs(tmp_path, COUNTS, ["A", "B", "C", "D"])
    path = tmp_path / "outs" / "filtered_feature_bc_matrix.h5"
    rewrite(path, f"matrix/{part}", lambda v: v.astype(kind))
    assert np.array_equal(dense(tenx_file.read(path))[:6], COUNTS)


@pytest.mark.parametrize(
    ("place", "change", "said"),
    [
        ("matrix/shape", lambda v: v + 0.5, "has the shape"),
        ("matrix/shape", lambda v: v * np.nan, "has the shape"),
        ("matrix/shape", lambda v: v.astype("S"), "has the shape"),
        ("matrix/indptr", lambda v: v + 0.5, "not whole numbers"),
        ("matrix/indices", lambda v: np.full(len(v), np.inf), "not whole numbers"),
        ("matrix/indices", lambda v: v + 99, "outside of the matrix"),
        ("matrix/indptr", lambda v: v[::-1], "do not belong together"),
        ("matrix/data", lambda v: v[:3], "do not belong together"),
        ("matrix/data", lambda v: -v, "no raw counts"),
        ("matrix/data", lambda v: v + 0.5, "no raw counts"),
        ("matrix/data", lambda v: v * 1j, "no raw counts"),
        ("matrix/shape", lambda v: v * 1000, "has the shape"),
        ("matrix/barcodes", lambda v: v[:2], "has the shape"),
        ("matrix/features/id", lambda v: v[:2], "4 names of genes, but 2 ids"),
        ("matrix/features/name", lambda v: 1, "0 axes instead of 1"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, place, change, said):
    visium.outs(tmp_path, COUNTS, ["A", "B", "C", "D"])
    path = tmp_path / "outs" / "filtered_feature_bc_matrix.h5"
    rewrite(path, place, change)
    with pytest.raises(SampleError, match=said):
        tenx_file.read(path)


@pytest.mark.parametrize(
    ("place", "change", "said"),
    [
        ("matrix.mtx.gz", lambda t: t.replace("integer", "complex"), "complex values, no counts"),
        ("matrix.mtx.gz", lambda t: t.replace("coordinate", "array"), "not a sparse matrix"),
        ("matrix.mtx.gz", lambda t: t.replace("general", "symmetric"), "not a sparse matrix"),
        ("matrix.mtx.gz", lambda t: t.replace("4 7 28", "4 7 9999999999"), "cannot have"),
        ("matrix.mtx.gz", lambda t: t.replace("4 7 28", "400000000 700000000 28"), "names"),
        ("matrix.mtx.gz", lambda t: t.replace("4 7 28", "4 7 27"), "damaged"),
        ("matrix.mtx.gz", lambda t: t.replace("4 7 28", "4 7"), "how large"),
        ("matrix.mtx.gz", lambda t: t.replace("\n1 1 1\n", "\n9 1 1\n"), "outside of the matrix"),
        ("matrix.mtx.gz", lambda t: t.replace("\n1 1 1\n", "\n0 1 1\n"), "outside of the matrix"),
        ("matrix.mtx.gz", lambda t: t.replace("\n1 1 1\n", "\n1.5 1 1\n"), "outside of the matrix"),
        ("matrix.mtx.gz", lambda t: t.replace("\n1 1 1\n", "\n1 1 -1\n"), "no raw counts"),
        ("matrix.mtx.gz", lambda t: t.replace("\n1 1 1\n", "\n1 1 nan\n"), "no raw counts"),
        ("matrix.mtx.gz", lambda t: t.replace("\n1 1 1\n", "\n1 1 one\n"), "cannot read"),
        ("matrix.mtx.gz", lambda t: t + "1 1 1\n" * 100_000, "larger than"),
        ("matrix.mtx.gz", lambda t: "", "not a sparse matrix"),
        ("barcodes.tsv.gz", lambda t: "", "is empty"),
        ("features.tsv.gz", lambda t: t + "\0", "NUL"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path, place, change, said):
    visium.outs(tmp_path, COUNTS, ["A", "B", "C", "D"], mtx=True)
    path = tmp_path / "outs" / "filtered_feature_bc_matrix"
    rewrite(path, place, change)
    with pytest.raises(SampleError, match=said):
        tenx_folder.read(path)


@pytest.mark.parametrize("place", ["matrix.mtx.gz", "barcodes.tsv.gz", "features.tsv.gz"])
def test_a_folder_that_is_cut_off_or_lacks_a_file_is_refused(tmp_path, place):
    visium.outs(tmp_path, COUNTS, ["A", "B", "C", "D"], mtx=True)
    path = tmp_path / "outs" / "filtered_feature_bc_matrix" / place
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SampleError, match=r"cut off|cannot read"):
        tenx_folder.read(path.parent)
    path.unlink()
    with pytest.raises(SampleError, match="lacks"):
        tenx_folder.read(path.parent)


def test_a_folder_of_an_older_program(tmp_path):
    visium.outs(tmp_path, COUNTS, ["A", "B", "C", "D"], mtx=True)
    folder = tmp_path / "outs" / "filtered_feature_bc_matrix"
    for name, older in (("features", "genes"), ("barcodes", "barcodes"), ("matrix", "matrix")):
        (packed,) = folder.glob(f"{name}.*")
        (folder / f"{older}.{packed.name.split('.')[1]}").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert np.array_equal(dense(tenx_folder.read(folder))[:6], COUNTS)


def test_a_file_of_an_older_program(tmp_path):
    visium.outs(tmp_path, COUNTS, ["A", "B", "C", "D"])
    path = tmp_path / "outs" / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "r+") as file:
        file.move("matrix", "GRCh38")
        file.move("GRCh38/features/id", "GRCh38/genes")
        file.move("GRCh38/features/name", "GRCh38/gene_names")
        del file["GRCh38/features"]
    counts = tenx_file.read(path)
    assert np.array_equal(dense(counts)[:6], COUNTS)
    assert counts.ids == IDS


def test_spots_off_tissue_are_counted(tmp_path):
    visium.outs(tmp_path, COUNTS, ["A", "B", "C", "D"])
    data = read_expression(Sample("S", "P", tmp_path, tmp_path, "visium"))
    assert data.n_obs == 6
    assert data.uns["nh2st"]["off_tissue"] == 1  # its barcode stands in the matrix


@pytest.mark.parametrize(
    ("word", "said"), [("maybe", "something other than 0 and 1"), ("0", "no spot lies under tissue")]
)
def test_what_positions_say_of_tissue(tmp_path, word, said):
    visium.outs(tmp_path, COUNTS, ["A", "B", "C", "D"])
    path = tmp_path / "outs" / "spatial" / "tissue_positions.csv"
    path.write_text(path.read_text().replace("-1,1,", f"-1,{word},"))
    with pytest.raises(SampleError, match=said):
        read_expression(Sample("S", "P", tmp_path, tmp_path, "visium"))


@pytest.mark.parametrize("true", ["True", "TRUE", "1.0"])
def test_words_for_under_tissue(tmp_path, true):
    visium.outs(tmp_path, COUNTS, ["A", "B", "C", "D"])
    path = tmp_path / "outs" / "spatial" / "tissue_positions.csv"
    path.write_text(path.read_text().replace("-1,1,", f"-1,{true},").replace("-1,0,", "-1,False,"))
    assert read_expression(Sample("S", "P", tmp_path, tmp_path, "visium")).n_obs == 6


def test_a_matrix_that_is_no_file_is_not_waited_for(tmp_path):
    visium.outs(tmp_path, COUNTS, ["A", "B", "C", "D"])
    path = tmp_path / "outs" / "filtered_feature_bc_matrix.h5"
    path.unlink()
    shutil.copy("/dev/null", path)
    with pytest.raises(SampleError, match="cannot read"):
        read_expression(Sample("S", "P", tmp_path, tmp_path, "visium"))
