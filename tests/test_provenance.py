import json
import platform
import subprocess
import sys

import pytest

import napari_nh2st
from napari_nh2st.provenance import printable, repeat_command, versions


def test_versions_name_what_numbers_depend_on():
    found = versions()
    assert found["napari-nh2st"] == napari_nh2st.__version__
    assert found["python"] == platform.python_version()
    assert {"torch", "numpy", "zarr", "tifffile", "platform"} <= set(found)
    assert json.loads(json.dumps(found)) == found


def test_versions_import_nothing():
    code = (
        "import sys; from napari_nh2st.provenance import versions; versions();"
        "print([m for m in ('torch', 'numpy', 'zarr', 'napari') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["/opt/env/bin/nh2st", "predict", "a b.svs", "--mpp", "0.5"], "nh2st predict 'a b.svs' --mpp 0.5"),
        (["/x/napari_nh2st/__main__.py", "demo"], "nh2st demo"),
        (["script.py"], "script.py"),
        ([], ""),
    ],
)
def test_the_command_can_be_pasted(argv, line):
    assert repeat_command(argv) == line


def test_names_that_are_no_utf8_can_stand_in_every_text_file():
    assert printable("a/\xfc\u03bb.tif") == "a/\xfc\u03bb.tif"
    assert repeat_command(["nh2st", "info", "bad\udcff.tif"]).encode() == b"nh2st info 'bad\\xff.tif'"
