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
VICTIMS = ("worker", "command", "scheduler", "command", "worker", "scheduler")
SETTINGS = """\
architecture: {width: 4, dim: 16, hidden: 12, heads: 4, dropout: 0.1}
epochs: 2
pretrain_steps: 6
ema: 0.5
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
    told: int = 0

    @property
    def log(self) -> Path:
        return self.report.with_suffix(".log")

    def begin(self, *where: object) -> None:
        words = ["evaluate", self.samples, "--protocol", "S1:S2;S2:S1", "--models", "encoder-ridge,nh2st-kernel,nh2st-context"]
        words += ["--seeds", "0,1", "--config", self.samples.with_name("settings.yaml"), "--out", self.report]
        words += ["--device", "cpu", "--precision", "fp32", *where]
        with self.log.open("ab") as log:
            self.told = log.tell()
            command = [sys.executable, "-m", "napari_nh2st", *map(str, words)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_for_work(self) -> None:
        """Wait until it says that fits are running, or has ended."""
        while self.process.poll() is None and b" running" not in self.log.read_bytes()[self.told :]:
            time.sleep(0.01)

    def end(self, seconds: float = 300) -> int:
        assert self.process is not None
        return self.process.wait(timeout=seconds)

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
@pytest.mark.timeout(1800)
def test_a_comparison_that_is_killed_goes_on_and_ends_with_the_same_report(samples, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    chance = random.Random(SEED)
    calm = Command(samples, tmp_path / "calm.json")
    calm.begin("--workers", 2)
    calm.wait_for_work()
    began = time.monotonic()
    assert calm.end() == 0, calm.log.read_text()
    usual = time.monotonic() - began
    runs, early = 0, 0
    victims = list(VICTIMS)
    wild = Command(samples, tmp_path / "wild0.json")
    kept: dict[str, int] = {}
    with ClusterApart(tmp_path) as cluster:
        while victims:
            victim = victims[0]
            wild.begin(*(("--scheduler", cluster.address) if victim == "scheduler" else ("--workers", 2)))
            wild.wait_for_work()
            time.sleep(chance.uniform(0.1, 0.6) * usual)
            hit = _kill(victim, wild, cluster, chance)
            now = wild.finished()
            assert {name: now.get(name) for name in kept} == kept, (victim, "fitted again")
            kept = now
            if hit:
                victims.pop(0)
            if wild.report.exists():  # it came to its end: with the next victim from the beginning
                early += not hit
                assert wild.figures() == calm.figures()
                runs += 1
                wild, kept = Command(samples, tmp_path / f"wild{runs}.json"), {}
        wild.begin("--workers", 2)
        assert wild.end() == 0, wild.log.read_text()
    assert {name: at for name, at in wild.finished().items() if name in kept} == kept
    assert wild.figures() == calm.figures()
    assert len(wild.finished()) == len(calm.finished())
    print(f"{len(VICTIMS)} kills; {early} commands had ended before; {len(kept)} files were kept at the last")


def _kill(victim: str, wild: Command, cluster: ClusterApart, chance: random.Random) -> bool:
    """Kill; return whether it was in time. A command whose worker is killed goes on to its end."""
    if wild.process.poll() is not None:
        assert wild.process.returncode == 0, wild.log.read_text()
        return False
    if victim == "worker":
        hit = kill_computing(wild.process.pid, chance.randrange(2))
        assert wild.end() == 0, wild.log.read_text()  # another worker goes on
        return hit
    if victim == "command":
        workers = psutil.Process(wild.process.pid).children(recursive=True)
        wild.process.kill()
        hit = wild.end() != 0
        _, left = psutil.wait_procs(workers, timeout=60)
        assert not left, "workers outlive the command that started them"
        return hit
    cluster.kill_scheduler()
    code = wild.end()
    cluster.stop()
    cluster.start()
    assert code == 0 or "the scheduler is gone; what was fitted is kept" in wild.log.read_text()
    return code != 0
