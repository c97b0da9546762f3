"""An h5ad file: what it says of itself is read or refused. In this process: `test_apart` has the other one."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import h5ad_file
from support.h5ad import CENTRES, COUNTS, GENES, made, text


def read(tmp_path, change=lambda data: None, damage=lambda file: None):
    return h5ad_file.read(made(tmp_path / "d.h5ad", change, damage))


def dense(counts):
    kind = sp.csc_matrix if counts.by_columns else sp.csr_matrix
    shape = (len(counts.spots), len(counts.genes))
    return kind((counts.data, counts.indices, counts.indptr), shape=shape).toarray()


def table(**columns):
    def change(data):
        data.obsm["spatial"] = pd.DataFrame(columns, index=data.obs_names)

    return change


def only_obs(**columns):
    def change(data):
        del data.obsm["spatial"]
        for name, values in columns.items():
            data.obs[name] = values

    return change


X, Y = CENTRES.T


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_counts_of_every_kind_of_matrix(tmp_path, kind):
    def change(data):
        data.X = kind(data.X)

    counts = read(tmp_path, change)
    assert np.array_equal(dense(counts), COUNTS)
    assert counts.genes == GENES
    assert np.array_equal(counts.centres, CENTRES)
    assert counts.says == []


def test_what_r_writes_as_a_list_of_one(tmp_path):
    """rhdf5 writes attributes and single numbers so; and R's numbers are floating ones."""

    def change(data):
        data.X = sp.csc_matrix(data.X)
        data.uns["spatial"] = {"S": {"images": {}, "scalefactors": {"spot_diameter_fullres": 89.5}}}

    def listed(name, node):
        for key, value in node.attrs.items():
            if isinstance(value, str):
                node.attrs.create(key, np.array([value], dtype=object), dtype=h5py.string_dtype())
        if isinstance(node, h5py.Group) and "indptr" in node:
            node.attrs["shape"] = node.attrs["shape"].astype(float)

    def damage(file):
        file.visititems(listed)
        factors = file["uns/spatial/S/scalefactors"]
        del factors["spot_diameter_fullres"]
        factors["spot_diameter_fullres"] = [89.5]

    counts = read(tmp_path, change, damage)
    assert np.array_equal(dense(counts), COUNTS)
    assert counts.genes == GENES
    assert counts.frame == {"spot_diameter": 89.5}


@pytest.mark.parametrize(
    "change",
    [
        table(pxl_row_in_fullres=Y, pxl_col_in_fullres=X),
        table(y=Y, x=X),
        table(imagerow=Y, imagecol=X),
        table(row=Y, col=X),
        table(array_row=Y / 10, array_col=X / 100, pxl_row_in_fullres=Y, pxl_col_in_fullres=X),
        table(**{"0": X, "1": Y}),
        only_obs(y_pixel=Y, x_pixel=X),
        only_obs(pxl_row_in_fullres=Y, pxl_col_in_fullres=X, row=Y / 10, col=X / 100),
    ],
)
def test_centres_by_the_names_of_their_columns(tmp_path, change):
    assert np.array_equal(read(tmp_path, change).centres, CENTRES)


def test_a_record_array_counts_by_its_names(tmp_path):
    records = np.rec.fromarrays([Y, X], names=["row", "col"])
    assert np.array_equal(read(tmp_path, lambda data: data.obsm.update(spatial=records)).centres, CENTRES)


def test_rows_of_a_table_are_joined_by_name(tmp_path):
    def damage(file):
        names = file["obsm/spatial/_index"][()][::-1]
        file["obsm/spatial/_index"][...] = names
        for column in ("x", "y"):
            file[f"obsm/spatial/{column}"][...] = file[f"obsm/spatial/{column}"][()][::-1]

    assert np.array_equal(read(tmp_path, table(x=X, y=Y), damage).centres, CENTRES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (table(x_um=X, y_um=Y), "name those of the spot centres"),
        (only_obs(array_row=Y / 10, array_col=X / 100), "no obsm"),
        (only_obs(row=np.arange(6), col=np.arange(6)), "only places on the array"),
        (table(x=["a"] * 6, y=Y), "holds no numbers"),
        (table(x=X + 1j, y=Y), "complex"),
    ],
)
def test_what_gives_no_centres_is_refused(tmp_path, change, said):
    with pytest.raises(SampleError, match=said):
        read(tmp_path, change)


