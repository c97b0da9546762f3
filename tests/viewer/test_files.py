"""Reader, writers and manifest, without a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from npe2 import PluginManifest

from napari_nh2st.analysis.outlines import within
from napari_nh2st.annotations import read_annotations
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats import EXPORTERS, read_export
from napari_nh2st.formats.importer import display_of
from napari_nh2st.viewer import writer
from napari_nh2st.viewer.layers.heatmap import heatmap_data
from napari_nh2st.viewer.layers.roles import map_of, role_in, slide_of
from napari_nh2st.viewer.reader import get_reader
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from viewer.fakes import FakeServices, FakeSlide, card, hidden_at

ROOT = Path(__file__).parents[2]


def made_map() -> PredictedMap:
    slide, services = FakeSlide(), FakeServices()
    made = PredictedMap(services.describe(slide), card(), services.decoder(None), scale=2.0, pitch=112)
    cells = np.arange(5, 17)
    made.add(cells, hidden_at(made.tiles(cells).centres))
    return made


def test_slide_opens_in_micrometres(small_slide: Path) -> None:
    ((data, meta, kind),) = get_reader(str(small_slide))(str(small_slide))
    assert kind == "image"
    assert meta["units"] == ("um", "um")
    assert meta["scale"] == (0.5, 0.5)
    level = data[0] if meta["multiscale"] else data
    assert level.shape == (900, 1100, 3)
    assert role_in(meta["metadata"]).slide.mpp == 0.5


def test_other_files_are_left_to_others(tmp_path: Path) -> None:
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, np.zeros((5, 64, 64), np.float32))
    assert get_reader(str(stack)) is None
    assert get_reader(str(tmp_path / "notes.txt")) is None
    assert get_reader(str(tmp_path)) is None
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"")
    with pytest.raises(Nh2stError):  # nobody else reads it: the reason is told
        get_reader(str(broken))(str(broken))


def test_prediction_folder_opens_as_a_heatmap(tmp_path: Path) -> None:
    from napari.layers import Image

    from napari_nh2st.engine.store import save_prediction

    made = made_map()
    path = save_prediction(made.prediction(), tmp_path / "C9.nh2st")
    ((data, meta, _),) = get_reader(str(path))(str(path))
    layer = Image(data, **meta)
    assert layer.name == "C9 · ERBB2 · predicted"
    assert slide_of(layer) is None
    np.testing.assert_array_equal(map_of(layer).values("KRT8"), made.values("KRT8"))
    np.testing.assert_allclose(layer.data_to_world((0, 0)), (np.array(made.origin) - 0.5) * 0.5)


def test_a_folder_that_is_a_slide_opens_and_another_is_left_to_others(tmp_path: Path) -> None:
    from support.pictures import picture
    from support.scanners import dicom
    from support.slides import ome_zarr

    (tmp_path / "case").mkdir()
    dicom(tmp_path / "case" / "a.dcm", picture())
    for folder in (tmp_path / "case", ome_zarr(tmp_path / "a.ome.zarr", picture())):
        ((pixels, meta, _),) = get_reader(str(folder))(str(folder))
        assert pixels.shape == (301, 233, 3)
        assert meta["name"].startswith(folder.name.partition(".")[0])
    assert get_reader(str(ome_zarr(tmp_path / "stains.ome.zarr", picture().astype(np.uint32)))) is None
    assert get_reader(str(tmp_path)) is None


@pytest.mark.filterwarnings("ignore:exported without a tissue image")
@pytest.mark.parametrize("name", EXPORTERS)
def test_saving_a_layer_writes_the_whole_panel_as_it_is_shown(name: str, tmp_path: Path) -> None:
    """File > Save Selected Layers: napari looks for the writer by the ending, and hands it the layer's attributes."""
    from napari.layers import Image
    from npe2 import PluginManager

    if EXPORTERS[name].package:
        pytest.importorskip(EXPORTERS[name].package)
    plugins = PluginManager()
    plugins.register(PluginManifest.from_file(ROOT / "src" / "napari_nh2st" / "napari.yaml"))
    data, meta = heatmap_data(made_map(), "KRT8")
    layer = Image(data, **{**meta, "contrast_limits": (0.5, 3.0), "colormap": "magma", "opacity": 0.4})
    data, attributes, _ = layer.as_layer_data_tuple()
    for ending in EXPORTERS[name].suffixes:
        chosen, path = plugins.get_writer(str(tmp_path / f"out{ending}"), ["image"])
        write = getattr(writer, chosen.command.removeprefix("napari-nh2st."))
        (written,) = write(path, data, attributes)
        assert written == str(tmp_path / f"out{ending}")
        saved = read_export(written)
        assert (len(saved), saved.genes) == (12, card().genes)
        display = display_of(saved)
        assert (display.genes, display.colormap, display.limits, display.opacity) == (
            *(("KRT8",), "magma", {"KRT8": (0.5, 3.0)}, 0.4),
        )


def test_saving_domains_writes_their_outlines_and_genes(tmp_path: Path) -> None:
    from napari_nh2st.viewer.layers.roles import KEY, Kind, map_role

    made = made_map()
    labels = np.zeros((made.rows, made.columns), np.uint8)
    labels.reshape(-1)[np.flatnonzero(made.done)[:5]] = 2
    labels.reshape(-1)[np.flatnonzero(made.done)[5:]] = 1
    role = map_role(Kind.DOMAINS, made, "domains", title="domains")
    (path,) = writer.write_domains(str(tmp_path / "d.geojson"), labels, {"metadata": {KEY: role}})
    first, second = read_annotations(path).annotations
    assert (first.kind, second.kind, first.colour) == ("Domain 1", "Domain 2", "#0072b2")
    tiles = made.prediction().places.centres
    assert [within(tiles, a.polygons).sum() for a in (first, second)] == [7, 5]
    for write in (writer.write_domains, writer.write_regions):
        with pytest.raises(Nh2stError, match="NH2ST"):
            write(str(tmp_path / "x.geojson"), labels, {"metadata": {}})


def test_saving_another_layer_says_why_not(tmp_path: Path) -> None:
    with pytest.raises(Nh2stError, match="no NH2ST heatmap"):
        writer.write_csv(str(tmp_path / "x.csv"), None, {"metadata": {}})
    assert not list(tmp_path.iterdir())


def test_manifest_is_valid_and_its_names_exist() -> None:
    manifest = PluginManifest.from_file(ROOT / "src" / "napari_nh2st" / "napari.yaml")
    assert manifest.name == "napari-nh2st"
    manifest.validate_imports()
    assert (ROOT / "napari.yaml").resolve() == ROOT / "src" / "napari_nh2st" / "napari.yaml"
