"""Checks of the installation and the display, each with the fault that it looks for."""

import os
import sys
import tempfile
import time
from importlib import metadata
from types import SimpleNamespace

import pytest

from napari_nh2st.doctor import system
from napari_nh2st.doctor.checks import compute, display, machine, packages, plugin
from napari_nh2st.doctor.child import Answer
from support.doctor import NAPARI, TORCH, WINDOW, probes

CARD = {"name": "RTX 4090", "capability": "8.9", "free": 20e9, "total": 24e9}
CUDA = TORCH | {"cuda_build": "12.8", "architectures": ["sm_80", "sm_90", "compute_90"]}
WORKS = CUDA | {"cuda": True, "cards": [CARD], "device": "cuda"}


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch):
    """Four cores, a screen, no graphics card, and no variable that changes how anything works."""
    for name in list(os.environ):
        if name.startswith(("OMP_", "MKL_", "OPENBLAS_", "NUMBA_", "QT_", "CUDA_", "SSH_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(compute, "usable_cores", lambda: 1)
    monkeypatch.setattr(compute, "has_nvidia", lambda: False)


def installed(monkeypatch, versions, requires=()):
    """Let the metadata name these versions alone."""

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda _: list(requires))


# packages


def test_python_too_old(monkeypatch):
    monkeypatch.setattr(packages, "_metadata", lambda _: ">=3.99")
    finding = packages.python_version(probes())
    assert finding.level == "fault"
    assert ">=3.99 is needed" in finding.found


def test_versions_out_of_bounds_and_missing(monkeypatch):
    lines = [
        "numpy>=2.0",
        "zarr>=3.0.8",
        "torch>=2.6",
        'pyside6; extra == "pyside6"',
        'pywin32; sys_platform == "none"',
    ]
    installed(monkeypatch, {"numpy": "1.26.4", "torch": "2.13.0+cpu"}, lines)
    finding = packages.package_versions(probes())
    assert finding.level == "fault"
    assert finding.found == "numpy 1.26.4 does not fit >=2.0; zarr is missing"
    assert finding.mend == 'python -m pip install "zarr>=3.0.8" "numpy>=2.0"'


def test_versions_that_fit(monkeypatch):
    installed(monkeypatch, {"numpy": "2.4.0", "torch": "2.14.0a0+git1"}, ["numpy>=2.0", "torch>=2.6"])
    assert packages.package_versions(probes()).level == "ok"


@pytest.mark.parametrize(
    ("versions", "level", "said"),
    [
        ([], "fault", "is not installed"),
        (["0.1.0", "0.0.9"], "fault", "several versions: 0.0.9, 0.1.0"),
        (["0.0.9"], "warning", "0.0.9 is installed"),
        (["0.1.0", "0.1.0"], "ok", "0.1.0"),
    ],
)
def test_the_package_itself(monkeypatch, versions, level, said):
    monkeypatch.setattr(packages, "__version__", "0.1.0")
    found = [SimpleNamespace(version=version) for version in versions]
    monkeypatch.setattr(metadata, "distributions", lambda **_: found)
    finding = packages.installed_once(probes())
    assert finding.level == level
    assert said in finding.found


def test_a_package_that_cannot_be_imported():
    broken = {
        "numpy": "",
        "numba": "ImportError: Numba needs NumPy 2.3 or less",
        "PIL.Image": "ImportError: no libjpeg",
    }
    finding = packages.packages_import(probes(packages=broken))
    assert finding.level == "fault"
    assert "numba cannot be imported (ImportError: Numba needs NumPy 2.3 or less)" in finding.found
    assert finding.mend.endswith("--force-reinstall numba pillow") or finding.mend.endswith("pillow numba")


def test_a_package_that_ends_the_process():
    answer = Answer({"numpy": "", "igraph": "begun"}, ended="ended with signal 11 (SIGSEGV)")
    finding = packages.packages_import(probes(packages=answer))
    assert finding.found == "igraph cannot be imported (its import ended with signal 11 (SIGSEGV))"


@pytest.mark.parametrize(
    ("versions", "level", "said"),
    [
        ({}, "warning", "no Qt binding"),
        ({"PySide6-Essentials": "6.11.3"}, "ok", "pyside6 6.11.3"),
        ({"PySide6": "6.11.3", "PyQt6": "6.8"}, "warning", "several Qt bindings"),
        ({"PyQt5": "5.15"}, "fault", "too old"),
        ({"PySide6-Essentials": "6.12.0"}, "fault", "6.12.0 does not fit"),
    ],
)
def test_qt_bindings(monkeypatch, versions, level, said):
    installed(monkeypatch, versions, ['PySide6-Essentials>=6.7,!=6.12.0; extra == "pyside6"'])
    finding = packages.qt_binding(probes())
    assert finding.level == level
    assert said in finding.found


def test_qt_api_names_a_binding_that_is_missing(monkeypatch):
    installed(monkeypatch, {"PySide6": "6.11.3"})
    monkeypatch.setenv("QT_API", "pyqt6")
    assert packages.qt_binding(probes()).level == "fault"


# torch and devices


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(error="ModuleNotFoundError: No module named 'torch'"), "No module named 'torch'"),
        (Answer(error="OSError: libcudart.so.12: cannot open shared object file"), "libcudart.so.12"),
        (Answer(ended="did not answer within 60 s"), "did not answer"),
        (Answer({"torch": "2.13.0"}, ended="ended with signal 4 (SIGILL)"), "does not compute: ended with signal 4"),
        (TORCH | {"adds_up": False}, "computes wrongly on cpu"),
    ],
)
def test_torch_is_broken(answer, said):
    finding = compute.torch_works(probes(compute=answer))
    assert finding.level == "fault"
    assert said in finding.found


