"""Odd TIFFs: each works, or is refused in one line."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile

from napari_nh2st.errors import SlideError
from napari_nh2st.slides import open_slide
from support.slides import aperio, ndpi, ome, picture, shrunk, tiff, tile_place

PIXELS = picture()


def only_line(error: pytest.ExceptionInfo) -> str:
    line = str(error.value)
    assert "\n" not in line
    return line


def level_0(path, **options):
    with open_slide(path, **options) as slide:
        return slide.levels[0][:]


def test_odd_ratios_between_levels_are_all_kept(tmp_path):
    big = picture(2301, 1777)
    levels = [shrunk(big, 1043, 807), shrunk(big, 301, 233)]
    with open_slide(tiff(tmp_path / "odd.tif", big, levels)) as slide:
        assert slide.level_shapes == [(2301, 1777), (1043, 807), (301, 233)]
        assert slide.downsamples[2] == (2301 / 301, 1777 / 233)
        assert [slide.level_for(s) for s in (0.5, 1, 2.1, 2.3, 7.6, 8, 100)] == [0, 0, 0, 1, 1, 2, 2]


def test_sub_ifds_are_levels(tmp_path):
    big = picture(2301, 1777)
    with tifffile.TiffWriter(tmp_path / "sub.ome.tif", ome=True) as file:
        file.write(big, tile=(256, 256), photometric="rgb", subifds=2, metadata={"axes": "YXS"})
        for size in ((767, 592), (256, 197)):
            file.write(shrunk(big, *size), tile=(256, 256), photometric="rgb", subfiletype=1)
    with open_slide(tmp_path / "sub.ome.tif") as slide:
        assert slide.level_shapes == [(2301, 1777), (767, 592), (256, 197)]


def test_a_macro_that_comes_first_is_not_the_slide(tmp_path):
    with tifffile.TiffWriter(tmp_path / "macro.tif") as file:
        file.write(shrunk(PIXELS, 100, 78), photometric="rgb", metadata=None)
        file.write(PIXELS, tile=(64, 64), photometric="rgb", metadata=None)
        file.write(picture(80, 200), photometric="rgb", metadata=None)
    with open_slide(tmp_path / "macro.tif") as slide:
        assert slide.level_shapes == [(301, 233)]
        assert np.array_equal(slide.levels[0][:], PIXELS)


GREY = PIXELS[:, :, 0]
GREY_RGB = np.repeat(GREY[:, :, None], 3, axis=2)


def over_white(alpha: np.ndarray, colour: np.ndarray = PIXELS) -> np.ndarray:
    weight = alpha[:, :, None] / 255
    return np.rint(colour * weight + 255 * (1 - weight))


@pytest.mark.parametrize("tile", [(64, 64), None])
def test_other_samples_than_rgb(tmp_path, tile):
    colours = np.random.default_rng(0).integers(0, 256, (3, 256), dtype=np.uint16) * 257
    cases = {
        "grey": (GREY, {"photometric": "minisblack"}, GREY_RGB),
        "white is zero": (GREY, {"photometric": "miniswhite"}, 255 - GREY_RGB),
        "palette": (GREY, {"photometric": "palette", "colormap": colours}, (colours.T >> 8)[GREY]),
        "planar": (np.moveaxis(PIXELS, 2, 0), {"planarconfig": "separate"}, PIXELS),
        "rgba": (np.dstack([PIXELS, GREY]), {"extrasamples": ["unassalpha"]}, over_white(GREY)),
        "extra": (np.dstack([PIXELS, GREY]), {"extrasamples": ["unspecified"]}, PIXELS),
        "multiplied": (np.dstack([GREY_RGB, GREY]), {"extrasamples": ["assocalpha"]}, GREY_RGB * 0 + 255),
    }
    for name, (pixels, options, expected) in cases.items():
        path = tiff(tmp_path / f"{name}.tif", pixels, tile=tile, **options)
        assert np.abs(level_0(path) - expected.astype(int)).max() <= (1 if name == "rgba" else 0), name


@pytest.mark.parametrize("codec", ["lzw", "zlib", "zstd", "packbits", "webp", "jpeg2000", "jpeg"])
def test_compressions(tmp_path, codec):
    options = {"webp": {"level": 100, "lossless": True}, "jpeg": {"level": 95}}.get(codec, {})
    path = tiff(tmp_path / "x.tif", PIXELS, compression=codec, compressionargs=options)
    assert np.abs(level_0(path).astype(int) - PIXELS).mean() < (3 if codec == "jpeg" else 0.01)


@pytest.mark.parametrize("tile", [(64, 64), None])
def test_a_picture_of_which_nothing_can_be_decoded_is_refused(tmp_path, tile):
    """JPEG as in TIFF 6.0, section 22, or an only strip that is damaged; no white slide in its place."""
    options = {"compression": "jpeg"} if tile else {"compression": "zlib", "rowsperstrip": 128}
    path = tiff(tmp_path / "a.tif", picture(128, 128), tile=tile, **options)
    with tifffile.TiffFile(path) as file:
        page, order = file.pages[0], file.byteorder
        place, first = page.tags[259].valueoffset, page.dataoffsets[0]
    raw = bytearray(path.read_bytes())
    if tile:
        raw[place : place + 2] = struct.pack(order + "H", 6)
        path.write_bytes(raw)
        with open_slide(path) as slide:  # whole streams of JPEG, as some programs wrote: nothing is wrong
            assert np.abs(slide.levels[0][:].astype(int) - picture(128, 128)).mean() < 6
    raw[first : first + 60] = bytes(60)
    path.write_bytes(raw)
    with pytest.raises(SlideError, match=r"cannot be decoded: .*save it as another TIFF") as caught:
        open_slide(path)
    assert "\n" not in str(caught.value)
    assert ("TIFF 6.0" in str(caught.value)) == bool(tile)


def test_more_than_16_bits_or_channels_are_refused(tmp_path):
    with pytest.raises(SlideError, match=r"32-bit.*convert") as error:
        open_slide(tiff(tmp_path / "deep.tif", PIXELS.astype(np.uint32)))
    assert "deep.tif" in only_line(error)
    stack = np.stack([GREY] * 5)
    tifffile.imwrite(tmp_path / "c.ome.tif", stack, ome=True, photometric="minisblack", metadata={"axes": "CYX"})
    with pytest.raises(SlideError, match=r"c\.ome\.tif holds 5 separate channels"):
        open_slide(tmp_path / "c.ome.tif")


def test_further_planes_are_mentioned(tmp_path):
    stack = np.stack([PIXELS, PIXELS // 2])
    tifffile.imwrite(tmp_path / "z.ome.tif", stack, ome=True, photometric="rgb", metadata={"axes": "ZYXS"})
    with open_slide(tmp_path / "z.ome.tif") as slide:
        assert any("2 planes" in line for line in slide.warnings)
        assert np.array_equal(slide.levels[0][:], PIXELS)


@pytest.mark.parametrize("rows", [1, 7, 64, 301])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_strips(tmp_path, rows, compression):
    path = tiff(tmp_path / "s.tif", PIXELS, tile=None, rowsperstrip=rows, compression=compression)
    assert np.array_equal(level_0(path), PIXELS)


@pytest.mark.parametrize("planar", [False, True])
def test_one_large_raw_strip_is_read_in_parts(tmp_path, planar):
    pixels = picture(1501, 1403)
    options = {"planarconfig": "separate"} if planar else {}
    path = tiff(
        tmp_path / "raw.tif", np.moveaxis(pixels, 2, 0) if planar else pixels, tile=None, rowsperstrip=1501, **options
    )
    with open_slide(path) as slide:
        assert slide.levels[0].chunks[0] < 800
        assert np.array_equal(slide.levels[0][:], pixels)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1000)
    with pytest.raises(SlideError, match="1,000 bytes are missing"):
        open_slide(path)


def test_one_huge_compressed_strip_is_decoded_once(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_nh2st.slides.tiff_level.FLAT_BYTES", 100_000)
    path = tiff(tmp_path / "jpeg.tif", PIXELS, tile=None, rowsperstrip=301, compression="zlib")
    with open_slide(path) as slide:
        assert np.array_equal(slide.levels[0][:], PIXELS)
        assert type(slide.levels[0].store.reader).__name__ == "KeptLevel"


def test_one_huge_strip_that_cannot_be_decoded_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_nh2st.slides.tiff_level.FLAT_BYTES", 100_000)
    path = tiff(tmp_path / "bad.tif", PIXELS, tile=None, rowsperstrip=301, compression="zlib")
    offset, _ = tile_place(path, 0)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(2000))
    with pytest.raises(SlideError, match="cannot be decoded") as error:
        open_slide(path)
    only_line(error)


def test_byte_order_description_and_strange_names(tmp_path):
    folder = tmp_path / "Gewebe 100% #1 é 組織"
    folder.mkdir()
    for order in "<>":
        for big in (False, True):
            path = folder / f"a [b] #{order == '<'} {big}.tif"
            with tifffile.TiffWriter(path, byteorder=order, bigtiff=big) as file:
                file.write(PIXELS, tile=(64, 64), description="Färbung µm".encode(), metadata=None)
            assert np.array_equal(level_0(path), PIXELS)
            assert np.array_equal(level_0(str(path)), PIXELS)


@pytest.mark.parametrize("name", ["../x.ome.tif", "other.ome.tif"])
def test_an_ome_file_that_points_elsewhere_is_refused(tmp_path, name):
    shutil.copy(ome(tmp_path / "own.ome.tif", PIXELS), tmp_path / "kept.ome.tif")
    path = tmp_path / "own.ome.tif"
    with tifffile.TiffFile(path) as file:
        xml = file.ome_metadata
    uuid = "urn:uuid:11111111-2222-3333-4444-555555555555"
    xml = xml.replace("<TiffData ", '<TiffData FirstZ="0" ').split("<TiffData")[0]
    xml += f'<TiffData IFD="0" PlaneCount="1"><UUID FileName="{name}">{uuid}</UUID></TiffData>'
    xml += f'<TiffData IFD="0" PlaneCount="1"><UUID FileName="own.ome.tif">{uuid[:-1]}6</UUID></TiffData>'
    xml += "</Pixels></Image></OME>"
    tifffile.imwrite(path, PIXELS, tile=(64, 64), photometric="rgb", description=xml, metadata=None)
    with pytest.raises(SlideError, match="another file") as error:
        open_slide(path)
    assert name in only_line(error)


def test_a_renamed_ome_file_is_not_taken_for_half_of_a_pair(tmp_path):
    path = ome(tmp_path / "a.ome.tif", PIXELS)
    path.rename(tmp_path / "b.ome.tif")
    assert np.array_equal(level_0(tmp_path / "b.ome.tif"), PIXELS)


@pytest.mark.parametrize(("planes", "read"), [(1, True), (2, False)])
def test_an_ome_file_with_all_its_planes_was_renamed(tmp_path, planes, read):
    """One identifier in all of TiffData, none on the root, another name."""
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        f'DimensionOrder="XYCZT" Type="uint8" SizeX="233" SizeY="301" SizeC="3" SizeZ="{planes}" SizeT="1" '
        'PhysicalSizeX="690" PhysicalSizeXUnit="nm" PhysicalSizeY="690" PhysicalSizeYUnit="nm">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1">'
        '<UUID FileName="slide.ome.tif">urn:uuid:7</UUID></TiffData></Pixels></Image></OME>'
    )
    path = tiff(tmp_path / "renamed.ome.tif", PIXELS, description=xml)
    if not read:
        with pytest.raises(SlideError, match="another file"):
            open_slide(path)
        return
    with open_slide(path) as slide:
        assert np.array_equal(slide.levels[0][:], PIXELS)
        assert (slide.mpp, slide.mpp_source) == (pytest.approx(0.69), "ome")


def test_dimensions_beyond_belief(tmp_path):
    path = tiff(tmp_path / "big.tif", PIXELS)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for code in (256, 257):
            file.pages[0].tags[code].overwrite(2_000_000_000, dtype=4)
    with pytest.raises(SlideError, match=r"2000000000|more than it has bytes") as error:
        open_slide(path)
    only_line(error)


def test_more_tiles_than_bytes(tmp_path):
    path = tiff(tmp_path / "many.tif", PIXELS)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for code in (256, 257):
            file.pages[0].tags[code].overwrite(3_000_000, dtype=4)
    with pytest.raises(SlideError, match="more than it has bytes"):
        open_slide(path)


def test_tiles_too_large_to_be_real(tmp_path):
    path = tiff(tmp_path / "tile.tif", PIXELS, compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as file:
        for code in (322, 323):
            file.pages[0].tags[code].overwrite(65520, dtype=4)
    with pytest.raises(SlideError, match="too large"):
        open_slide(path)


@pytest.mark.timeout(20)
def test_a_loop_of_directories_ends(tmp_path):
    path = tiff(tmp_path / "loop.tif", PIXELS, [shrunk(PIXELS, 100, 78)])
    with tifffile.TiffFile(path) as file:
        first = file.pages[0].offset
        second = file.pages[1].offset
    with path.open("r+b") as file:
        file.seek(second)
        count = struct.unpack("<H", file.read(2))[0]
        file.seek(second + 2 + 12 * count)
        file.write(struct.pack("<I", first))
    with pytest.raises(SlideError, match="in a circle"):
        open_slide(path)


def test_directories_that_make_no_sense(tmp_path):
    good = tiff(tmp_path / "good.tif", PIXELS).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "bad.tif"
    for _ in range(60):
        bad = bytearray(good)
        for at in rng.integers(4, 400, 6):
            bad[at] = rng.integers(256)
        path.write_bytes(bad)
        with contextlib.suppress(SlideError), open_slide(path) as slide:  # any other error fails
            slide.read(0, 0, 64, 64, 1)


def test_procedural_tissue_is_known_by_its_description(tmp_path):
    path = tiff(tmp_path / "p.tif", PIXELS, description="napari-nh2st procedural tissue, seed 7")
    with open_slide(path) as slide:
        assert slide.synthetic
    with open_slide(aperio(tmp_path / "r.svs", PIXELS)) as slide:
        assert not slide.synthetic


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_right_pixels(tmp_path):
    with open_slide(tiff(tmp_path / "f.tif", PIXELS, compression="zlib")) as slide:
        expected = slide.read(10, 10, 200, 200, 1.0)

        def same(_=None) -> bool:
            return np.array_equal(slide.read(10, 10, 200, 200, 1.0), expected)

        pids = [forked(lambda: all(same() for _ in range(10))) for _ in range(2)]
        assert all(same() for _ in range(10))
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]
        for _ in range(10):  # threads that read first at the same time share one handle
            pid = forked(lambda: all(in_threads(same, 4)))
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def forked(works: Callable[[], bool]) -> int:
    """Start a child that exits with 0 if `works` says so, and never goes on as a second pytest."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if works() else 1
        finally:
            os._exit(code)
    return pid


