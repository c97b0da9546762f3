"""The wheel holds what a person needs, and napari accepts its manifest."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _run(*command, **options):
    out = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False, timeout=300, **options
    )
    assert out.returncode == 0, out.stdout + out.stderr
    return out.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    _run(*pip, "--wheel-dir", folder, ROOT)
    (found,) = folder.glob("napari_nh2st-*.whl")
    return found


def test_the_wheel_is_complete(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"napari_nh2st/napari.yaml", "napari_nh2st/py.typed", "napari_nh2st/cli/predict.py"} <= names
    for model in ("demo", "demo-paper", "her2st"):
        for part in ("model.safetensors", "card.json", "README.md"):
            assert f"napari_nh2st/demo/models/{model}/{part}" in names
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert not [n for n in names if "__pycache__" in n or n.startswith("tests")]


def test_the_wheel_is_small(wheel):
    models = [i for i in zipfile.ZipFile(wheel).infolist() if "/demo/models/" in i.filename]
    assert sum(i.file_size for i in models) <= 14 * 2**20
    assert wheel.stat().st_size <= 14 * 2**20


def test_every_source_file_is_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    files = {p.relative_to(source).as_posix() for p in (source / "napari_nh2st").rglob("*.py")}
    assert files <= names


def test_metadata_for_napari(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    (entries,) = [n for n in archive.namelist() if n.endswith(".dist-info/entry_points.txt")]
    text = archive.read(metadata).decode()
    assert "Classifier: Framework :: napari" in text
    assert "License-Expression: BSD-3-Clause" in text
    assert not [x for x in text.splitlines() if x.startswith("Requires-Dist: PySide6") and "extra" not in x]
    assert "[napari.manifest]\nnapari-nh2st = napari_nh2st:napari.yaml" in archive.read(entries).decode()


def test_npe2_validates_the_installed_wheel(wheel, tmp_path):
    _run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", tmp_path, wheel)
    where = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    code = "import napari_nh2st; print(napari_nh2st.__file__)"
    assert Path(_run("-c", code, env=where, cwd=tmp_path).strip()).is_relative_to(tmp_path)
    assert "valid" in _run("-m", "npe2", "validate", tmp_path / "napari_nh2st" / "napari.yaml", env=where, cwd=tmp_path)
    assert "valid" in _run("-m", "npe2", "validate", "napari-nh2st", env=where, cwd=tmp_path)


def test_npe2_validates_what_is_installed_here(tmp_path):
    assert "valid" in _run("-m", "npe2", "validate", "napari-nh2st", cwd=tmp_path)


def test_npe2_validates_the_manifest_at_the_top():
    top = ROOT / "napari.yaml"
    assert top.is_symlink()
    assert not Path(top.readlink()).is_absolute()
    assert "valid" in _run("-m", "npe2", "validate", top, cwd=ROOT)


def test_one_version():
    import tomllib

    import napari_nh2st

    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert pyproject["project"]["version"] == napari_nh2st.__version__
    assert f"version: {napari_nh2st.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {napari_nh2st.__version__}" in (ROOT / "CHANGELOG.md").read_text()