@pytest.mark.parametrize(
    ("facts", "card", "level", "said"),
    [
        (TORCH, True, "warning", "built for the processor only"),
        (CUDA, False, "ok", "no NVIDIA graphics card"),
        (CUDA | {"driver": 11040}, True, "warning", "serves CUDA up to 11.4, torch is built for 12.8"),
        (CUDA | {"driver": 12080}, True, "warning", "cannot use it"),
        (WORKS, True, "ok", "RTX 4090 (24 GB)"),
        (WORKS | {"cards": [CARD | {"capability": "12.0"}]}, True, "ok", "RTX 4090"),
        (WORKS | {"cards": [CARD | {"capability": "6.1"}]}, True, "fault", "has no code for RTX 4090 (capability 6.1)"),
        (WORKS | {"cards": [CARD | {"free": 1e8}]}, True, "warning", "nearly full"),
    ],
)
def test_graphics_card(monkeypatch, facts, card, level, said):
    monkeypatch.setattr(compute, "has_nvidia", lambda: card)
    finding = compute.graphics_card(probes(compute=facts))
    assert finding.level == level
    assert said in finding.found


def test_no_card_and_no_build_for_one_is_no_finding():
    assert compute.graphics_card(probes()) is None


def test_a_hidden_graphics_card(monkeypatch):
    monkeypatch.setattr(compute, "has_nvidia", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert compute.graphics_card(probes(compute=CUDA)).mend == "unset CUDA_VISIBLE_DEVICES to use it"


@pytest.mark.parametrize(
    ("mps", "level"),
    [({"built": True, "available": True}, "ok"), ({"built": True}, "warning"), ({"built": False}, "warning")],
)
def test_apple(monkeypatch, mps, level):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert compute.apple_graphics(probes(compute=TORCH | {"mps": mps})).level == level


def test_a_processor_without_avx(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert compute.processor(probes(compute=TORCH | {"capability": "DEFAULT"})).level == "warning"


@pytest.mark.parametrize(
    ("variable", "cores", "count", "level"),
    [
        (None, 4, 4, "ok"),
        (None, 2, 16, "warning"),
        (("OMP_NUM_THREADS", "1"), 4, 1, "warning"),
        (("OMP_NUM_THREADS", "four"), 4, 4, "fault"),
        (("OMP_NUM_THREADS", "4,2"), 4, 4, "ok"),
        (("NUMBA_NUM_THREADS", "9999"), 4, 4, "fault"),
    ],
)
def test_threads(monkeypatch, variable, cores, count, level):
    monkeypatch.setattr(compute, "usable_cores", lambda: cores)
    if variable is not None:
        monkeypatch.setenv(*variable)
    assert compute.threads(probes(compute=TORCH | {"threads": count})).level == level


# napari


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(error="ImportError: cannot import name 'x' from 'pydantic'"), "napari cannot be imported"),
        (Answer({"napari": "0.9.2"}, error="AttributeError: y"), "plugins cannot be listed"),
        (NAPARI | {"manifest": "npe2 does not find it"}, "does not see the plugin"),
        (NAPARI | {"imports": "ImportError: no module named magicgui"}, "no module named magicgui"),
        (Answer({"napari": "0.9.2", "manifest": ""}, ended="ended with signal 6 (SIGABRT)"), "signal 6"),
    ],
)
def test_napari_does_not_see_the_plugin(answer, said):
    finding = plugin.napari_sees_it(probes(plugin=answer))
    assert finding.level == "fault"
    assert said in finding.found


def test_the_plugin_is_turned_off():
    assert plugin.enabled(probes(plugin=NAPARI | {"disabled": True})).level == "fault"