@pytest.mark.parametrize("column", ["in_tissue", "In Tissue", "array in_tissue", "selected"])
@pytest.mark.parametrize("values", [[1, 1, 0, 1, 0, 1], pd.Categorical(["1", "1", "0", "1", "0", "1"])])
def test_what_lies_under_tissue_is_read(tmp_path, column, values):
    counts = read(tmp_path, lambda data: data.obs.insert(0, column, values))
    assert counts.under_tissue.tolist() == [True, True, False, True, False, True]


def test_a_table_of_places_may_say_what_lies_under_tissue(tmp_path):
    counts = read(tmp_path, table(in_tissue=[1, 0, 1, 1, 1, 1], x=X, y=Y))
    assert counts.under_tissue.tolist() == [True, False, True, True, True, True]


def test_what_it_says_of_tissue_otherwise_is_ignored_and_told(tmp_path):
    counts = read(tmp_path, lambda data: data.obs.insert(0, "selected", ["tumour"] * 6))
    assert counts.under_tissue is None
    assert counts.says == ["selected is ignored: it holds something other than 0 and 1"]


def chosen(raw=None, layer=None, x=None):
    """Counts of two genes in X, as after choosing variable genes; more in raw."""

    def change(data):
        whole = data.copy()
        keep = data[:, :2].copy()
        if raw is not None:
            whole.X = raw(whole.X)
            keep.raw = whole
        if layer is not None:
            keep.layers["counts"] = layer(keep.X.copy())
        if x is not None:
            keep.X = x(keep.X)
        return keep

    return change


def same(values):
    return values


@pytest.mark.parametrize(
    ("change", "genes"),
    [
        (chosen(raw=same, layer=same, x=np.log1p), 4),
        (chosen(raw=same, x=np.log1p), 4),
        (chosen(raw=np.log1p, layer=same, x=np.log1p), 2),
        (chosen(raw=lambda v: (v > 0).astype(np.float32)), 2),
    ],
)
def test_of_several_matrices_of_counts_that_of_most_genes_is_taken(tmp_path, change, genes):
    assert len(read(tmp_path, change).genes) == genes


def test_a_part_of_the_library_is_told(tmp_path):
    def change(data):
        data.obs["total_counts"] = np.asarray(data.X).sum(axis=1)
        return data[:, :2].copy()

    (says,) = read(tmp_path, change).says
    assert says.startswith("its counts cover only some of the genes: 23 in the median spot of 50")


