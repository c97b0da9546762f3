"""About one file, `nh2st info`, Python, napari's reader and the dock say the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nh2st.errors import Nh2stError
from napari_nh2st.slides import open_slide
from support.slides import APERIO, MAKERS, aperio, jpeg, leica, picture, png, shrunk, tiff, ventana

SECTION, OTHER = picture(300, 400, seed=1), picture(300, 400, seed=2)
HALF = shrunk(SECTION, 150, 200)
RESOLUTION = {"resolution": (20000, 20000), "resolutionunit": 3}


@dataclass
class Answer:
    """A surface's answer about a file: the slide, or the line with which it refuses."""

    levels: list[tuple[int, int]] | None = None
    mpp: float | None = None
    warnings: list[str] | None = None
    refusal: str = ""


def two(path: Path, second: np.ndarray, **options: object) -> Path:
    with tifffile.TiffWriter(path) as file:
        for pixels in (SECTION, second):
            file.write(pixels, tile=(64, 64), photometric="rgb", metadata=None, **RESOLUTION, **options)
    return path


def beside(path: Path, name: str) -> Path:
    (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
    (path.parent / name).write_bytes(b"\0")
    return path


def with_bytes(data: bytes) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.write_bytes(data)
        return path

    return make


def exif(path: Path) -> Path:
    turned = Image.Exif()
    turned[274] = 6
    Image.fromarray(SECTION).save(path, exif=turned)
    return path


FILES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    **{name: (suffix, lambda path, make=make: make(path, SECTION)) for name, (make, suffix) in MAKERS.items()},
    "two sections": (".tif", lambda path: two(path, shrunk(OTHER, 150, 200))),
    "the second section": (".tif#2", lambda path: two(path, shrunk(OTHER, 150, 200))),
    "no third section": (".tif#3", lambda path: two(path, shrunk(OTHER, 150, 200))),
    "a level": (".tif", lambda path: two(path, HALF)),
    "of one size": (".tif", lambda path: two(path, OTHER)),
    "a macro": (".scn#1", lambda path: leica(path, SECTION)),
    "turned": (".jpg", exif),
    "an absurd size": (".svs", lambda path: aperio(path, SECTION, "499")),
    "overlapping": (".tif", lambda path: ventana(path, SECTION, joints=[(16, 0)])),
    "MIRAX": (".jpg", lambda path: beside(jpeg(path, SECTION), f"{path.stem}/Slidedat.ini")),
    "VSI": (".tif", lambda path: beside(tiff(path, SECTION), f"_{path.stem}_/stack1/frame_t.ets")),
    "16 bits": (".tif", lambda path: tiff(path, SECTION.astype(np.uint16))),
    "marked and none": (".tif", lambda path: tiff(path, SECTION, [shrunk(OTHER, 150, 200)])),
    "a copied description": (
        ".svs",
        lambda path: tiff(path, SECTION, description=APERIO.format(w=800, h=600, mpp=0.5)),
    ),
    "grey": (".png", lambda path: png(path, SECTION[:, :, 0])),
    "a TIFF called NDPI": (".ndpi", lambda path: tiff(path, SECTION)),
    "a page of a server": (".svs", with_bytes(b"<!-- x --><html>")),
    "CZI": (".svs", with_bytes(b"ZISRAWFILE".ljust(5000, b"\0"))),
    "empty": (".ndpi", with_bytes(b"")),
    "one picture": (".png#2", lambda path: png(path, SECTION)),
}


def of_slide(slide: object) -> Answer:
    slide.tissue()  # finding it may add a warning
    return Answer(slide.level_shapes, slide.mpp, slide.warnings)


def in_python(path: str) -> Answer:
    try:
        with open_slide(path) as slide:
            return of_slide(slide)
    except Nh2stError as error:
        return Answer(refusal=str(error))


def by_info(path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Answer:
    from napari_nh2st.cli import main

    monkeypatch.setattr("sys.argv", ["nh2st", "info", path, "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    if end.value.code:
        return Answer(refusal=said.err.strip().removeprefix("error: "))
    facts = json.loads(said.out)
    return Answer([tuple(shape) for shape in facts["levels"]], facts["mpp"], facts["warnings"])


def by_reader(path: str) -> Answer | None:
    from napari_nh2st.viewer.layers.roles import role_in
    from napari_nh2st.viewer.reader import get_reader

    reader = get_reader(path)
    if reader is None:
        return None
    try:
        ((data, meta, _),) = reader(path)
    except Nh2stError as error:
        return Answer(refusal=str(error))
    slide = role_in(meta["metadata"]).slide
    levels = data if meta["multiscale"] else [data]
    assert [level.shape[:2] for level in levels] == slide.level_shapes
    return of_slide(slide)


def by_dock(path: str) -> Answer:
    """The dock meets a layer that another reader has drawn."""
    from napari.layers._source import layer_source

    from viewer.fakes import FakeServices
    from viewer.without_window import Desk

    services = FakeServices()
    services.open_slide = open_slide
    desk = Desk(services=services)
    with layer_source(path=path):
        layer = desk.viewer.add_image(np.zeros((*SECTION.shape[:2], 3), np.uint8), rgb=True)
    said = in_python(path)
    if said.levels is not None:
        layer.data = np.zeros((*said.levels[0], 3), np.uint8)
    desk.said.clear()
    desk.background.hold = True
    desk.presenter.choose_slide(layer)
    desk.background.release()
    if desk.state.slide is None:
        return Answer(refusal=desk.said[-1])
    return of_slide(desk.state.slide)


@pytest.mark.parametrize("name", FILES)
def test_all_surfaces_say_the_same(tmp_path, name, capsys, monkeypatch):
    suffix, make = FILES[name]
    file, _, number = suffix.partition("#")
    path = f"{make(tmp_path / f'slide{file}')}{'#' * bool(number)}{number}"
    right = in_python(path)
    assert by_info(path, capsys, monkeypatch) == right
    reader = by_reader(path)
    if reader is None:  # left to other readers: the dock says why it is no slide
        assert right.refusal
    else:
        assert reader == right
    assert by_dock(path) == right


def test_a_layer_that_shows_another_picture_is_not_taken_for_the_slide(tmp_path):
    """napari's own reader draws the first page, whatever its size."""
    from napari.layers._source import layer_source

    from viewer.fakes import FakeServices
    from viewer.without_window import Desk

    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for pixels in (shrunk(OTHER, 100, 80), SECTION):
            file.write(pixels, tile=(64, 64), photometric="rgb", metadata=None, **RESOLUTION)
    services = FakeServices()
    services.open_slide = open_slide
    desk = Desk(services=services)
    with layer_source(path=str(tmp_path / "a.tif")):
        layer = desk.viewer.add_image(shrunk(OTHER, 100, 80), rgb=True)
    desk.background.hold = True
    desk.presenter.choose_slide(layer)
    desk.background.release()
    assert desk.state.slide is None
    assert "not the picture of its file" in desk.said[-1]
