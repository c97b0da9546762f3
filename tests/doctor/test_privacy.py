"""No name of a person, a machine, a folder, a slide or a section is left in a report, wherever it stood."""

import json
import os
import platform
import socket
import sys
import unicodedata
from pathlib import Path

import pytest

from napari_nh2st.doctor import report
from napari_nh2st.doctor.examination import Diagnosis, Result
from napari_nh2st.doctor.finding import fault, ok
from napari_nh2st.doctor.privacy import Private
from napari_nh2st.doctor.report import report_text
from napari_nh2st.doctor.subject import Subject

SECRETS = (
    "amueller", "Anna", "Müller", "klinik", "ws17", "Huber", "Maria", "1962", "Pathologie", "Süd", "P17", "Schmidt",
    "biopsy", "8831245", "Weber", "grant", "nas-03",
)  # fmt: skip
SLIDE = "/data/Pathologie Süd/Huber Maria 1962.svs"


@pytest.fixture
def person(monkeypatch, tmp_path):
    """Let this process be somebody's."""
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "amueller")
    monkeypatch.setenv("HOME", "/home/amueller")
    monkeypatch.setenv("HOSTNAME", "klinik-ws17")
    monkeypatch.setenv("TMPDIR", "/scratch/Anna Müller/tmp")
    monkeypatch.setenv("NH2ST_CACHE", "/data/grant Weber/cache")
    monkeypatch.setenv("PYTHONPATH", "/home/amueller/lib:/data/Anna Müller/code")
    monkeypatch.setenv("DISPLAY", "nas-03:10.0")
    monkeypatch.setattr(socket, "gethostname", lambda: "klinik-ws17.uni.example")
    monkeypatch.setattr(platform, "node", lambda: "klinik-ws17")
    monkeypatch.setattr(report, "installed", list)  # takes a moment, and has a test of its own


def run_of(folder):
    """A run on sections that have people's names."""
    folder.mkdir()
    (folder / "Sheet Weber.csv").write_text(
        "sample,patient,slide,expression,format\nP17_a,Schmidt,Huber.svs,a.h5ad,h5ad\n", "utf-8"
    )
    (folder / "Huber.svs").write_bytes(b"x")
    (folder / "a.h5ad").write_bytes(b"x")
    (folder / "start.json").write_text(json.dumps({"base": None, "seed": 0, "samples": ["P17_a"]}))
    argv = ["python", "-m", "napari_nh2st", "finetune", str(folder / "Sheet Weber.csv"), "--out", str(folder)]
    (folder / "job.json").write_text(json.dumps({"pid": 1, "identity": "1", "argv": argv}))
    return folder


TEXTS = (
    f"{SLIDE} does not exist",
    f"'{SLIDE}' cannot be opened",
    "Huber Maria 1962.svs has 3 pages",
    "the slide Huber Maria 1962 has no pixel size",
    "HUBER MARIA 1962.SVS: permission denied",
    "reading Huber_Maria_1962_level0",
    "file:///data/Pathologie%20S%C3%BCd/Huber%20Maria%201962.svs",
    "b'/data/Pathologie S\\xc3\\xbcd/Huber Maria 1962.svs'",
    json.dumps({"slide": SLIDE}),
    ascii(SLIDE),
    unicodedata.normalize("NFD", f"{SLIDE} is damaged"),
    r"C:\Users\amueller\Desktop\biopsy Anna.svs is empty",
    r"'C:\\Users\\amueller\\biopsy.tif'",
    r"\\nas-03\Pathologie\biopsy.ndpi cannot be reached",
    "smb://klinik-ws17/share/biopsy.svs timed out",
    "/mnt/other place/Müller, Anna/biopsy 8831245.svs was left out",
    "biopsy_8831245.ndpi#2: not tissue",
    "the sheet names 'biopsy of Schmidt.csv'",
    "section P17_a: 30 spots of patient Schmidt are off the slide",
    "ask amueller@klinik.example, or Anna Müller",
    "started by AMUELLER on klinik-ws17.uni.example (10.1.2.33)",
    "nh2st predict 'Huber Maria 1962.svs' --model /data/grant/Weber/model --out Schmidt/results",
    'File "/home/amueller/code/read.py", line 3, in <module>',
    "FileNotFoundError: [Errno 2] No such file or directory: '/data/Schmidt/biopsy.h5ad'",
    "OSError: ../Schmidt/biopsy is a folder",
    "~amueller/slides is full; ~/Schmidt as well",
)


@pytest.mark.parametrize("text", TEXTS)
def test_names_are_taken_out_wherever_they_stand(person, tmp_path, text):
    subject = Subject(slides=(Path(SLIDE),), runs=(run_of(tmp_path / "Weber run"),))
    finding = fault(text, f"mend: {text}", text)
    written = report_text(Diagnosis([Result("Slide", {"opens": finding}, SLIDE)]), subject)
    readable = unicodedata.normalize("NFC", written).casefold()
    assert [name for name in SECRETS if name.casefold() in readable] == []


SAID = (
    "torch 2.13.0+cpu computes on cpu, in bf16 where that is faster",
    "numpy 1.26.4 does not fit >=2.0; zarr is missing",
    'python -m pip install "zarr>=3.0.8"',
    "ImportError: Numba needs NumPy 2.3 or less. Got NumPy 2.4.",
    "the card is valid: 250 genes, context, 1.389 um per pixel",
    "level 0: 66 MB/s",
    "18 fine, 1 warning, 0 faults",
    "aperio, 2220 x 2967 pixels, 3 levels",
    "OpenGL 4.5 (Compatibility Profile) Mesa 22.3.6, llvmpipe (LLVM 15.0.6, 256 bits)",
    "last.ckpt cannot be read (EOFError)",
    "libEGL.so.1: cannot open shared object file: No such file or directory",
)


@pytest.mark.parametrize("text", SAID)
def test_what_says_nothing_of_people_stays(person, text):
    assert Private(Subject()).clean(text) == text


def test_a_folder_with_a_word_of_the_program_garbles_nothing(monkeypatch, tmp_path):
    (tmp_path / "doctor").mkdir()
    monkeypatch.chdir(tmp_path / "doctor")
    assert Private().clean("nh2st doctor --report FILE") == "nh2st doctor --report FILE"


def test_packages_lie_where_python_is(person):
    text = f'File "{sys.prefix}/lib/python3/site-packages/torch/__init__.py", line 3'
    assert "torch/__init__.py" in Private().clean(text)


def test_a_report_has_versions_findings_and_settings(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    written = report_text(Diagnosis([Result("Installation", {"a": ok("well", "a detail")})]), Subject())
    for part in ("Installation", "well", "| a detail", "OMP_NUM_THREADS=3", "napari-nh2st ", "torch ", "1 fine"):
        assert part in written
    assert os.environ.get("PATH", "no path") not in written
