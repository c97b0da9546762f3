"""What every format of the table has to keep, whatever it is."""

import csv
import dataclasses
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.formats import EXPORTERS, export, export_path, format_of, sidecar_path
from support.predictions import GENES, prediction

pytestmark = pytest.mark.filterwarnings("ignore:exported without a tissue image")


def _read_h5ad(path):
    import anndata

    adata = anndata.read_h5ad(path)
    return (
        adata.obs_names.tolist(),
        adata.obsm["spatial"],
        np.asarray(adata.X),
        adata.var_names.tolist(),
        dict(adata.uns["nh2st"]),
    )


def _read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    values = np.array([[np.float32(v) for v in r[7:]] for r in rows])
    centres = np.array([[float(v) for v in r[3:5]] for r in rows])
    return [r[0] for r in rows], centres, values, head[7:], json.loads(sidecar_path(path).read_text(encoding="utf-8"))


def _read_parquet(path):
    import pandas as pd

    table = pd.read_parquet(path)
    record = table.attrs["nh2st"]
    genes = list(record["genes"])
    assert (table[genes].dtypes == np.float32).all()
    assert list(table.columns)[-len(genes) :] == genes
    return table["tile"].tolist(), table[["x_px", "y_px"]].to_numpy(), table[genes].to_numpy(), genes, record


READERS = {"h5ad": _read_h5ad, "csv": _read_csv, "parquet": _read_parquet}


def test_every_format_is_read_back_here():
    assert set(READERS) == set(EXPORTERS)


@pytest.fixture(params=sorted(EXPORTERS))
def name(request):
    _needs_package(request.param)
    return request.param


def _needs_package(name):
    if EXPORTERS[name].package:
        pytest.importorskip(EXPORTERS[name].package, reason="the extra “test” brings it")


def test_the_table_says_what_a_menu_needs(name):
    exporter = EXPORTERS[name]
    assert exporter.name == name
    assert exporter.suffix.startswith(".")
    assert exporter.description


@pytest.mark.parametrize("lattice", [True, False])
def test_values_centres_and_provenance_come_back(name, lattice, tmp_path):
    made = prediction(lattice=lattice, scale=1.7)
    path = export(made, name, tmp_path / f"out{EXPORTERS[name].suffix}")
    ids, centres, values, genes, record = READERS[name](path)
    done = made.only_done()
    assert 0 < len(ids) == len(done) < len(made)
    assert len(set(ids)) == len(ids)
    assert genes == GENES
    np.testing.assert_array_equal(centres, done.places.centres)
    np.testing.assert_allclose(values, done.matrix(), rtol=1e-6, atol=1e-6)
    assert record["unit"] == "ln(1 + counts per 10,000)"
    assert record["model"] == "test-model"
    assert record["model_hash"] == "abc"
    assert record["precision"] == "fp32"
    assert record["synthetic"]
    assert "not a measurement" in record["content"]


def test_genes_are_chosen_and_ordered(name, tmp_path):
    path = export(prediction(), name, tmp_path / "out", genes=["IGKC", "ERBB2", "IGKC"])
    _, _, values, genes, _ = READERS[name](path)
    assert genes == ["IGKC", "ERBB2"]
    np.testing.assert_allclose(values, prediction().only_done().matrix(genes), rtol=1e-6, atol=1e-6)


def test_a_tile_has_the_same_name_in_every_run(name, tmp_path):
    whole = prediction(undone=0)
    part = prediction(undone=40)
    names = [READERS[name](export(p, name, tmp_path / f"{i}"))[0] for i, p in enumerate((whole, part))]
    assert names[0][: len(names[1])] == names[1]
    assert names[0][0] == "r0000_c0000"


def test_a_missing_gene_is_named(name, tmp_path):
    with pytest.raises(KeyError, match="does not predict TP53, KRAS"):
        export(prediction(), name, tmp_path / "out", genes=["TP53", "ERBB2", "KRAS"])
    with pytest.raises(Nh2stError, match="no gene"):
        export(prediction(), name, tmp_path / "out", genes=[])
    assert not list(tmp_path.iterdir())