BAD = {
    "normalised": lambda v: v / v.sum(axis=1, keepdims=True),
    "logarithms": np.log1p,
    "infinite": lambda v: np.where(v == 5, np.inf, v),
    "not a number": lambda v: np.where(v == 5, np.nan, v),
    "negative": lambda v: np.where(v == 5, -1, v),
    "huge": lambda v: np.where(v == 5, 1e30, v),
    "complex": lambda v: v + 1j,
    "nothing": np.zeros_like,
    "bool": lambda v: v > 5,
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("matrix", [np.asarray, sp.csr_matrix])
def test_what_is_no_count_is_refused(tmp_path, kind, matrix):
    def change(data):
        data.X = matrix(BAD[kind](np.asarray(data.X)))

    with pytest.raises(SampleError, match="holds no raw counts"):
        read(tmp_path, change)


def test_ids_in_the_index_and_symbols_beside_them(tmp_path):
    ids = [f"ENSG{i:011d}" for i in range(4)]

    def change(data):
        data.var["feature_name"] = pd.Categorical(GENES)
        data.var_names = [f"{i}.3" for i in ids]

    counts = read(tmp_path, change)
    assert counts.genes == GENES
    assert counts.ids == ids


def test_spots_of_two_slides_in_one_file_are_refused(tmp_path):
    def change(data):
        data.obs["library_id"] = ["A", "A", "A", "B", "B", "B"]
        data.uns["spatial"] = {"A": {"scalefactors": {}}, "B": {"scalefactors": {}}}

    with pytest.raises(SampleError, match="spots of 2 slides"):
        read(tmp_path, change)


def external(file):
    del file["X"]
    made_of = [("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("X", (6, 4), "u1", external=made_of)


def virtual(file):
    del file["X"]
    layout = h5py.VirtualLayout((6, 4), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "X", (6, 4))
    file.create_virtual_dataset("X", layout)


def linked(file):
    del file["X"]
    file["X"] = h5py.ExternalLink("other.h5", "/X")


def sparse(data=(1, 2, 3), indices=(0, 1, 2), indptr=(0, 1, 2, 3, 3, 3, 3), shape=(6, 4), kind="csr_matrix"):
    def damage(file):
        del file["X"]
        group = file.create_group("X")
        group.attrs.update({"encoding-type": kind, "encoding-version": "0.1.0"})
        group.attrs["shape"] = np.array(shape)
        for name, values in (("data", data), ("indices", indices), ("indptr", indptr)):
            group[name] = np.array(values)

    return damage


def huge(file):
    del file["X"]
    file.create_dataset("X", (10**9, 10**9), "f4", chunks=(1000, 1000))


def replaced(place, values):
    def damage(file):
        del file[place]
        file[place] = values

    return damage


def huge_names(file):
    del file["obs/_index"]
    file.create_dataset("obs/_index", (10**12,), "i8", chunks=(1000,))


DAMAGED = {
    "external storage": (external, "keeps its data in another file"),
    "virtual": (virtual, "put together from other files"),
    "external link": (linked, "is a link"),
    "soft link in a circle": (lambda f: f.__setitem__("uns/l", h5py.SoftLink("/uns")), "uns/l is a link"),
    "index outside": (sparse(indices=(0, 99999999, 2)), "outside of the matrix"),
    "negative index": (sparse(indices=(0, -1, 2)), "outside of the matrix"),
    "falling rows": (sparse(indptr=(0, 2, 1, 3, 3, 3, 3)), "do not belong together"),
    "rows begin late": (sparse(indptr=(1, 1, 2, 3, 3, 3, 3)), "do not belong together"),
    "too few rows": (sparse(indptr=(0, 3)), "do not belong together"),
    "other lengths": (sparse(indices=(0, 1)), "do not belong together"),
    "broken indices": (sparse(indices=(0.5, 1, 2)), "not whole numbers"),
    "other shape": (sparse(shape=(6, 5)), "has the shape"),
    "columns outside": (sparse(indptr=(0, 3, 3, 3, 3), indices=(9, 9, 9), kind="csc_matrix"), "outside of the matrix"),
    "larger than the file": (huge, "has the shape"),
    "names without end": (huge_names, "the file is far too small"),
    "no genes": (lambda f: f.__delitem__("var"), "no obs and var"),
    "fewer centres": (replaced("obsm/spatial", CENTRES[:3]), "6 spots, but 3 centres"),
    "one axis": (replaced("obsm/spatial", X), "not two numbers"),
    "text as X": (replaced("X", "text"), "has the shape"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_hostile_or_damaged_is_refused(tmp_path, kind):
    damage, said = DAMAGED[kind]
    with pytest.raises(SampleError, match=said) as caught:
        read(tmp_path, damage=damage)
    assert "\n" not in str(caught.value)


def test_groups_in_a_circle_of_hard_links_do_no_harm(tmp_path):
    assert read(tmp_path, damage=lambda f: f.__setitem__("uns/again", f["uns"])).genes == GENES


def test_groups_without_end_are_refused(tmp_path):
    with pytest.raises(SampleError, match="deep"):
        read(tmp_path, damage=lambda f: f.create_group("uns/" + "g/" * 100))


BARCODES = [
    "AAACAAGTATCTCCCA",
    "AAACACCAATAACTGC",
    "AAACAGAGCGACTCCT",
    "AAACAGCTTTCAGAAG",
    "AAACAGGGTCTATATT",
    "AAACAGTGTTCCTGGG",
]


def joined(data, places=lambda centres: centres + 7, **columns):
    """Two sections in one file, as after anndata.concat, which keeps no picture."""
    other = data.copy()
    other.obsm["spatial"] = places(other.obsm["spatial"])
    return ad.concat([data, other], index_unique="-", **columns)


def with_barcodes(data):
    data.obs_names = [f"{b}-1" for b in BARCODES]
    return data


def with_array(data):
    data.obs["array_row"], data.obs["array_col"] = np.arange(6), 2 * np.arange(6)
    return data


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: joined(data, label="library_id"), r"obs\['library_id'\]"),
        (lambda data: joined(with_barcodes(data)), "barcodes that occur twice"),
        (lambda data: joined(with_array(data)), "places on the array that occur twice"),
        (lambda data: joined(data, lambda centres: centres), "spot centres that occur twice"),
    ],
)
def test_sections_that_were_joined_are_refused(tmp_path, change, said):
    with pytest.raises(SampleError, match=f"several slides, whose places lie on one another, by {said}"):
        read(tmp_path, change)


def test_two_arrays_side_by_side_on_one_slide_are_read(tmp_path):
    def change(data):
        return joined(with_array(with_barcodes(data)), lambda centres: centres + 5000, label="batch")

    assert len(read(tmp_path, change).spots) == 12


def test_what_is_no_gene_is_left_out_and_told(tmp_path):
    def change(data):
        data.var["feature_types"] = ["Gene Expression", "Antibody Capture", "Gene Expression", "Gene Expression"]
        data.obs["total_counts"] = 1e6  # of all features

    for kind in (np.asarray, sp.csr_matrix, sp.csc_matrix):
        counts = read(tmp_path, lambda data, kind=kind: (change(data), setattr(data, "X", kind(data.X)))[0])
        assert np.array_equal(dense(counts), COUNTS[:, [0, 2, 3]])
        assert counts.genes == ["A", "C", "D"]
        assert counts.says == ["1 features that are not genes are left out (Antibody Capture)"]
    with pytest.raises(SampleError, match="no counts of genes, but of Antibody Capture"):
        read(tmp_path, lambda data: data.var.insert(0, "feature_types", ["Antibody Capture"] * 4))


@pytest.mark.parametrize(
    "change", [lambda data: data.T.copy(), lambda data: ad.AnnData(data.X.T, var=with_barcodes(data).obs)]
)
def test_genes_in_rows_are_refused(tmp_path, change):
    with pytest.raises(SampleError, match="genes in its rows and spots in its columns"):
        read(tmp_path, change)


def test_a_matrix_turned_against_its_tables_is_refused(tmp_path):
    with pytest.raises(SampleError, match="X has genes in its rows"):
        read(tmp_path, damage=replaced("X", COUNTS.T))


def pictures(*names, **obs):
    def change(data):
        factors = {"tissue_hires_scalef": 0.1}
        data.uns["spatial"] = {"is_single": True} | {
            name: {"images": {"hires": np.zeros((20 + i, 30, 3))}, "scalefactors": factors}
            for i, name in enumerate(names)
        }
        for column, value in obs.items():
            data.obs[column] = value

    return change


@pytest.mark.parametrize(
    ("change", "height"),
    [
        (pictures("z"), 200),  # CELLxGENE writes is_single beside it
        (pictures("a", "b", library_id="b"), 210),
        (pictures("a", "b"), None),
    ],
)
def test_the_picture_of_these_spots(tmp_path, change, height):
    assert read(tmp_path, change).frame.get("shape") == (height and (height, 300.0))


def test_rows_and_columns_of_the_array_are_read(tmp_path):
    assert read(tmp_path, with_array).array.tolist() == [[i, 2 * i] for i in range(6)]
    assert read(tmp_path, only_obs(array_row="a", array_col="b", x=X, y=Y)).array is None


@pytest.mark.parametrize("name", ["spatial", "X_spatial", "Spatial", "X_Spatial"])
def test_names_of_the_centres(tmp_path, name):
    def change(data):
        data.obsm[name] = np.c_[data.obsm.pop("spatial"), np.zeros(6)]  # with a depth

    assert np.array_equal(read(tmp_path, change).centres, CENTRES)


def test_other_places_are_named(tmp_path):
    with pytest.raises(SampleError, match=r"if one of obsm\['spatial3d'\] holds them, name it so"):
        read(tmp_path, lambda data: data.obsm.update(spatial3d=data.obsm.pop("spatial")))


SEURAT = {"row": Y / 10, "col": X / 100, "imagerow": Y, "imagecol": X}


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda d: d.obs.insert(0, "in_tissue", [np.nan, 1, 0, 1, 1, 1]), [0, 1, 0, 1, 1, 1]),
        (only_obs(tissue=[1, 1, 0, 1, 1, 1], **SEURAT), [1, 1, 0, 1, 1, 1]),
        (only_obs(tissue=["lung"] * 6, x=X, y=Y), None),
    ],
)
def test_tissue_as_scanpy_and_seurat_name_it(tmp_path, change, kept):
    under = read(tmp_path, change).under_tissue
    assert (under if kept is None else under.tolist()) == kept


