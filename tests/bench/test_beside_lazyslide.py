"""Beside LazySlide without LazySlide: arguments, installing, the turns, the report and its table. No network."""

import json
import subprocess
from pathlib import Path

import numpy as np
import performance_table
import pytest
from PIL import Image

from napari_nh2st.bench import beside_lazyslide, peers, stopwatch
from napari_nh2st.bench.beside_lazyslide import ROWS, Measured, Report, Row, measure, ratio, read_report
from napari_nh2st.bench.peer_data import write_svs
from napari_nh2st.bench.peer_environment import Peer, set_up
from napari_nh2st.errors import Nh2stError
from napari_nh2st.slides import open_slide
from support.models import small_model

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_peers.sh"
ABOUT = {
    "slide": "section C2",
    "model": "her2st",
    "machine": {"cpu": "A processor", "cores": 2, "simd": "AVX512", "bf16": True},
}
BEST = {"best": {"batch_size": 64, "num_workers": 2, "amp": True}, "trials": []}
VERSIONS = {"lazyslide": "0.13.0", "torch": "2"}


class Programs:
    """Answers in the place of both programs; keeps their calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, call, environment):
        words = [str(word) for word in call]
        self.calls.append((words, environment))
        if "--search" in words:
            return {**BEST, "versions": VERSIONS}
        return {"tiles": 10} if "--tile" in words else {"slides": [{"tiles_total": 20}]}

    def ours(self):
        return [call for call in self.calls if "predict" in call[0]]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    """Measure as on an idle machine, whatever else runs beside the tests."""
    monkeypatch.setattr(stopwatch, "_busy_seconds", lambda: 0.0)


def measured_with(programs, tmp_path):
    model = small_model(tmp_path).path
    models = dict.fromkeys(("ours", "ResNet-18"), model)
    peer = Peer(Path("theirs"), ("--without-operators",))
    return Measured(Path("a.svs"), models, 155.6, peer, tmp_path, programs)


def test_every_row_is_measured_in_each_round(tmp_path):
    programs, kept, lines = Programs(), [], []
    report = Report(ABOUT)
    measure(measured_with(programs, tmp_path), report, 2, lambda r: kept.append(len(r.runs)), lines.append)
    assert {name: len(runs) for name, runs in report.runs.items()} == {row.name: 2 for row in ROWS}
    assert kept == [0, 0, *range(1, len(ROWS) + 1), *[len(ROWS)] * len(ROWS)]  # written after each run
    assert sum("--search" in words for words, _ in programs.calls) == 2
    settings = [
        json.loads(words[words.index("--settings") + 1]) for words, _ in programs.calls if "--settings" in words
    ]
    assert settings[:4] == [{}, BEST["best"], {}, BEST["best"]]
    assert all("--without-operators" in words for words, _ in programs.calls if "theirs" in words)
    tile = (155.6 / 1000) ** 2
    areas = {name: runs[0][1] for name, runs in report.runs.items()}
    assert areas["LazySlide, ours, best"] == pytest.approx(10 * tile)
    assert areas["nh2st, ours, coarse, later"] == pytest.approx(20 * tile)
    assert areas["nh2st, ours, fine, later"] == pytest.approx(20 * tile / 49)


def test_a_later_run_keeps_all_but_the_embeddings(tmp_path):
    programs = Programs()
    measured = measured_with(programs, tmp_path)
    for kept in ("cache/embeddings", "cache/slides", "results"):
        (tmp_path / kept).mkdir(parents=True)
    measured.run(Row("nh2st", "ours", "coarse", "later"), {})
    assert (tmp_path / "cache" / "slides").exists()
    assert not (tmp_path / "cache" / "embeddings").exists()
    assert not (tmp_path / "results").exists()
    measured.run(Row("nh2st", "ours", "coarse", "new cache"), {})
    assert not (tmp_path / "cache").exists()
    assert [environment["NH2ST_CACHE"] for _, environment in programs.ours()] == [str(tmp_path / "cache")] * 2


def test_a_run_that_others_disturb_is_measured_again(tmp_path, monkeypatch):
    shares = iter([0.5, 0.1, *[0.4, 0.3, 0.6], *[0.0] * len(ROWS)])
    measured, report = measured_with(Programs(), tmp_path), Report(ABOUT, dict.fromkeys(("ResNet-18", "ours"), BEST))
    monkeypatch.setattr(Measured, "run", lambda *_: (1.0, 2.0, next(shares)))
    measure(measured, report, 1, lambda report: None, lambda line: None)
    kept = [runs[0][2] for runs in report.runs.values()]
    assert kept == [0.1, 0.3, *[0.0] * (len(ROWS) - 2)]  # the least disturbed of three, where all are


def test_an_interrupted_round_goes_on(tmp_path):
    programs = Programs()
    report = Report(
        ABOUT, dict.fromkeys(("ResNet-18", "ours"), BEST), {row.name: [(1.0, 2.0, 0.0)] for row in ROWS[:9]}
    )
    measure(measured_with(programs, tmp_path), report, 1, lambda report: None, lambda line: None)
    assert len(programs.calls) == len(ROWS) - 9


def test_known_settings_are_not_searched_again_and_rounds_are_added(tmp_path):
    programs, path = Programs(), tmp_path / "report.json"
    measured = measured_with(programs, tmp_path)
    for rounds in (1, 2):
        report = read_report(path, ABOUT)
        measure(measured, report, rounds, lambda r: path.write_text(json.dumps(r.document())), lambda line: None)
    assert sum("--search" in words for words, _ in programs.calls) == 2
    assert {len(runs) for runs in read_report(path, ABOUT).runs.values()} == {2}
    with pytest.raises(Nh2stError, match="of another slide"):
        read_report(path, {**ABOUT, "slide": "section B4"})


def test_a_stopwatch_tells_what_others_took(monkeypatch):
    busy, own = iter([100.0, 104.0]), iter([10.0, 11.0])
    monkeypatch.setattr(stopwatch, "_busy_seconds", lambda: next(busy))
    monkeypatch.setattr(stopwatch, "_own_seconds", lambda: next(own))
    monkeypatch.setattr(stopwatch.time, "perf_counter", iter([0.0, 3.0]).__next__)
    monkeypatch.setattr(stopwatch.os, "cpu_count", lambda: 2)
    assert stopwatch.Stopwatch().stop() == (3.0, 0.5)  # 4 seconds of 6, one of them ours


def report_of(seconds):
    each = {row: seconds[row.program, row.way] for row in ROWS}
    runs = {row.name: [(took, 6.0, 0.0), (2 * took, 6.0, 0.1)] for row, took in each.items()}
    return Report(ABOUT, {"ResNet-18": BEST}, runs, VERSIONS).document()


SECONDS = {("LazySlide", "default"): 8, ("LazySlide", "best"): 4, ("nh2st", "coarse"): 2, ("nh2st", "fine"): 5}


def test_the_ratios_are_those_of_each_round_and_the_bench_reads_them(tmp_path):
    document = report_of(SECONDS)
    (tmp_path / "peers-1.json").write_text(json.dumps(document), "utf-8")
    found = peers.compare(peers.KEYS, tmp_path)
    assert {key: value.value for key, value in found.values.items()} == dict(zip(peers.KEYS, (4, 2), strict=True))
    assert ratio({}, ROWS[0], ROWS[1]) is None


def test_the_table_says_what_is_reached_and_what_is_short():
    table = performance_table.peers(report_of({**SECONDS, ("LazySlide", "best"): 2.4}))
    assert "section C2; model her2st; LazySlide 0.13.0, torch 2; median of 2 rounds" in table
    assert "Other programs took 5% of the processor" in table
    assert "encoder ResNet-18: batches of 64, 2 workers, bfloat16." in table
    coarse = "| nh2st, coarse, new cache | ResNet-18 | 3.0 (2.0 to 4.0) | 2.25 | "
    assert f"{coarse}4.00 (4.00 to 4.00); asked 3: ok | 1.20 (1.20 to 1.20); asked 1.3: short |" in table
    assert (
        "| nh2st, fine, later | ours | 7.5 (5.0 to 10.0) | 0.90 | 1.60 (1.60 to 1.60) | 0.48 (0.48 to 0.48) |" in table
    )
    assert table.count("asked") == 8
    assert performance_table.peers(None) == performance_table.peers({"runs": {}}) == performance_table.NO_PEERS


def test_the_slide_is_one_of_a_scanner(tmp_path):
    picture = np.full((300, 520, 3), 220, dtype=np.uint8)
    picture[100:200, 100:300] = (150, 60, 140)
    Image.fromarray(picture).save(tmp_path / "a.png")
    with open_slide(write_svs(tmp_path / "a.png", 0.693, tmp_path / "a.svs", 2)) as slide:
        assert (slide.shape, slide.mpp, slide.mpp_source) == ((300, 520), 0.693, "aperio")
        assert len(slide.levels) == 2
    with open_slide(write_svs(tmp_path / "a.png", 0.693, tmp_path / "b.svs", 1, copies=2)) as slide:
        assert slide.shape == (600, 1040)
        pink = slide.read(0, 0, 1040, 600, 1.0)[..., 1] < 140
        np.testing.assert_array_equal(pink, pink[::-1, ::-1])  # mirrored down and across
        assert pink.sum() == pytest.approx(4 * 100 * 200, rel=0.02)


class Pip:
    """Stands for Python and pip: names the calls, and fails at some."""

    def __init__(self, *failing):
        self.failing, self.calls = failing, []

    def __call__(self, call):
        words = " ".join(map(str, call))
        self.calls.append(words)
        failed = any(part in words for part in self.failing)
        said = "Looking\nERROR: No matching distribution found\n" if failed else ""
        return subprocess.CompletedProcess(call, int(failed), "", said)


def test_what_is_there_is_not_installed_again(tmp_path):
    pip, lines = Pip(), []
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    assert set_up(tmp_path, lines.append, pip) == Peer(tmp_path / "bin" / "python")
    assert not lines
    assert not any(" install " in call for call in pip.calls)


def test_lazyslide_gets_our_torch_unless_another_one_is_asked_for(tmp_path, monkeypatch):
    pip = Pip("pip show", "import torchvision")
    assert set_up(tmp_path, lambda line: None, pip).words == ("--without-operators",)
    made, torch, lazyslide = (call for call in pip.calls if " install " in call or "venv" in call)
    assert made.endswith(f"-m venv {tmp_path}")
    assert "--quiet torch==" in torch
    assert "+" not in torch
    assert "lazyslide==0.13.*" in lazyslide
    monkeypatch.setenv("TORCH", "torch --index-url somewhere")
    set_up(tmp_path, lambda line: None, pip)
    assert pip.calls[-3].endswith("torch --index-url somewhere torchvision")


def test_without_a_way_to_install_it_says_so_in_one_line(tmp_path, monkeypatch, capsys):
    with pytest.raises(Nh2stError, match=r"^LazySlide cannot be installed here: No matching distribution found$"):
        set_up(tmp_path, lambda line: None, Pip("pip"))
    sheet = tmp_path / "samples.csv"
    sheet.write_text("sample,patient,slide,expression,format\nC2,C,a.png,a.h5ad,h5ad\n", "utf-8")
    for name in ("a.png", "a.h5ad"):
        (tmp_path / name).touch()
    words = ["--samples", str(sheet), "--out", str(tmp_path / "report.json")]

    def refuse(folder, say):
        raise Nh2stError("LazySlide cannot be installed here: no network")

    monkeypatch.setattr(beside_lazyslide, "set_up", refuse)
    assert beside_lazyslide.main(words) == 2
    assert capsys.readouterr().err == "bench_peers: LazySlide cannot be installed here: no network\n"
    assert beside_lazyslide.main([*words, "--section", "X"]) == 2
    assert "has no section X: choose from C2" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--rounds", "-1"], ["--levels", "0"], ["--levels", "5"]])
def test_wrong_arguments_end_before_anything_is_made(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        beside_lazyslide.main(["--samples", "a.csv", "--out", str(tmp_path / "a.json"), *words])
    assert end.value.code == 2
    assert "--levels is 1 to 4" in capsys.readouterr().err


def test_the_script_needs_torch_and_passes_its_arguments_on():
    ran = subprocess.run([SCRIPT], env={"PYTHON": "false", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "bench_peers: missing here: a Python with torch" in ran.stderr
