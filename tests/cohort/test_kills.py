"""kill -9 at random moments of a worker, the command and the scheduler: nothing that was kept is lost, and the same
command ends with the same bytes as an undisturbed run."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_nh2st.engine.store import PredictionStore, open_prediction
from support.cluster_apart import ClusterApart
from support.slides import picture, tiff

KILLS, SEED = 10, 4
ARRAYS = ("hidden", "seal", "state", "count", "weight", "bias")


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Three small slides and one that is several tasks."""
    folder = tmp_path_factory.mktemp("several")
    for name, side in {"a": 1400, "b": 1800, "c": 1600, "large": 4200}.items():
        pixels = np.full((side + 200, side, 3), 250, np.uint8)
        pixels[100:-100, 100:] = picture(side, side - 100, seed=side) // 2 + 60
        tiff(folder / f"{name}.tif", pixels, tile=(256, 256), resolution=(1e4, 1e4), resolutionunit=3)
    return folder


@dataclass
class Command:
    """The command, as a process of its own."""

    slides: Path
    model: Path
    out: Path
    cache: Path
    log: Path
    process: subprocess.Popen | None = field(default=None)
    told: int = 0

    def begin(self, cluster: ClusterApart) -> None:
        words = ["predict", self.slides, "--model", self.model, "--out", self.out, "--format", "csv", "--pitch", 16]
        words += ["--device", "cpu", "--precision", "fp32", "--split", 1.5, "--scheduler", cluster.address]
        with self.log.open("ab") as log:
            self.told = log.tell()
            command = [sys.executable, "-m", "napari_nh2st", *map(str, words)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_for_work(self) -> None:
        """Wait until it says that slides are running, or has ended."""
        while self.process.poll() is None and b" running" not in self.log.read_bytes()[self.told :]:
            time.sleep(0.01)

    def end(self, seconds: float = 300) -> int:
        assert self.process is not None
        return self.process.wait(timeout=seconds)

    def forget(self) -> None:
        """Begin anew: nothing is predicted, nothing is in the cache."""
        for folder in (self.out, self.cache / "embeddings"):
            shutil.rmtree(folder, ignore_errors=True)

    def tiles(self) -> dict[str, int]:
        """Tiles of each slide; a folder that cannot be read is an error."""
        counts = {}
        for folder in self.out.glob("*.nh2st"):
            PredictionStore(folder).prediction()  # every tile against its seal
            counts[folder.name] = len(open_prediction(folder))
        return counts


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.timeout(1800)
def test_killed_at_random_ten_times_it_ends_with_the_same_bytes(several, model, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    chance = random.Random(SEED)
    calm = Command(several, model.path, tmp_path / "calm", tmp_path / "calm-cache", tmp_path / "calm.log")
    monkeypatch.setenv("NH2ST_CACHE", str(calm.cache))
    for _ in range(2):  # the first workers try out in which memory format they are fast, each for itself
        with ClusterApart(tmp_path) as cluster:
            for _ in range(2):  # the second time, the workers have everything imported
                calm.forget()
                began = time.monotonic()
                calm.begin(cluster)
                assert calm.end() == 0, calm.log.read_text()
                usual = time.monotonic() - began
    wild = Command(several, model.path, tmp_path / "wild", tmp_path / "wild-cache", tmp_path / "wild.log")
    monkeypatch.setenv("NH2ST_CACHE", str(wild.cache))
    wild.cache.mkdir()
    shutil.copy(calm.cache / "calibration.json", wild.cache)  # a trial of a busy processor may end otherwise
    victims = ["worker", "command", "scheduler"] * 4
    done, early, kept = [], 0, {}
    with ClusterApart(tmp_path) as cluster:
        while len(done) < KILLS:
            wild.begin(cluster)
            wild.wait_for_work()
            time.sleep(chance.uniform(0, 1) * usual)
            if wild.process.poll() is not None:  # it was over before it was killed
                assert wild.process.returncode == 0, wild.log.read_text()
                early += 1
                _same(wild, calm)
                wild.forget()
                kept = {}
                continue
            victim = victims[len(done)]
            if victim == "worker":
                if not cluster.kill_worker(chance.randrange(2)):
                    wild.process.kill()
                    wild.end()
                    continue
                assert wild.end() == 0, wild.log.read_text()  # another worker goes on
                _same(wild, calm)
            elif victim == "command":
                wild.process.send_signal(signal.SIGKILL)
                wild.end()
            else:
                cluster.kill_scheduler()
                over = wild.end() == 0  # it ended in the moment between the look above and the kill
                cluster.stop()
                cluster.start()
                if over:
                    early += 1
                    _same(wild, calm)
                    wild.forget()
                    kept = {}
                    continue
                assert wild.process.returncode == 1
                assert "the scheduler is gone; what was predicted is kept" in wild.log.read_text()
            done.append(victim)
            time.sleep(0.5)
            now = wild.tiles()
            assert all(now.get(name, 0) >= count for name, count in kept.items()), (victim, kept, now)
            kept = now
            if victim == "worker":
                wild.forget()
                kept = {}
        wild.begin(cluster)
        assert wild.end() == 0, wild.log.read_text()
    _same(wild, calm)
    print(f"killed {done}; {early} commands had ended before; undisturbed it works for {usual:.1f} s")


def _same(one: Command, other: Command) -> None:
    """Compare tiles, files and the table of two runs, byte by byte; only seconds and paths may differ."""
    names = sorted(p.name for p in other.out.glob("*.nh2st"))
    assert names == sorted(p.name for p in one.out.glob("*.nh2st"))
    for name in names:
        for array in ARRAYS:
            files = sorted(p.relative_to(other.out) for p in (other.out / name / array).rglob("*") if p.is_file())
            assert files
            for file in files:
                assert (one.out / file).read_bytes() == (other.out / file).read_bytes(), file
        assert not [p.name for p in (one.out / name).rglob(".*")], "left by what was killed"
    for file in other.out.glob("[!c]*.csv"):
        assert (one.out / file.name).read_bytes() == file.read_bytes(), file
    tables = [pd.read_csv(c.out / "cohort.csv").drop(columns=["seconds"]) for c in (one, other)]
    pd.testing.assert_frame_equal(*tables)
