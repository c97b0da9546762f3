"""What every format of the table has to keep, whatever it is."""

import csv
import dataclasses
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_nh2st.annotations import read_annotations
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.formats import (
    EXPORTERS,
    IMPORTERS,
    export,
    export_path,
    format_of,
    is_export,
    read_export,
    record_in,
    sidecar_path,
)
from napari_nh2st.formats.display import Display
from napari_nh2st.formats.importer import display_of
from napari_nh2st.formats.selection import Selection
from napari_nh2st.geometry import Box
from napari_nh2st.targets import TARGETS, SpotCounts
from support.predictions import GENES, card, prediction

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
    genes = list(record["gene_facts"])
    assert (table[genes].dtypes == np.float32).all()
    assert list(table.columns)[-len(genes) :] == genes
    return table["tile"].tolist(), table[["x_px", "y_px"]].to_numpy(), table[genes].to_numpy(), genes, record


def _read_geojson(path):
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["type"] == "FeatureCollection"
    record, features = document["nh2st"], document["features"]
    genes = list(record["gene_facts"])
    assert {f["type"] for f in features} == {"Feature"}
    assert {f["properties"]["objectType"] for f in features} == {"tile"}
    rings = np.array([f["geometry"]["coordinates"][0] for f in features])
    np.testing.assert_array_equal(rings[:, 0], rings[:, 4])
    values = np.array([[np.float32(f["properties"]["measurements"][g]) for g in genes] for f in features])
    return [f["properties"]["name"] for f in features], rings[:, [0, 2]].mean(axis=1), values, genes, record


def _read_ome_tiff(path):
    import tifffile

    with tifffile.TiffFile(path) as file:
        series, record = file.series[0], tifffile.xml2dict(file.ome_metadata)["OME"]
        image, axes = series.asarray(), series.axes
    pixels = record["Image"]["Pixels"]
    channels, planes = (x if isinstance(x, list) else [x] for x in (pixels["Channel"], pixels["Plane"]))
    notes, facts = (
        {entry["K"]: entry["value"] for entry in _several(note["Value"]["M"])}
        for note in record["StructuredAnnotations"]["MapAnnotation"]
    )
    assert axes[-2:] == "YX"
    assert pixels["PhysicalSizeXUnit"] == planes[0]["PositionXUnit"] == "µm"
    genes = [channel["Name"] for channel in channels]
    assert list(facts) == genes
    mpp = float(notes["mpp"])
    side, corner = (np.array([v + "X", v + "Y"]) for v in ("PhysicalSize", "Position"))
    side = np.array([pixels[key] for key in side]) / mpp
    corner = np.array([planes[0][key] for key in corner]) / mpp
    return *_tiles(image.reshape(-1, *image.shape[-2:]), corner + side / 2, side), genes, notes


def _several(entries):
    return entries if isinstance(entries, list) else [entries]


def _read_ome_zarr(path):
    import zarr

    group = zarr.open_group(path, mode="r")
    ome, record = group.attrs["ome"], group.attrs["nh2st"]
    (image,) = ome["multiscales"]
    assert [axis["name"] for axis in image["axes"]] == ["c", "y", "x"]
    scale, translation = image["datasets"][0]["coordinateTransformations"]
    side, centre = (np.array(t[t["type"]][:0:-1]) / record["mpp"] for t in (scale, translation))
    genes = [channel["label"] for channel in ome["omero"]["channels"]]
    assert list(record["gene_facts"]) == genes
    return *_tiles(group["0"][:], centre + 0.5, side), genes, record


def _read_nh2st(path):
    from napari_nh2st.engine.store import open_prediction

    made = open_prediction(path)
    facts = {"unit": made.card.unit, "model": made.card.name, "synthetic": made.card.synthetic}
    record = {**made.provenance, **facts, "content": "hidden vectors, not a measurement"}
    grid = made.places.grid
    names = [f"r{r:04d}_c{c:04d}" for r, c in grid]
    return names, made.places.centres, made.matrix(), made.genes, record


