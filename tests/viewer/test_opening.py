"""Files dropped on the canvas of a real window: it never stands still, and says in one line what cannot be opened."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nh2st import slides
from napari_nh2st.slides import plain
from napari_nh2st.slides.file import SlideFile
from napari_nh2st.viewer import launch
from napari_nh2st.viewer.layers.domains import DomainsLayer
from napari_nh2st.viewer.layers.roles import Kind, is_opening, slide_of
from napari_nh2st.viewer.layers.spots import SpotsLayer
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from viewer.canvas import Canvas
from viewer.fakes import FakeServices, FakeSlide, card

pytestmark = pytest.mark.viewer


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Decode no JPEG before this is set: large ones take seconds."""
    decode, ready = plain._decode_jpeg, threading.Event()

    def decode_slowly(*args: Any) -> Any:
        ready.wait(10)
        return decode(*args)

    monkeypatch.setattr(plain, "_decode_jpeg", decode_slowly)
    yield ready
    ready.set()


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The threads that read slides from here on."""
    threads, read = set(), SlideFile.read

    def noted(self: SlideFile, offset: int, count: int) -> bytes:
        threads.add(threading.current_thread().name)
        return read(self, offset, count)

    monkeypatch.setattr(SlideFile, "read", noted)
    return threads


def jpeg(path: Path, seed: int = 0) -> Path:
    """Write a picture that needs overview levels."""
    pixels = np.random.default_rng(seed).integers(90, 255, (80, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((2560, 3200)).save(path, quality=80)
    return path


def pyramid(path: Path) -> Path:
    """Write a slide with levels and a pixel size."""
    pixels = np.random.default_rng(1).integers(90, 255, (3000, 2400, 3), dtype=np.uint8)
    with tifffile.TiffWriter(path) as file:
        how: dict[str, Any] = {"tile": (256, 256), "photometric": "rgb", "resolutionunit": "CENTIMETER"}
        file.write(pixels, subifds=1, resolution=(20000, 20000), **how)
        file.write(pixels[::2, ::2], subfiletype=1, **how)
    return path


def test_a_jpeg_comes_by_itself_while_the_window_goes_on(canvas, decoding, readers, tmp_path) -> None:
    """The steps of a person: drop, hide and rename while it opens, zoom in, drop another one and throw it away."""
    canvas.drop(jpeg(tmp_path / "C5.jpg"))
    (layer,) = canvas.viewer.layers
    assert (layer.name, layer.data[0].shape, is_opening(layer)) == ("C5", (3200, 2560, 3), True)
    assert canvas.sentence == "Opening C5…"
    assert canvas.viewer.status == "Opening C5…"
    layer.name, layer.visible = "my slide", False
    canvas.rest(0.1)
    assert is_opening(layer)
    decoding.set()
    canvas.until(lambda: slide_of(layer) is not None)
    assert (canvas.names, layer.visible, canvas.dock.state.slide) == (["my slide"], False, slide_of(layer))
    assert canvas.viewer.status != "Opening C5…"
    layer.visible = True
    canvas.rest(0.3)
    width = canvas.viewer.window._qt_viewer.canvas.native.width()
    assert canvas.viewer.scene.camera.zoom * 2560 <= width, "napari's panels grew after the slide was laid out"
    canvas.viewer.scene.camera.zoom *= 8
    canvas.until(lambda: np.array_equal(layer._slice.image.raw, sharp(layer)))
    canvas.dock.slides.mpp_given.emit(0.5, "user")
    canvas.until(lambda: tuple(layer.scale) == (0.5, 0.5))
    assert "MainThread" not in readers

    canvas.drop(jpeg(tmp_path / "C6.jpg", 1), jpeg(tmp_path / "C7.jpg", 2), tmp_path / "C5.jpg")
    assert set(canvas.names) == {"my slide", "C6", "C7", "C5"}
    gone = canvas.viewer.layers["C6"]
    canvas.viewer.layers.remove(gone)
    canvas.until(lambda: all(slide_of(other) is not None for other in canvas.viewer.layers))
    # one slide is in sight, which was opened twice
    assert {other.name: other.visible for other in canvas.viewer.layers} == {"my slide": True, "C7": False, "C5": True}
    assert canvas.dock.state.slide is slide_of(canvas.viewer.layers["C5"])
    assert "MainThread" not in readers
    assert not canvas.notes


def sharp(layer: Any) -> Any:
    """Return the pixels of the part that napari draws, read for a test."""
    (top, left), (bottom, right) = layer.corner_pixels[:, -2:]
    return np.asarray(layer.data[layer.data_level][top : bottom + 1, left : right + 1])


def broken_files(folder: Path) -> dict[str, Path]:
    """Write files that cannot be opened, by the word that says why."""
    text = folder / "notes.svs"
    text.write_text("a list of slides\n" * 400)
    cut = pyramid(folder / "cut.tif")
    cut.write_bytes(cut.read_bytes()[:2_000_000])
    late = jpeg(folder / "late.jpg")  # only decoding finds that it is cut short
    late.write_bytes(late.read_bytes()[:-9000])
    (folder / "half.nh2st").mkdir()
    (folder / "half.nh2st" / "zarr.json").write_text("{")
    model = folder / "my model"
    model.mkdir()
    (model / "card.json").write_text("{}")
    (folder / "empty").mkdir()
    empty = folder / "nothing.png"
    empty.touch()
    return {
        "not a slide of a known format": text,
        "cut.tif is cut short": cut,
        "late.jpg is cut short": late,
        "half.nh2st": folder / "half.nh2st",
        "a model folder": model,
        "a folder: drop the slide file": folder / "empty",
        "nothing.png is empty": empty,
    }


def test_what_cannot_be_opened_is_said_in_one_line(canvas, tmp_path, monkeypatch) -> None:
    from napari.settings import get_settings

    files = broken_files(tmp_path)
    folders = {f"{path}/": "napari-nh2st" for path in files.values() if path.is_dir()}
    settings = get_settings().plugins
    monkeypatch.setattr(settings, "extension2reader", settings.extension2reader | folders)
    for words, path in files.items():
        canvas.notes.clear()
        canvas.drop(path)
        canvas.until(lambda: bool(canvas.notes))
        assert [severity for severity, _ in canvas.notes] == ["error"], words
        assert words in canvas.notes[0][1]
        assert str(tmp_path) not in canvas.notes[0][1]
        assert "does not begin like" not in canvas.notes[0][1], "ten formats fill the dock"
        assert canvas.sentence == canvas.notes[0][1]
        assert not canvas.viewer.layers
    shutil.copy(files["cut.tif is cut short"], tmp_path / "again.svs")
    canvas.drop(tmp_path / "again.svs", jpeg(tmp_path / "C5.jpg"))  # the others of a handful are opened
    canvas.until(lambda: canvas.dock.state.slide is not None)
    assert canvas.names == ["C5"]
    look, dropped = slides.read_header, threading.Event()

    def look_late(path: Path) -> Any:
        dropped.wait(10)
        return look(path)

    monkeypatch.setattr(slides, "read_header", look_late)  # a drive so slow that the file is taken for a slide
    tifffile.imwrite(tmp_path / "mask.tif", np.zeros((64, 64), np.float32))
    canvas.drop(tmp_path / "mask.tif")
    dropped.set()
    canvas.until(lambda: canvas.names == ["C5", "mask"] and not is_opening(canvas.viewer.layers["mask"]))
    assert slide_of(canvas.viewer.layers["mask"]) is None


def test_no_warning_of_units_in_any_order(canvas, tmp_path) -> None:
    """Slides with and without a pixel size, what is drawn on them, and a size that is given later."""
    for path in (jpeg(tmp_path / "A.jpg"), pyramid(tmp_path / "B.tif"), jpeg(tmp_path / "C.jpg", 1)):
        canvas.drop(path)
        canvas.until(lambda name=path.stem: slide_of(canvas.viewer.layers[name]) is not None)
        canvas.rest(0.2)
    canvas.viewer.window._qt_viewer.layerButtons.newShapesButton.click()
    canvas.dock.tissue.button.click()
    canvas.until(lambda: len(canvas.viewer.layers) == 5)
    canvas.rest(0.2)
    canvas.dock.slides.mpp_given.emit(0.5, "user")
    canvas.rest(0.2)
    spots, slide_layer = SpotsLayer(canvas.viewer, Kind.MEASURED), canvas.dock.state.slide_layer
    spots.create(np.array([(40.0, 40.0), (80.0, 60.0)]), 20, slide_layer, 0.5, "measured")
    services = FakeServices()
    made_from = PredictedMap(services.describe(FakeSlide()), card(), services.decoder(None), scale=2.0, pitch=112)
    domains = DomainsLayer(canvas.viewer, made_from)
    domains.show(np.ones(domains.values.shape, np.uint8))
    canvas.rest(0.2)
    assert not canvas.notes
    assert [str(unit) for unit in canvas.viewer.layers.extent.units] == ["micrometer", "micrometer"]


def test_a_window_closed_while_it_opens_a_slide(make_napari_viewer, qtbot, monkeypatch, decoding, tmp_path) -> None:
    canvas = Canvas(make_napari_viewer(show=True), qtbot, monkeypatch)
    canvas.drop(jpeg(tmp_path / "C9.jpg", 9))
    closed, close = [], SlideFile.close
    monkeypatch.setattr(SlideFile, "close", lambda self: (closed.append(self.path.name), close(self))[1])
    canvas.viewer.close()
    decoding.set()
    qtbot.waitUntil(lambda: "C9.jpg" in closed)


def test_nh2st_view_shows_its_window_first(make_napari_viewer, qtbot, monkeypatch, decoding, tmp_path) -> None:
    made: list[Any] = []
    monkeypatch.setattr(launch.napari, "Viewer", lambda title: made.append(make_napari_viewer()) or made[0])
    monkeypatch.setattr(launch.napari, "run", lambda: None)
    launch.show(jpeg(tmp_path / "C8.jpg", 8), mpp=0.25)
    (layer,) = made[0].layers
    assert (is_opening(layer), tuple(layer.scale)) == (True, (0.25, 0.25))
    decoding.set()
    qtbot.waitUntil(lambda: slide_of(layer) is not None)
    assert slide_of(layer).mpp == 0.25


def test_a_script_gets_the_slide_itself_and_the_window_does_not_wait_for_it(canvas, readers, tmp_path) -> None:
    viewer = canvas.viewer
    (layer,) = viewer.open(str(jpeg(tmp_path / "C5.jpg")), plugin="napari-nh2st")
    assert slide_of(layer) is not None
    np.testing.assert_array_equal(layer.data[0][:40, :40], slide_of(layer).read(0, 0, 40, 40, 1.0))
    canvas.rest(0.3)
    readers.clear()
    viewer.scene.camera.zoom *= 8
    canvas.until(lambda: np.array_equal(layer._slice.image.raw, sharp(layer)))
    assert "MainThread" not in readers
    with pytest.raises(Exception, match="cut short"):
        late = tmp_path / "late.jpg"
        late.write_bytes((tmp_path / "C5.jpg").read_bytes()[:-9000])
        viewer.open(str(late), plugin="napari-nh2st")
