"""`nh2st doctor` as a contract: what is printed, the exit status, and that nothing that is broken stops it."""

import json
import os
import re
import subprocess
import sys

import pytest

from napari_nh2st.doctor import examination
from napari_nh2st.doctor.child import Answer
from napari_nh2st.doctor.examination import Check, Group, Probes, examine
from napari_nh2st.doctor.finding import ok
from napari_nh2st.doctor.subject import Subject
from napari_nh2st.doctor.table import groups
from napari_nh2st.engine.store import save_prediction
from support import doctor, slides
from support.predictions import prediction


@pytest.fixture
def asked(monkeypatch):
    """Return a setter of the probes that the command asks; everything is well until it is called."""
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)

    def answer(**answers):
        monkeypatch.setattr(examination, "Probes", lambda: doctor.probes(**answers))

    answer()
    return answer


def test_the_last_line_counts(nh2st, asked):
    status, out, _ = nh2st("doctor")
    last = out.splitlines()[-1]
    fine, warnings = out.count("\n  fine "), out.count("\n  warning ")
    assert status == 0
    assert last == f"{fine} fine, {warnings} warning{'s' * (warnings != 1)}, 0 faults"
    assert out.startswith("Installation\n")


def test_a_fault_is_exit_status_1_with_its_mend(nh2st, asked):
    asked(plugin=doctor.NAPARI | {"disabled": True})
    status, out, _ = nh2st("doctor")
    assert status == 1
    assert "  FAULT    the plugin is turned off in napari\n           -> turn it on: " in out
    assert out.splitlines()[-1].endswith("1 fault")


def test_json(nh2st, asked, tmp_path):
    file = slides.tiff(tmp_path / "a.tif", slides.picture(70, 60))
    asked(slide=doctor.SLIDE | {"mpp": None, "mpp_source": "none"})
    status, out, _ = nh2st("doctor", file, "--model", "demo", "--json")
    document = json.loads(out)
    by_name = {group["group"]: group for group in document["groups"]}
    assert status == 1
    assert document["faults"] == 1
    assert list(by_name) == ["installation", "display", "slide", "model"]
    assert by_name["slide"]["of"] == str(file)
    check = next(c for c in by_name["slide"]["checks"] if c["check"] == "pixel_size")
    assert check["level"] == "fault"
    assert "--mpp" in check["mend"]


def test_the_order_of_what_is_asked_about_does_not_matter(nh2st, asked, tmp_path):
    file = slides.tiff(tmp_path / "a.tif", slides.picture(70, 60))
    folder = save_prediction(prediction(), tmp_path / "a.nh2st")
    _, first, _ = nh2st("doctor", file, folder)
    _, second, _ = nh2st("doctor", folder, file)
    assert re.sub(r"\d+", "#", first) == re.sub(r"\d+", "#", second)  # free memory and disk change meanwhile
    assert f"Slide {file}" in first
    assert f"Prediction {folder}" in first


@pytest.mark.parametrize("option", ["--report", "--out"])
def test_a_report_is_written(nh2st, asked, tmp_path, option):
    file = slides.tiff(tmp_path / "Huber Maria.tif", slides.picture(70, 60))
    status, _, err = nh2st("doctor", file, option, tmp_path / "report.txt")
    text = (tmp_path / "report.txt").read_text("utf-8")
    assert status == 0
    assert "report.txt" in err
    assert "Slide <slide>" in text
    assert "Huber" not in text
    assert str(tmp_path) not in text


def test_what_is_nothing_is_one_line(nh2st, tmp_path):
    status, out, err = nh2st("doctor", tmp_path)
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


# everything else is broken

DEAD = [
    Answer(),
    Answer(error="ImportError: x"),
    Answer(ended="ended with signal 11 (SIGSEGV)"),
    Answer(ended="did not answer within 60 s"),
]


@pytest.mark.parametrize("answer", DEAD)
def test_every_check_works_although_no_probe_does(monkeypatch, tmp_path, answer):
    monkeypatch.setenv("DISPLAY", ":9")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"x")
    subject = Subject((tmp_path / "a.svs",), ("demo",), (tmp_path,), (tmp_path / "a.nh2st",))
    diagnosis = examine(groups(subject), Probes(lambda *_, **__: answer))
    findings = [finding for result in diagnosis.results for finding in result.findings.values()]
    assert not [f.found for f in findings if "itself failed" in f.found]
    for title in ("Slide", "Model", "Prediction"):
        levels = [f.level for r in diagnosis.results if r.title == title for f in r.findings.values()]
        assert "fault" in levels, title


def test_a_check_that_fails_itself_is_a_fault_and_the_others_go_on():
    def broken(_):
        raise ZeroDivisionError("division by zero")

    checks = [Check("broken", broken), Check("sound", lambda _: ok("well")), Check("absent", lambda _: None)]
    (result,) = examine([Group("A", checks)], Probes(lambda *_, **__: Answer())).results
    assert list(result.findings) == ["broken", "sound"]
    assert result.findings["broken"].found == "the check 'broken' itself failed: ZeroDivisionError: division by zero"
    assert result.findings["sound"].level == "ok"


BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"numpy", "torch", "napari", "npe2", "qtpy", "zarr", "scipy", "packaging", "tifffile"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
"""


@pytest.mark.long
def test_without_numpy_torch_napari_qt_and_packaging(tmp_path):
    """In true processes: neither the command nor its probes can import them."""
    (tmp_path / "sitecustomize.py").write_text(BLOCK)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "DISPLAY": ":9"}
    command = [sys.executable, "-m", "napari_nh2st", "doctor", "gone.svs", "--model", "demo", "--json"]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    by_check = {check["check"]: check for group in document["groups"] for check in group["checks"]}
    for name in ("packages_import", "torch_works", "napari_sees_it", "window", "opens"):
        assert by_check[name]["level"] == "fault", name
        assert "blocked" in by_check[name]["found"], name
    for name in ("python_version", "installed_once", "temporary_folder", "clock"):
        assert by_check[name]["level"] == "ok", name


@pytest.mark.long
def test_a_sound_installation_has_no_fault(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    command = [sys.executable, "-m", "napari_nh2st", "doctor", "--model", "demo"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.viewer
def test_a_window_with_a_canvas_is_opened(nh2st, monkeypatch):
    from napari_nh2st.doctor.child import ask

    def only_the_window(probe, *arguments, seconds, cancelled):
        return ask(probe, seconds=seconds) if probe == "window" else Answer(doctor.SOUND.get(probe, {}))

    monkeypatch.setattr(examination, "Probes", lambda: Probes(only_the_window))
    _, out, _ = nh2st("doctor", "--json")
    display = next(group for group in json.loads(out)["groups"] if group["group"] == "display")
    levels = {check["check"]: check["level"] for check in display["checks"]}
    assert levels["window"] == "ok"
    assert levels["canvas"] in ("ok", "warning")
