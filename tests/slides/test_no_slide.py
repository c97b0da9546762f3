"""Files that are given for slides and are none: one line says what each is."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from napari_nh2st.errors import ForeignSlide, SlideError
from napari_nh2st.slides import FORMATS, open_slide

CASES = {
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-lfs pointer"),
    "empty": (b"", "empty"),
    "page": (b"\n<!DOCTYPE html><html><body>404</body></html>", "HTML page"),
    "page after a comment": (b"<!-- saved -->\n<!DOCTYPE html>", "HTML page.*download"),
    "page of XHTML": (b'<?xml version="1.0"?>\n<!DOCTYPE html><html>', "HTML page.*download"),
    "page in UTF-16": ("\ufeff<html>".encode("utf-16-le"), "HTML page.*download"),
    "bucket": (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>',
        "XML message.*download",
    ),
    "service": (b'{"error": "not found"}', "JSON message.*download"),
    "line": (b"404: Not Found", "line of text.*download"),
    "git-annex": (b"/annex/objects/SHA256E-s1234--abcd.svs\n", "git annex get"),
    "git-annex link": (b"../.git/annex/objects/Wx/3k/MD5E-s12--ab.svs/MD5E-s12--ab.svs", "git annex get"),
    "text": (b"sample,patient\nA,1\n", "known format"),
    "short": (b"II*\0", "cannot be read|cut short"),
    "jpeg": (b"\xff\xd8\xff\xe0", "damaged header"),
    "png": (b"\x89PNG\r\n\x1a\nxxxxxxxxxxxx", "damaged header"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_named(tmp_path, case):
    content, said = CASES[case]
    path = tmp_path / "slide.svs"
    path.write_bytes(content)
    with pytest.raises(SlideError, match=said) as error:
        open_slide(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_every_reader_gives_its_reason(tmp_path):
    (tmp_path / "x.svs").write_bytes(b"no image at all")
    with pytest.raises(SlideError) as error:
        open_slide(tmp_path / "x.svs")
    said = str(error.value)
    assert all(re.search(rf"\b{name}[,:] ", said) for name in FORMATS)
    assert said.count("does not begin like a TIFF") == 1  # said once of all that it is true of


def test_missing_folder_and_pipe(tmp_path):
    with pytest.raises(SlideError, match="does not exist"):
        open_slide(tmp_path / "none.svs")
    with pytest.raises(SlideError, match="is a folder"):
        open_slide(tmp_path)
    with pytest.raises(SlideError, match="cannot be opened"):
        open_slide("nul\0byte.svs")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.svs")
        with pytest.raises(SlideError, match="not a file"):
            open_slide(tmp_path / "pipe.svs")


def test_slides_take_neither_torch_nor_qt():
    code = (
        "import sys, napari_nh2st.slides\n"
        "print([m for m in ('torch', 'qtpy', 'napari', 'PySide6', 'PyQt6', 'scanpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# The first bytes of files that people take for slides, and what each must be called
OTHER_FORMATS = {
    "CZI": b"ZISRAWFILE",
    "LIF": b"\x70\0\0\0\xaa\0\0\0\x2a",
    "ND2": b"\xda\xce\xbe\x0a\x10\0\0\0",
    "ZVI": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "ETS": b"SIS\0",
    "DICOM": bytes(128) + b"DICM",
    "iSyntax": b'<DataObject ObjectType="DPUfsImport">',
    "SQLite": b"SQLite format 3\0",
    "VMS": b"[Virtual Microscope Specimen]\r\nNoLayers=1\r\n",
    "VMU": b"[Uncompressed Virtual Microscope Specimen]\n",
    "NDPI slides": b"[NanoZoomer Digital Pathology Image Set]\n",
    "AFI": b"<ImageList><Image><Path>a.svs</Path></Image></ImageList>",
    "MIRAX": b"[GENERAL]\nSLIDE_VERSION = 01.02\n",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "NumPy": b"\x93NUMPY\1\0",
    "PDF": b"%PDF-1.7",
    "Photoshop": b"8BPS\0\1",
    "SVG": b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg">',
    "OpenEXR": b"\x76\x2f\x31\x01\2\0\0\0",
    "Radiance": b"#?RADIANCE\n",
    "icon": b"\0\0\1\0\2\0\x20\x20",
    "FITS": b"SIMPLE  =                    T",
    "WebP": b"RIFF\x10\0\0\0WEBPVP8 ",
    "GIF": b"GIF89a",
    "BMP": b"BM\0\1\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG XL": b"\xff\x0a",
    "HEIC": b"\0\0\0\x24ftypheic",
    "video": b"\0\0\0\x24ftypisom",
    "zip": b"PK\3\4\x14\0",
    "gzip": b"\x1f\x8b\x08",
    "tar": b"a.svs".ljust(257, b"\0") + b"ustar",
    "macOS": b"\0\5\x16\7\0\2",
    "zeros": bytes(8),
}


@pytest.mark.parametrize("name", ["slide.svs", "slide.tif", "slide.jpg", "slide"])
@pytest.mark.parametrize("format", OTHER_FORMATS)
def test_another_format_is_named_whatever_the_files_name(tmp_path, format, name):
    path = tmp_path / name
    path.write_bytes(OTHER_FORMATS[format].ljust(6000, b"\0"))
    with pytest.raises(SlideError, match=rf"{format}.*(convert|save|unpack|name|export|open|download)") as error:
        open_slide(path)
    assert "\n" not in str(error.value)


def overview(path):
    from support.slides import generic, jpeg, picture

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".mrxs", ".jpg"):
        return jpeg(path.with_suffix(".jpg"), picture()).rename(path)
    return generic(path, picture())


@pytest.mark.parametrize(
    ("name", "beside", "said"),
    [
        ("CASE1.jpg", "CASE1/Slidedat.ini", "MIRAX.*open it by its name CASE1.mrxs"),
        ("CASE1.mrxs", "", "MIRAX.*Slidedat.ini.*copy that too"),
        ("Slide_7.vsi", "_Slide_7_/stack1/frame_t.ets", "Olympus.*convert it to OME-TIFF"),
        ("Slide_7.tif", "_Slide_7_/stack10001/frame_t_0.ets", "Olympus.*convert it to OME-TIFF"),
        ("Slide_7.vsi", "", "Olympus.*convert it to OME-TIFF"),
        ("a(1,0).jpg", "a.vms", "Hamamatsu.*open a.vms"),
        ("a_macro.jpg", "a.vms", "Hamamatsu.*open a.vms"),
        ("a.jpg", "a.vms", "Hamamatsu.*open a.vms"),
    ],
)
def test_an_overview_of_pixels_that_lie_beside_it_is_refused(tmp_path, name, beside, said):
    path = overview(tmp_path / name)
    if beside:
        (tmp_path / beside).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / beside).write_bytes(b"\0" * 64)
    with pytest.raises(ForeignSlide, match=rf"only .* {said}") as error:
        open_slide(path)
    assert "\n" not in str(error.value)


def test_what_lies_beside_other_names_changes_nothing(tmp_path):
    for beside in ("other/Slidedat.ini", "_other_/stack1/frame_t.ets", "other.vms"):
        (tmp_path / beside).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / beside).write_bytes(b"\0")
    for name in ("a.jpg", "a.tif"):
        open_slide(overview(tmp_path / name)).close()


def test_folders_of_slides_are_named(tmp_path):
    cases = (("c", "Slidedat.ini", "MIRAX .*open c.mrxs"), ("d.nh2st", "zarr.json", "a prediction, not a slide"))
    for name, file, said in cases:
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")
        with pytest.raises(SlideError, match=said):
            open_slide(tmp_path / name)