def _read_spatialdata(path):
    import spatialdata
    from spatialdata.models import get_table_keys

    data = spatialdata.read_zarr(path)
    tiles, table = data["tiles"], data["predicted"]
    region, region_key, instance_key = get_table_keys(table)
    assert region == "tiles"
    assert (table.obs[region_key] == region).all()
    assert table.obs[instance_key].tolist() == tiles.index.tolist()
    assert table.obs_names.tolist() == tiles["tile"].tolist()
    centres = np.stack([tiles.centroid.x, tiles.centroid.y], axis=1)
    np.testing.assert_allclose(table.obsm["spatial"], centres)
    assert list(data.attrs["nh2st"]["gene_facts"]) == table.var_names.tolist()
    assert table.uns["nh2st"]["model"] == data.attrs["nh2st"]["model"]
    return tiles["tile"].tolist(), centres, np.asarray(table.X), table.var_names.tolist(), data.attrs["nh2st"]


def _tiles(image, first, side):
    """Return names, centres and values of the tiles in an image (genes, rows, columns)."""
    row, column = np.nonzero(np.isfinite(image).all(axis=0))
    names = [f"r{r:04d}_c{c:04d}" for r, c in zip(row, column, strict=True)]
    return names, first + np.stack([column, row], axis=1) * side, image[:, row, column].T


READERS = {
    "h5ad": _read_h5ad,
    "csv": _read_csv,
    "parquet": _read_parquet,
    "geojson": _read_geojson,
    "ome-tiff": _read_ome_tiff,
    "ome-zarr": _read_ome_zarr,
    "spatialdata": _read_spatialdata,
    "nh2st": _read_nh2st,
}

# Formats that keep a tile's corners or a pixel's size, not its centre: level-0 pixels.
ROUNDING = {"geojson": 1e-9, "ome-tiff": 1e-6, "ome-zarr": 1e-6, "spatialdata": 1e-9}
IN_READERS = ("spatialdata",)  # formats whose package comes with .venv/readers


def test_every_format_is_read_back_here():
    assert set(READERS) == set(EXPORTERS)


def _with_marks(names):
    return [pytest.param(n, marks=[pytest.mark.readers] if n in IN_READERS else []) for n in names]


@pytest.fixture(params=_with_marks(sorted(EXPORTERS)))
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


