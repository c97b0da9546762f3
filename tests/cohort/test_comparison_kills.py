"""kill -9 of a worker, the command and the scheduler while `nh2st evaluate` fits on workers: the same command goes on,
fits nothing again that was finished, and its report is that of an undisturbed run."""

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from support.cluster_apart import ClusterApart, kill_computing
from support.sections import sheet

SEED = 7
SETTINGS = """\
architecture: {width: 4, dim: 16, hidden: 12, heads: 4, dropout: 0.1}
pretrain_steps: 6
panel: 4
mpp: 1.0
"""


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheet")
    (folder / "settings.yaml").write_text(SETTINGS, "utf-8")
    return sheet(folder, ("S1", "P1", 1, 1000), ("S2", "P2", 2, 1000))


@dataclass
class Command:
    """The command, as a process of its own."""

    samples: Path
    report: Path
    process: subprocess.Popen | None = field(default=None)

    @property
    def log(self) -> Path:
        return self.report.with_suffix(".log")

    def begin(self, *where: object) -> None:
        words = ["evaluate", self.samples, "--protocol", "S1:S2", "--models", "colour-ridge,encoder-ridge,nh2st-kernel"]
        words += ["--seeds", "0,1,2,3", "--config", self.samples.with_name("settings.yaml"), "--out", self.report]
        words += ["--device", "cpu", "--precision", "fp32", *where]
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "napari_nh2st", *map(str, words)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_for_files(self, more: int) -> None:
        """Wait until so many more fits, encoders or scores are finished, or it has ended."""
        there = len(self.finished())
        while self.process.poll() is None and len(self.finished()) < there + more:
            time.sleep(0.01)

    def end(self) -> int:
        return self.process.wait(timeout=900)

    def finished(self) -> dict[str, int]:
        """Return when each file of a fit, an encoder or scores was finished."""
        files = self.report.with_suffix(".fits").glob("[!.]*")
        return {file.name: file.stat().st_mtime_ns for file in files}

    def figures(self) -> dict:
        """Return the report without seconds."""
        report = json.loads(self.report.read_text("utf-8"))
        for split in report["splits"]:
            del split["seconds"]
            for model in split["models"].values():
                del model["seconds"]
        return {key: report[key] for key in ("splits", "warnings")}


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.timeout(3000)
def test_a_comparison_that_is_killed_goes_on_and_ends_with_the_same_report(samples, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    chance, kept = random.Random(SEED), {}
    calm, wild = Command(samples, tmp_path / "calm.json"), Command(samples, tmp_path / "wild.json")
    calm.begin("--workers", 2)
    assert calm.end() == 0, calm.log.read_text()

    def wait() -> None:
        wild.wait_for_files(chance.randint(1, 2))
        time.sleep(chance.uniform(0, 0.5))
        now = wild.finished()
        assert now.items() >= kept.items(), "fitted again"
        assert len(now) < len(calm.finished()), "there is nothing left to do"
        kept.update(now)

    wild.begin("--workers", 2)
    wait()
    assert kill_computing(wild.process.pid)
    wait()
    assert wild.process.poll() is None, wild.log.read_text()  # another worker goes on
    workers = psutil.Process(wild.process.pid).children(recursive=True)
    wild.process.kill()
    wild.end()
    _, left = psutil.wait_procs(workers, timeout=120)
    assert not left, "workers outlive the command that started them"
    with ClusterApart(tmp_path) as cluster:
        wild.begin("--scheduler", cluster.address)
        wait()
        cluster.kill_scheduler()
        assert wild.end() == 1, wild.log.read_text()
        assert "the scheduler is gone; what was fitted is kept" in wild.log.read_text()
    wild.begin("--workers", 2)
    assert wild.end() == 0, wild.log.read_text()
    assert wild.finished().items() >= kept.items(), "fitted again"
    assert len(wild.finished()) == len(calm.finished())
    assert wild.figures() == calm.figures()
    print(f"{len(kept)} of {len(calm.finished())} files were finished at the last kill")
