import gzip
import subprocess
import sys
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import FORMATS, Sample, choose_panel, labels, read_expression, read_sheet
from napari_nh2st.expression.counts import doubtful_counts
from support import visium
from support.slides import picture, tiff

GENES = ["A", "B", "C", "D"]


def st_tsv(folder, counts=None, order=None):
    """Counts of six spots; their positions in another order, with a spot more."""
    names = [f"{x}x{y}" for y in (1, 2) for x in (3, 4, 5)]
    counts = np.arange(24).reshape(6, 4) + 1 if counts is None else counts
    table = pd.DataFrame(counts, index=names, columns=GENES)
    with gzip.open(folder / "c.tsv.gz", "wt") as file:
        table.to_csv(file, sep="\t")
    spots = [(x + 0.04, y - 0.03, 100.0 * x, 10.0 * y) for y in (2, 1) for x in (5, 3, 4)] + [(9, 9, 900, 90)]
    where = pd.DataFrame(spots, columns=["new_x", "new_y", "pixel_x", "pixel_y"])
    where.insert(0, "x", where["new_x"].round().astype(int))
    where.insert(1, "y", where["new_y"].round().astype(int))
    where.to_csv(folder / "s.tsv", sep="\t", index=False)
    return Sample("S", "P", folder / "i.tif", folder / "c.tsv.gz", "st-tsv", folder / "s.tsv")


def h5ad(folder):
    data = ad.AnnData(np.arange(24, dtype=np.float32).reshape(6, 4) + 1)
    data.obs_names, data.var_names = [f"spot{i}" for i in range(6)], GENES
    data.obsm["spatial"] = np.stack([np.arange(6) * 100.0, np.arange(6) * 10.0], axis=1)
    data.write_h5ad(folder / "d.h5ad")
    return Sample("S", "P", folder / "i.tif", folder / "d.h5ad", "h5ad")


def visium_sample(folder):
    visium.outs(folder / "V", np.arange(24).reshape(6, 4) + 1, GENES)
    return Sample("S", "P", folder / "i.tif", folder / "V", "visium")


def spots_csv(folder, **more):
    table = pd.DataFrame(np.arange(24).reshape(6, 4) + 1, columns=GENES)
    places = {"place": range(1, 7), "x_px": np.arange(6) * 100.5, "y_px": np.arange(6) * 10.0, "spread": 0.5}
    pd.DataFrame({**places, **table, **more}).to_csv(folder / "few.csv", index=False)
    return Sample("S", "P", folder / "i.tif", folder / "few.csv", "spots-csv")


def hest(folder):
    sample = h5ad(folder)
    for name in ("st", "metadata"):
        (folder / name).mkdir()
    (folder / "metadata" / "S.json").write_text('{"pixel_size_um_estimated": 0.5, "patient": "P"}')
    return replace(sample, expression=sample.expression.rename(folder / "st" / "S.h5ad"), format="hest")


WRITERS = {"st-tsv": st_tsv, "h5ad": h5ad, "visium": visium_sample, "spots-csv": spots_csv, "hest": hest}
SPOTS = [name for name, row in FORMATS.items() if not row.pools]  # the others: tests/contract/test_assays_contract.py


@pytest.mark.parametrize("name", SPOTS)
def test_every_format_gives_counts_and_places(name, tmp_path):
    data = read_expression(WRITERS[name](tmp_path))
    assert data.shape == (6, 4)
    assert list(data.var_names) == GENES
    assert data.obsm["spatial"].shape == (6, 2)
    assert np.array_equal(data.obs["total_counts"], np.asarray(data.X.sum(axis=1)).ravel())
    assert data.X.dtype == np.float32


def test_spots_are_joined_by_id_whatever_the_order(tmp_path):
    data = read_expression(st_tsv(tmp_path))
    for i, name in enumerate(data.obs_names):
        x, y = map(int, name.split("x"))
        assert data.obsm["spatial"][i].tolist() == [100 * x, 10 * y]
        assert data[name].X.toarray()[0].tolist() == [4 * i + 1, 4 * i + 2, 4 * i + 3, 4 * i + 4]


def test_a_spot_dropped_from_the_counts_misaligns_nothing(tmp_path):
    whole = read_expression(st_tsv(tmp_path))
    table = pd.read_csv(tmp_path / "c.tsv.gz", sep="\t", index_col=0).drop("4x1")
    table.to_csv(tmp_path / "c.tsv.gz", sep="\t")
    less = read_expression(Sample("S", "P", tmp_path, tmp_path / "c.tsv.gz", "st-tsv", tmp_path / "s.tsv"))
    assert "4x1" not in less.obs_names
    assert len(less) == 5
    for name in less.obs_names:
        assert np.array_equal(less[name].obsm["spatial"], whole[name].obsm["spatial"])
        assert np.array_equal(less[name].X.toarray(), whole[name].X.toarray())


def test_spots_without_counts_are_dropped_and_counted(tmp_path):
    counts = np.arange(24).reshape(6, 4)
    counts[2] = 0
    data = read_expression(st_tsv(tmp_path, counts))
    assert data.n_obs == 5
    assert data.uns["nh2st"]["dropped"] == 1


@pytest.mark.parametrize("bad", [np.full((6, 4), 0.5), np.full((6, 4), -1), np.zeros((6, 4))])
def test_what_is_not_counts_is_refused(tmp_path, bad):
    with pytest.raises(SampleError, match="no raw counts"):
        read_expression(st_tsv(tmp_path, bad))