def test_an_empty_prediction_is_refused(name, tmp_path):
    empty = prediction()
    empty.hidden[:] = np.nan
    with pytest.raises(Nh2stError, match="nothing is predicted yet"):
        export(empty, name, tmp_path / "out")
    with pytest.raises(Nh2stError, match="nothing is predicted yet"):
        export(prediction(size=(0, 0), undone=0), name, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_replaced(name, tmp_path):
    path = tmp_path / f"out{EXPORTERS[name].suffix}"
    path.write_text("something else")
    assert export(prediction(), name, path) == path
    export(prediction(), name, path, genes=["CD74"])
    assert READERS[name](path)[3] == ["CD74"]


def test_names_beyond_ascii(name, tmp_path):
    path = export(prediction(slide_path=tmp_path / "日本 é.svs"), name, tmp_path / "naïve 癌" / "tumeur é")
    assert path.name == f"tumeur é{EXPORTERS[name].suffix}"
    assert len(READERS[name](path)[0]) > 0


def test_a_folder_gets_the_slides_name(name, tmp_path):
    made = prediction(slide_path="somewhere/case 7.svs")
    assert export(made, name, tmp_path) == tmp_path / f"case 7{EXPORTERS[name].suffix}"
    assert export_path(made, name, tmp_path / "a.b").name == f"a.b{EXPORTERS[name].suffix}"


def test_a_failing_write_leaves_nothing(name, tmp_path, monkeypatch):
    def write(*given):
        EXPORTERS[name].write(*given)
        raise OSError("the disk is full")

    old = tmp_path / f"old{EXPORTERS[name].suffix}"
    old.write_text("old")
    broken = dataclasses.replace(EXPORTERS[name], write=write)
    with monkeypatch.context() as patch:
        patch.setattr("napari_nh2st.formats.EXPORTERS", {name: broken})
        for path in (old, tmp_path / "new"):
            with pytest.raises(OSError, match="disk is full"):
                export(prediction(), name, path)
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]


def test_a_stopped_export_leaves_nothing(name, tmp_path):
    def stop(share):
        raise Cancelled

    with pytest.raises(Cancelled):
        export(prediction(), name, tmp_path / "a", progress=stop)
    assert not list(tmp_path.iterdir())


def test_progress_grows_to_one(name, tmp_path):
    shares = []
    export(prediction(), name, tmp_path / "a", progress=shares.append)
    assert shares == sorted(shares)
    assert shares[0] < shares[-1] == 1


def test_the_ending_names_the_format(name):
    for suffix in EXPORTERS[name].suffixes:
        assert format_of(f"some.where/a.b{suffix.upper()}") == name
    assert format_of("a.docx") is None


def test_a_missing_package_is_named_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_nh2st.formats.find_spec", lambda package: None)
    with pytest.raises(Nh2stError, match=r"needs pyarrow.*napari-nh2st\[parquet\]"):
        export(prediction(), "parquet", tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_an_unknown_format_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(Nh2stError, match="h5ad, csv"):
        export(prediction(), "docx", tmp_path / "a")


_WITHOUT_TORCH = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "lightning", "qtpy", "napari", "magicgui", "superqt"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
sys.path.insert(0, sys.argv[2])
from support.predictions import prediction
from napari_nh2st.formats import export
for name in sys.argv[3:]:
    print(export(prediction(), name, sys.argv[1]))
"""


def test_exports_without_torch_and_napari(tmp_path):
    tests = Path(__file__).parents[1]
    names = [name for name, exporter in EXPORTERS.items() if not exporter.package or find_spec(exporter.package)]
    command = [sys.executable, "-W", "ignore", "-c", _WITHOUT_TORCH, str(tmp_path), str(tests), *names]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    assert len(out.stdout.splitlines()) == len(names)