def test_a_format_needs_no_more_memory_than_it_says_and_streams_where_it_can(name, tmp_path, monkeypatch):
    from napari_nh2st.engine import memory

    need = EXPORTERS[name].memory
    assert 0 < need(1, 1) <= need(100_000, 250) < 600e6
    if name not in ("h5ad", "spatialdata"):
        assert need(100_000, 250) < 4 * 100_000 * 250  # less than the table
    monkeypatch.setattr(memory, "free_memory", lambda: 10**6)
    with pytest.raises(Nh2stError, match=r"not enough memory: writing .* tiles x 4 genes"):
        export(prediction(), name, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lattice", [True, False])
def test_values_centres_and_provenance_come_back(name, lattice, tmp_path):
    made = prediction(lattice=lattice, scale=1.7)
    if EXPORTERS[name].lattice and not lattice:
        with pytest.raises(Nh2stError, match="needs tiles on a lattice"):
            export(made, name, tmp_path)
        return
    path = export(made, name, tmp_path / f"out{EXPORTERS[name].suffix}")
    ids, centres, values, genes, record = READERS[name](path)
    done = made.only_done()
    assert 0 < len(ids) == len(done) < len(made)
    assert len(set(ids)) == len(ids)
    assert genes == GENES
    np.testing.assert_allclose(centres, done.places.centres, rtol=0, atol=ROUNDING.get(name, 0))
    np.testing.assert_allclose(values, done.matrix(), rtol=1e-6, atol=1e-6)
    assert record["unit"] == "ln(1 + counts per 10,000)"
    assert record["model"] == "test-model"
    assert record["model_hash"] == "abc"
    assert record["precision"] == "fp32"
    assert record["synthetic"]
    assert "not a measurement" in record["content"]


@pytest.mark.parametrize("target", TARGETS)
def test_every_format_keeps_the_unit_and_how_labels_are_made(name, target, tmp_path):
    """So that a value is never taken for one in another unit, and a measurement can be put beside it in its own."""
    training = SpotCounts(np.arange(40, dtype=np.float32).reshape(10, 4), np.full(10, 1e3))
    made = prediction()
    made.card = card(label_recipe=target, label_facts=TARGETS[target].learn(training))
    assert TARGETS[target].unit in repr(made)
    path = export(made, name, tmp_path, genes=["IGKC", "ERBB2"])
    *_, record = READERS[name](path)
    assert record["unit"] == TARGETS[target].unit
    back = read_export(path).card
    assert back.unit == TARGETS[target].unit
    columns = made.gene_indices(["IGKC", "ERBB2"])
    part = SpotCounts(training.counts[:, columns], training.depth)
    np.testing.assert_array_equal(back.labels(part), made.card.labels(training)[:, columns])


DISPLAY = Display(genes=("IGKC",), colormap="magma", limits={"IGKC": (0.25, 2.0)}, opacity=0.5)


def test_every_format_that_is_written_is_read():
    assert list(IMPORTERS) == list(EXPORTERS)


@pytest.mark.parametrize("lattice", [True, False])
def test_a_file_opens_again_as_the_prediction_that_it_was(name, lattice, tmp_path):
    made = prediction(lattice=lattice, scale=1.7, slide_path="somewhere/C5.jpg", fingerprint="abc")
    if EXPORTERS[name].lattice and not lattice:
        return
    genes = ["IGKC", 'Weird,"gene"', "ERBB2"]
    path = export(made, name, tmp_path, genes=genes, display=DISPLAY)
    back, done = read_export(path), made.only_done()
    assert is_export(path)
    assert back.genes == genes
    assert back.card == made.card.only(genes)
    assert back.card.trust("ERBB2") == made.card.trust("ERBB2")
    np.testing.assert_allclose(back.places.centres, done.places.centres, rtol=0, atol=1e-6)
    np.testing.assert_allclose(back.matrix(), done.matrix(genes), rtol=1e-6, atol=1e-6)
    assert (back.places.pitch, back.places.scale) == pytest.approx((made.places.pitch, made.places.scale))
    assert back.slide == made.slide
    assert {key: back.provenance[key] for key in made.provenance} == made.provenance
    assert display_of(back) == DISPLAY
    if name == "nh2st":  # it keeps what decodes every gene, the others their values
        np.testing.assert_array_equal(back.hidden, done.hidden)
    else:
        with pytest.raises(Nh2stError, match="choose another format" if lattice else "tiles on a lattice"):
            export(back, "nh2st", tmp_path / "values.nh2st")
        again = read_export(export(back, name, tmp_path / "again"))
        np.testing.assert_allclose(again.matrix(), back.matrix(), rtol=0, atol=0)
        assert again.provenance["display"] == back.provenance["display"]


def test_a_file_that_was_changed_is_refused_in_one_line(name, tmp_path):
    path = export(prediction(), name, tmp_path)
    file = path / "zarr.json" if path.is_dir() else path
    text = file.read_bytes()
    for damage in (b"", text[: len(text) // 3], b"something else"):
        file.write_bytes(damage)
        with pytest.raises(Nh2stError) as told:
            read_export(path)
        assert path.name in str(told.value)
        assert "\n" not in str(told.value)


def test_a_csv_without_its_provenance_says_what_is_missing(tmp_path):
    path = export(prediction(), "csv", tmp_path)
    sidecar_path(path).unlink()
    assert not is_export(path)
    with pytest.raises(Nh2stError, match=r"slide\.csv\.provenance\.json is not beside it"):
        read_export(path)


def test_the_provenance_is_read_without_the_values(name, tmp_path):
    chosen = Selection(Box.from_xywh(0, 0, 600, 500), ("ERBB2", "CD74"))
    path = export(chosen.of_prediction(prediction(), {}), name, tmp_path / "out", genes=chosen.genes)
    assert record_in(name, path)["model"] == "test-model"
    assert Selection.read(record_in(name, path)) == chosen
    other = tmp_path / f"other{EXPORTERS[name].suffix}"
    other.write_text("something else")
    assert record_in(name, other) == {}


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
    if not EXPORTERS[name].folder:
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
    def write(*given, **named):
        EXPORTERS[name].write(*given, **named)
        raise OSError("the disk is full")

    old = tmp_path / f"old{EXPORTERS[name].suffix}"
    file = old / "zarr.json" if EXPORTERS[name].folder else old
    file.parent.mkdir(exist_ok=True)
    file.write_text("old")
    broken = dataclasses.replace(EXPORTERS[name], write=write)
    with monkeypatch.context() as patch:
        patch.setattr("napari_nh2st.formats.EXPORTERS", {name: broken})
        for path in (old, tmp_path / "new"):
            with pytest.raises(OSError, match="disk is full"):
                export(prediction(), name, path)
    assert file.read_text() == "old"
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
from napari_nh2st.formats.selection import Selection
from napari_nh2st.geometry import Box
from support.predictions import prediction
from napari_nh2st.formats import export
for name in sys.argv[3:]:
    print(export(prediction(), name, sys.argv[1]))
"""


@pytest.mark.parametrize("heavy", [False, pytest.param(True, marks=pytest.mark.readers)])
def test_exports_without_torch_and_napari(heavy, tmp_path):
    tests = Path(__file__).parents[1]
    there = [name for name, exporter in EXPORTERS.items() if not exporter.package or find_spec(exporter.package)]
    names = [name for name in there if (name in IN_READERS) == heavy]
    command = [sys.executable, "-W", "ignore", "-c", _WITHOUT_TORCH, str(tmp_path), str(tests), *names]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    assert len(out.stdout.splitlines()) == len(names)


@pytest.mark.parametrize("keeping", [name for name, exporter in EXPORTERS.items() if exporter.keeps_regions])
def test_regions_beside_the_tiles_do_not_come_back_as_tiles(keeping, tmp_path):
    if EXPORTERS[keeping].package:
        pytest.importorskip(EXPORTERS[keeping].package)
    made = prediction()
    square = np.array([(0.0, 0.0), (400.0, 0.0), (400.0, 400.0)])
    path = export(made, keeping, tmp_path, regions={"tumour": [[square], [square + 500]]})
    assert len(read_export(path)) == made.done.sum()
    if keeping == "geojson":
        (region,) = read_annotations(path).annotations
        assert (region.name, len(region.polygons)) == ("tumour", 2)


def test_formats_that_keep_half_widths_have_them_beside_the_values_and_others_say_which_do(name, tmp_path):
    made = prediction(intervals=True)
    if not EXPORTERS[name].keeps_intervals:
        with pytest.raises(Nh2stError, match=f"{name} keeps no half-widths: choose among h5ad, csv, parquet"):
            export(made, name, tmp_path / "out", intervals=True)
        return
    genes = GENES[:2]
    path = export(made, name, tmp_path / f"out{EXPORTERS[name].suffix}", genes, intervals=True)
    expected = made.only_done().half_width(genes)
    if name == "h5ad":
        import anndata

        data = anndata.read_h5ad(path)
        np.testing.assert_allclose(data.layers["half_width"], expected, rtol=1e-5)
    else:
        table = pd.read_csv(path) if name == "csv" else pd.read_parquet(path)
        np.testing.assert_allclose(table[[f"{gene} half-width" for gene in genes]], expected, rtol=1e-5)
    again = read_export(path)
    assert again.genes == genes
    np.testing.assert_allclose(again.matrix(), made.only_done().matrix(genes), rtol=1e-6, atol=1e-6)


def test_half_widths_of_a_model_without_intervals_are_refused(tmp_path):
    with pytest.raises(Nh2stError, match="no held-out residuals"):
        export(prediction(), "h5ad", tmp_path / "out.h5ad", intervals=True)