def test_labels_are_the_recipe_by_hand_and_by_scanpy(tmp_path):
    data = read_expression(st_tsv(tmp_path))
    found = labels(data, ["C", "A"])
    counts = data.X.toarray()
    by_hand = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)[:, [2, 0]]
    assert np.allclose(found, by_hand, atol=1e-5)
    again = data.copy()
    sc.pp.normalize_total(again, target_sum=1e4)
    sc.pp.log1p(again)
    assert np.allclose(found, again.X.toarray()[:, [2, 0]])
    assert np.array_equal(counts, data.X.toarray())  # the counts stay as they are


def test_torch_keeps_its_threads(tmp_path):
    """In a process of its own: numba starts its threads once."""
    st_tsv(tmp_path)
    code = """
import sys, numba, torch
from pathlib import Path
from napari_nh2st.expression import Sample, read_expression
from napari_nh2st.expression.labels import normalised
folder = Path(sys.argv[1])
torch.set_num_threads(1)
normalised(read_expression(Sample("S", "P", folder, folder / "c.tsv.gz", "st-tsv", folder / "s.tsv")))
numba.threading_layer()  # an error where numba has started none
print(torch.get_num_threads())
"""
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert told.stdout == "1\n", told.stderr


def test_the_library_is_taken_over_all_genes_not_over_the_panel(tmp_path):
    data = read_expression(st_tsv(tmp_path))
    assert labels(data, ["A"]).max() < np.log1p(1e4) - 0.5


def test_panel_is_the_highest_mean_among_shared_genes(tmp_path):
    data = read_expression(st_tsv(tmp_path))
    assert choose_panel([data], 2) == ["D", "C"]
    assert choose_panel([data, data[:, ["A", "C"]].copy()], 5) == ["C", "A"]
    with pytest.raises(SampleError, match="no gene in common"):
        choose_panel([data[:, ["A"]].copy(), data[:, ["B"]].copy()])


def test_panel_is_chosen_by_raw_counts_and_not_by_labels(tmp_path):
    """A: one count in each of five shallow spots. C: eight in one deep spot, which are more, of a lower mean label."""
    counts = np.array([[1, 0, 0, 9]] * 5 + [[0, 0, 8, 1000]])
    data = read_expression(st_tsv(tmp_path, counts))
    of_a, of_c = labels(data, ["A", "C"]).mean(axis=0)
    assert of_a > of_c
    assert choose_panel([data], 3) == ["D", "C", "A"]


def test_an_unmeasured_gene_is_named(tmp_path):
    with pytest.raises(SampleError, match="ZZZ"):
        labels(read_expression(st_tsv(tmp_path)), ["A", "ZZZ"])


def write_sheet(folder, text):
    path = folder / "samples.csv"
    path.write_text(text, "utf-8")
    return path


HEADER = "sample,patient,slide,expression,spots,format,mpp\n"


def test_sheet_paths_are_relative_to_it(tmp_path):
    st_tsv(tmp_path)
    tiff(tmp_path / "i.tif", picture(80, 80))
    sample = read_sheet(write_sheet(tmp_path, HEADER + "S,P,i.tif,c.tsv.gz,s.tsv,st-tsv,0.69\n"))[0]
    assert sample.slide == (tmp_path / "i.tif").resolve()
    assert sample.mpp == 0.69


def test_all_that_is_wrong_with_a_sheet_is_said_at_once(tmp_path):
    sheet = write_sheet(tmp_path, HEADER + "S,P,i.tif,c.tsv,,st-tsv,x\nS,,i.tif,c.tsv,,magic,\n")
    with pytest.raises(SampleError) as error:
        read_sheet(sheet)
    message = str(error.value)
    for part in (
        "needs a file in the column spots",
        "not a number",
        "unknown format 'magic'",
        "patient empty",
        "S is listed twice (lines 2, 3)",
    ):
        assert part in message, part
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "lacks the column"), ("sample,patient\n", "lacks the column slide"), (HEADER, "names no sample")],
)
def test_empty_sheets(tmp_path, text, said):
    with pytest.raises(SampleError, match=said):
        read_sheet(write_sheet(tmp_path, text))
    with pytest.raises(SampleError, match="cannot read"):
        read_sheet(tmp_path / "nowhere.csv")


def test_the_real_sections_join_as_documented(data_dir):
    found = {s.sample: read_expression(s).n_obs for s in read_sheet(data_dir / "her2st" / "samples.csv")}
    assert found == {"B4": 283, "C2": 187, "C3": 180, "C4": 184, "C5": 181}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda counts: (counts > 100).astype(int), "its counts are only 0 and 1"),
        (
            lambda counts: np.round(counts / counts.sum(axis=1, keepdims=True) * 1e4),
            "all spots have about 10,000 counts",
        ),
        (lambda counts: counts, None),
    ],
)
def test_whole_numbers_that_are_no_counts_are_told(change, said):
    rng = np.random.default_rng(0)
    counts = change(rng.poisson(100, (40, 30)) * rng.integers(1, 4, (40, 1)))
    says = doubtful_counts(counts[counts > 0], counts.sum(axis=1))
    assert [text.startswith(said) for text in says] == [True] * (said is not None)