def test_pixels_that_obs_has_the_other_way_round_are_told(tmp_path):
    (says,) = read(tmp_path, lambda d: also(d, X, Y)).says
    assert says.endswith("are exchanged: which are right?")
    assert read(tmp_path, lambda d: also(d, Y, X)).says == []


def also(data, row, col):
    data.obs["pxl_row_in_fullres"], data.obs["pxl_col_in_fullres"] = row, col


def test_corrected_counts_are_told(tmp_path):
    (says,) = read(
        tmp_path, lambda d: d.obs.insert(0, "nCount_Spatial", np.asarray(d.X).sum(axis=1) * [1, 1, 0.5, 1, 1, 1])
    ).says
    assert says.startswith('1 spots have more counts than obs["nCount_Spatial"] says')


def test_two_genomes_are_told_and_their_names_are_plain(tmp_path):
    def change(data):
        data.var_names = ["GRCh38_A", "GRCh38_B", "mm10___A2", "mm10___B2"]
        data.var["gene_ids"] = ["GRCh38_ENSG00000000001", "GRCh38_ENSG00000000002"] + [
            f"mm10___ENSMUSG0000000000{i}" for i in (1, 2)
        ]

    counts = read(tmp_path, change)
    assert counts.genes == ["A", "B", "A2", "B2"]
    assert counts.ids[:3] == ["ENSG00000000001", "ENSG00000000002", "ENSMUSG00000000001"]
    assert counts.says == ["its genes are of 2 genomes (GRCh38, mm10)"]