def in_threads(function: Callable[..., bool], count: int) -> list[bool]:
    begin = threading.Barrier(count)

    def together(_) -> bool:
        begin.wait(30)
        return function()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(together, range(count)))


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}], ids=str)
def test_a_tiff_that_is_only_named_ndpi(tmp_path, options):
    """NDPI is told by its content: of a classic TIFF it has the first bytes, and 64-bit offsets."""
    path = tmp_path / "a.ndpi"
    with tifffile.TiffWriter(path, **options) as file:
        file.write(PIXELS, tile=(64, 64), photometric="rgb", metadata=None)
    with open_slide(path) as slide:
        assert slide.format == "tiff"
        assert np.array_equal(slide.levels[0][:], PIXELS)


@pytest.mark.skipif(os.name == "nt", reason="there the file would take 4 GB")
@pytest.mark.parametrize("name", ["a.ndpi", "a.tif"])
def test_an_ndpi_beyond_4_gb_by_any_name(tmp_path, name):
    data = ndpi(tmp_path / "small.ndpi", PIXELS).read_bytes()
    directory = struct.unpack_from("<Q", data, 4)[0]
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(data[:4] + struct.pack("<Q", 2**32 + directory) + data[12:])
        file.seek(2**32 + directory)
        file.write(data[directory:])
    with open_slide(path) as slide:
        assert slide.format == "ndpi"
        assert np.array_equal(slide.levels[0][:], PIXELS)