@pytest.mark.parametrize(
    ("readers", "level"),
    [
        ({}, "ok"),
        ({"*.svs": "napari-nh2st", "*.csv": "napari"}, "ok"),
        ({"*.tif": "napari"}, "warning"),
        ({"*.SVS": "napari-openslide"}, "warning"),
    ],
)
def test_readers(readers, level):
    assert plugin.reader_choice(probes(plugin=NAPARI | {"readers": readers})).level == level


# the machine


@pytest.mark.parametrize(("free", "level"), [(10**9, "fault"), (3 * 10**9, "warning"), (10**10, "ok")])
def test_memory(monkeypatch, free, level):
    monkeypatch.setattr(machine, "free_memory", lambda: free)
    assert machine.memory(probes()).level == level


def test_the_memory_of_this_machine_is_known():
    assert system.free_memory() > 10**7


def test_no_home(monkeypatch):
    def gone():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", gone)
    assert machine.home_folder(probes()).level == "warning"


def test_a_home_that_does_not_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "gone"))
    assert "does not exist" in machine.home_folder(probes()).found


def test_tmpdir_names_no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    assert machine.temporary_folder(probes()).mend == "make it, or unset TMPDIR"


def test_no_temporary_folder(monkeypatch):
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)

    def none():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert machine.temporary_folder(probes()).level == "fault"


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "file" / "cache"))
    finding = machine.cache(probes())
    assert finding.level == "fault"
    assert "cannot be written to" in finding.found


def test_a_cache_limit_that_is_no_size(monkeypatch, tmp_path):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path))
    monkeypatch.setenv("NH2ST_CACHE_LIMIT", "lots")
    finding = machine.cache(probes())
    assert finding.level == "fault"
    assert "NH2ST_CACHE_LIMIT" in finding.found


def test_a_cache_on_a_network_drive(monkeypatch, tmp_path):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path))
    monkeypatch.setattr(machine, "network_kind", lambda _: "nfs4")
    assert machine.cache(probes()).level == "warning"


@pytest.mark.parametrize("name", ["cache", "working_folder", "temporary_folder"])
def test_a_full_disk(monkeypatch, tmp_path, name):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path))
    monkeypatch.setattr(machine, "free_bytes", lambda _: 10**6)
    assert getattr(machine, name)(probes()).level == "fault"


@pytest.mark.parametrize(("shift", "level"), [(0, "ok"), (-3600, "warning"), (3600, "warning"), (-1.7e9, "fault")])
def test_a_clock_that_is_wrong(monkeypatch, shift, level):
    now = time.time
    monkeypatch.setattr(machine.time, "time", lambda: now() + shift)
    assert machine.clock(probes()).level == level


MOUNTS = """/dev/sda1 / ext4 rw 0 0
server:/export /data nfs4 rw 0 0
//nas/scans /data/lab\\040scans cifs rw 0 0
/dev/sdb1 /data/local ext4 rw 0 0
me@host: /remote fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/a.svs", ""),
        ("/data/a.svs", "nfs4"),
        ("/data/lab scans/a.svs", "cifs"),
        ("/data/local/a.svs", ""),
        ("/database/a.svs", ""),
        ("/remote/a.svs", "fuse.sshfs"),
    ],
)
def test_network_drives(path, kind):
    assert system.network_kind(path, MOUNTS) == kind


# the display


def test_no_screen(monkeypatch):
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert display.screen(probes()).level == "warning"
    assert display.window(probes()) is display.canvas(probes()) is None


def test_offscreen(monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert display.screen(probes()).mend == "unset QT_QPA_PLATFORM"


@pytest.mark.parametrize(
    ("answer", "check", "level", "said"),
    [
        (WINDOW, "window", "ok", "PySide6 6.11.3"),
        (WINDOW, "canvas", "ok", "NVIDIA RTX"),
        (Answer(error="ImportError: libEGL.so.1"), "window", "fault", "libEGL.so.1"),
        (
            Answer({"binding": "PySide6 6", "qt": "6"}, ended="ended with signal 6 (SIGABRT)", error="no xcb"),
            "window", "fault", "ended with signal 6 (SIGABRT) (no xcb)",
        ),
        (WINDOW | {"gl": None}, "canvas", "fault", "stays empty"),
        (Answer({k: v for k, v in WINDOW.items() if k != "gl"}, ended="ended with signal 11"), "canvas", "fault", "11"),
        (WINDOW | {"gl": WINDOW["gl"] | {"renderer": "llvmpipe (LLVM 15)"}}, "canvas", "warning", "llvmpipe"),
        (WINDOW | {"gl": WINDOW["gl"] | {"texture": 2048}}, "canvas", "warning", "2048"),
    ],
)  # fmt: skip
def test_window_and_canvas(answer, check, level, said):
    finding = getattr(display, check)(probes(window=answer))
    assert finding.level == level
    assert said in finding.found
