"""What is given for a slide and is none: one line that says what it is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from napari_nh2st.errors import SlideError
from napari_nh2st.slides import FORMATS, open_slide

CASES = {
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-lfs pointer"),
    "empty": (b"", "empty"),
    "page": (b"\n<!DOCTYPE html><html><body>404</body></html>", "HTML page"),
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
    assert all(f"{name}: " in str(error.value) for name in FORMATS)


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