def test_files_of_old_anndata(tmp_path):
    """A table as a record array, a sparse matrix by h5sparse's attributes, raw.X and categories kept apart."""

    def damage(file):
        for name in ("obs", "var", "X"):
            del file[name]
        rows = [(text(s), 1) for s in ("a", "b", "c", "d", "e", "f")]
        file["obs"] = np.array(rows, dtype=[("index", "S8"), ("in_tissue", "i8")])
        file["var"] = np.array([(text(g),) for g in GENES], dtype=[("index", "S8")])
        matrix, group = sp.csr_matrix(COUNTS), file.create_group("X")
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", matrix.shape
        group["data"], group["indices"], group["indptr"] = matrix.data, matrix.indices, matrix.indptr

    counts = read(tmp_path, damage=damage)
    assert np.array_equal(dense(counts), COUNTS)
    assert counts.spots == list("abcdef")
    assert counts.genes == GENES
    assert counts.under_tissue.all()


def test_every_column_that_anndata_writes_is_read(tmp_path):
    def change(data):
        data.obs["in_tissue"] = pd.array([True, None, False, True, True, True], dtype="boolean")
        data.obs["x_pixel"] = pd.array([1, 2, 3, 4, 5, 6000], dtype="Int64")
        data.obs["y_pixel"] = pd.Categorical(["1", "2", "3", "4", "5", "6"])
        del data.obsm["spatial"]

    counts = read(tmp_path, change)
    assert counts.centres.tolist() == [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5], [6000, 6]]
    assert any("in_tissue" in says for says in counts.says)  # not known of one spot


def test_the_facts_of_a_file(tmp_path):
    path = made(tmp_path / "d.h5ad", lambda data: data.obs.insert(0, "patient", pd.Categorical(["P1"] * 6)))
    assert h5ad_file.facts(path) == {"patient": "P1", "prediction": False}
    path = made(tmp_path / "e.h5ad", lambda data: data.uns.update(patient="P2", nh2st={"content": "x"}))
    assert h5ad_file.facts(path) == {"patient": "P2", "prediction": True}


def test_the_image_of_the_spots(tmp_path):
    def change(data):
        library = {"images": {"hires": np.zeros((20, 30, 3))}, "scalefactors": {"tissue_hires_scalef": 0.1}}
        data.uns["spatial"] = {"A": library}

    assert read(tmp_path, change).frame["shape"] == (200.0, 300.0)


def test_the_same_as_anndata_reads(tmp_path):
    path = made(tmp_path / "d.h5ad")
    assert np.array_equal(dense(h5ad_file.read(path)), ad.read_h5ad(path).X)
