"""What importing takes, seen from a fresh interpreter."""

import json
import pkgutil
import subprocess
import sys

import pytest

import napari_nh2st

HEAVY = (
    "torch",
    "lightning",
    "napari",
    "qtpy",
    "PySide6",
    "PyQt6",
    "magicgui",
    "superqt",
    "scanpy",
    "anndata",
    "zarr",
    "scipy",
)

_BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
"""
WITHOUT_QT = _BLOCK.format(
    blocked={"qtpy", "napari", "magicgui", "superqt", "pyqtgraph", "vispy", "PySide6", "PyQt6", "PySide2", "PyQt5"}
)
WITHOUT_TORCH = _BLOCK.format(blocked={"torch", "lightning", "pytorch_lightning"})


def _fresh(code, *args):
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, args)]
    out = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert out.returncode == 0, out.stderr
    return out.stdout


def _loads(statement):
    code = f"import sys, json; {statement}; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    return set(json.loads(_fresh(code).splitlines()[-1]))


def test_the_package_takes_nothing_heavy():
    assert not _loads("import napari_nh2st; dir(napari_nh2st)") & {*HEAVY, "numpy", "pandas", "pydantic"}


@pytest.mark.parametrize(
    ("statement", "takes_not"),
    [
        ("import napari_nh2st.viewer.finetune.dock_presenter", {"torch", "zarr", "scipy", "scanpy"}),  # the dock opens
        ("import napari_nh2st.viewer.predict_dock", {"torch", "tifffile", "zarr", "scanpy", "pandas"}),
        ("from napari_nh2st import open_slide", {"torch", "napari", "qtpy", "scanpy"}),
        ("from napari_nh2st import Prediction", {"torch", "napari", "qtpy", "scanpy", "zarr"}),
        ("import napari_nh2st.formats", {"torch", "napari", "qtpy", "scanpy", "anndata"}),
        ("import napari_nh2st.expression", {"torch", "napari", "qtpy"}),
        ("import napari_nh2st.cli", {"torch", "napari", "qtpy", "scanpy", "anndata"}),
        ("import napari_nh2st.viewer", {"torch", "scanpy"}),
    ],
)
def test_a_part_takes_only_what_it_needs(statement, takes_not):
    assert not _loads(statement) & takes_not


def _modules(*, viewer):
    found = pkgutil.walk_packages(napari_nh2st.__path__, "napari_nh2st.")
    names = [m.name for m in found]
    assert names
    return [n for n in names if n.startswith("napari_nh2st.viewer") == viewer and not n.endswith("__main__")]


def test_everything_but_the_viewer_imports_without_qt_and_napari():
    _fresh(
        WITHOUT_QT + "import importlib\nfor name in sys.argv[1:]:\n    importlib.import_module(name)",
        *_modules(viewer=False),
    )


def test_slides_tables_and_files_import_without_torch():
    free = ("slides", "expression", "formats", "metrics", "geometry", "model.card", "engine.prediction")
    names = [n for n in _modules(viewer=False) if n.removeprefix("napari_nh2st.").startswith(free)]
    assert len(names) >= len(free)
    _fresh(WITHOUT_TORCH + "import importlib\nfor name in sys.argv[1:]:\n    importlib.import_module(name)", *names)


_PREDICT = (
    WITHOUT_QT
    + """
import numpy as np
from pathlib import Path
from PIL import Image
from napari_nh2st import open_slide, predict
from napari_nh2st.formats import export
from napari_nh2st.model.card import Architecture, Card
from napari_nh2st.model.folder import save_model
from napari_nh2st.model.nh2st import build

folder, variant = Path(sys.argv[1]), sys.argv[2]
arch = Architecture(variant=variant, width=4, dim=16, hidden=16, heads=2)
card = Card(name="untrained", architecture=arch, mpp=0.5, pitch=112, genes=["A", "B"], gene_means=[1.0, 2.0])
save_model(build(arch, 2), card, folder / "model")
noise = np.random.default_rng(0).integers(0, 60, size=(700, 700, 3), dtype=np.uint8)
Image.fromarray(noise + np.array([150, 60, 130], dtype=np.uint8)).save(folder / "tissue.png")
found = predict(open_slide(folder / "tissue.png", mpp=0.5), folder / "model")
assert found.done.any() and np.isfinite(found.gene("B")[found.done]).all()
export(found, "csv", folder / "out.csv")
"""
)


@pytest.mark.parametrize("variant", ["context", "paper"])
def test_predicts_without_qt_and_napari(variant, tmp_path):
    _fresh(_PREDICT, tmp_path, variant)
    assert len((tmp_path / "out.csv").read_text().splitlines()) > 10
