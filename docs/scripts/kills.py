"""kill -9 at random moments of predicting, fine-tuning, exporting, filling the cache and making a folder.

    python docs/scripts/kills.py [--kills 100] [--seed 0] [--kinds predict export ...]

Commands run as in a terminal, each in a process of its own, on a small slide with a small model. After every kill, what
has its final name must be whole. The same command is then begun again, and killed again; the last one of each row runs
to its end and must give what an undisturbed run gives. The script prints what it has done and checked, and ends with 1
where a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROW = 5  # kills before a command may run to its end
SHARES = {"predict": 0.3, "finetune": 0.2, "export": 0.2, "cache": 0.15, "creation": 0.15}
HALF = "{"  # the zarr.json of a folder that an earlier version left when the disk was full
FOLDERS = 20
ROUNDING = 4e-3  # of the largest value: windows cut otherwise sum in another order (docs/architecture.md)


class BrokenPromiseError(Exception):
    """Something was lost, or is not what it should be."""


@dataclass
class Tally:
    """Counts of kills and of the checks after them."""

    kills: Counter[str] = field(default_factory=Counter)
    early: Counter[str] = field(default_factory=Counter)  # the command had ended before it was killed
    checks: Counter[str] = field(default_factory=Counter)
    largest: float = 0.0

    def check(self, promise: str, kept: bool, about: object = "") -> None:
        """Count a promise that was kept, or complain."""
        if not kept:
            raise BrokenPromiseError(f"{promise}: {about}")
        self.checks[promise] += 1


def begin(act: Callable[[], object], log: Path) -> int:
    """Start a process of its own, with everything imported already."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with log.open("ab") as file:
                for stream in (1, 2):
                    os.dup2(file.fileno(), stream)
            act()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid


def to_the_end(act: Callable[[], object], log: Path) -> float:
    """Run undisturbed; returns seconds."""
    started = time.monotonic()
    status = os.waitstatus_to_exitcode(os.waitpid(begin(act, log), 0)[1])
    if status != 0:
        raise BrokenPromiseError(f"a command that was not killed ended with {status}:\n{log.read_text()[-3000:]}")
    return time.monotonic() - started


def killed(act: Callable[[], object], log: Path, after: float) -> bool:
    """Kill after some seconds; False if it had ended before."""
    pid, until = begin(act, log), time.monotonic() + after
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            if status:
                raise BrokenPromiseError(f"a command that goes on ended with an error:\n{log.read_text()[-3000:]}")
            return False
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def nh2st(*words: object) -> Callable[[], None]:
    """Return a command of the command line."""

    def run() -> None:
        from napari_nh2st.cli import main

        sys.argv = ["nh2st", *map(str, words)]
        main()

    return run


@dataclass
class Bench:
    """A small slide, model and sheet, and a folder for everything."""

    folder: Path
    tally: Tally
    chance: random.Random

    def __post_init__(self) -> None:
        """Make what the commands work on, and what undisturbed ones give."""
        self.slide, self.model, self.sheet = self.folder / "s.tif", self.folder / "model", self.folder / "s.csv"
        self.config, self.log = self.folder / "c.yaml", self.folder / "log.txt"
        make_inputs(self)
        self.calm: dict[str, Path] = {}
        self.seconds: dict[str, float] = {}

    def command(self, kind: str, out: Path) -> Callable[[], None]:
        """Return the command of a kind that writes into a folder."""
        if kind == "finetune":
            more = ["--resume"] if (out / "start.json").exists() else ["--config", self.config, "--seed", 1]
            return nh2st("finetune", self.sheet, "--out", out, *more)
        if kind == "export":
            return nh2st("export", self.calm["predict"] / "s.nh2st", "--format", "csv", "--out", out / "s.csv")
        if kind == "creation":
            return lambda: make_folders(self.slide, self.model, out)
        words = ["--device", "cpu", "--precision", "fp32", "--pitch", 32, "--format", "csv"]
        return nh2st("predict", self.slide, "--model", self.model, "--out", out, *words)

    def measure(self, kind: str) -> None:
        """Run a command undisturbed, with an empty cache: what it gives is right, and it takes so long."""
        self.calm[kind] = self.folder / f"calm-{kind}"
        self.calm[kind].mkdir()
        self._empty_cache()
        self.seconds[kind] = to_the_end(self.command(kind, self.calm[kind]), self.log)

    def row(self, kind: str, number: int, kills: int) -> None:
        """Kill a command some times, let it run to its end, and compare."""
        out = self.folder / f"{kind}-{number}"
        out.mkdir()
        self._empty_cache()
        done = 0
        while done < kills:
            if killed(self.command(kind, out), self.log, self.chance.uniform(0, self.seconds[kind])):
                done += 1
                self.tally.kills[kind] += 1
                self.look(kind, out)
            else:  # it was over; begun again, there would be nothing to kill
                self.tally.early[kind] += 1
                self.compare(kind, out)
                shutil.rmtree(out)
                out.mkdir()
                self._empty_cache()
            if kind == "cache":  # the cache alone is kept
                shutil.rmtree(out)
                out.mkdir()
        to_the_end(self.command(kind, out), self.log)
        self.compare(kind, out)

    def look(self, kind: str, out: Path) -> None:
        """Check that what has its final name is whole."""
        from napari_nh2st.engine.store import open_prediction
        from napari_nh2st.model.folder import load_model

        for path in [*out.iterdir(), *out.glob("*/*.nh2st")]:
            if path.name.startswith("."):
                continue  # a draft, which goes when the target is written again
            if path.suffix == ".nh2st":
                if (path / "zarr.json").read_text() == HALF:
                    continue  # as it was made
                open_prediction(path)
                self.tally.check("a prediction folder under its name is sound", True)
            elif path.suffix == ".csv":
                whole = path.read_bytes() == (self.calm[kind] / "s.csv").read_bytes() if kind == "export" else True
                self.tally.check("a file under its final name is whole", whole and path.stat().st_size > 0, path)
            elif path.name == "model":
                load_model(path)
                self.tally.check("a model folder under its name is whole", True)

    def compare(self, kind: str, out: Path) -> None:
        """Check that a command that went on gives what an undisturbed one gives."""
        calm = self.calm[kind]
        if kind in ("predict", "cache"):
            self._compare_predictions(out / "s.nh2st", calm / "s.nh2st")
        elif kind == "finetune":
            self._compare_models(out / "model", calm / "model")
        elif kind == "export":
            same = (out / "s.csv").read_bytes() == (calm / "s.csv").read_bytes()
            self.tally.check("the same export gives the same bytes", same, out)
        elif kind == "creation":
            self.look(kind, out)
            sound = [p for p in out.glob("*/s.nh2st/zarr.json") if p.read_text() != HALF]
            self.tally.check("every folder was made", len(sound) == FOLDERS, sound)
        left = [p.name for p in out.rglob(".*")]
        self.tally.check("nothing is left of what was killed", not left, left)

    def _compare_predictions(self, one: Path, other: Path) -> None:
        import numpy as np

        from napari_nh2st.engine.store import open_prediction

        a, b = open_prediction(one), open_prediction(other)
        self.tally.check("the same predict gives the same tiles", np.array_equal(a.places.grid, b.places.grid), one)
        values, right = (p.hidden.astype(np.float32) for p in (a, b))
        difference = float(np.abs(values - right).max() / np.abs(right).max())
        self.tally.largest = max(self.tally.largest, difference)
        self.tally.check("the same predict gives the same values", difference <= ROUNDING, difference)

    def _compare_models(self, one: Path, other: Path) -> None:
        import torch

        from napari_nh2st.model.folder import load_model

        a, b = (load_model(path).net.state_dict() for path in (one, other))
        same = all(torch.equal(a[name], b[name]) for name in b)
        self.tally.check("a resumed training gives the same weights, bit for bit", same, one)

    def _empty_cache(self) -> None:
        shutil.rmtree(Path(os.environ["NH2ST_CACHE"]) / "embeddings", ignore_errors=True)


def make_folders(slide: Path, model: Path, out: Path) -> None:
    """Make prediction folders, every other one in the place of one that cannot be read."""
    from napari_nh2st.engine.options import PredictionOptions
    from napari_nh2st.engine.predict import store_for
    from napari_nh2st.model.folder import load_model
    from napari_nh2st.slides import open_slide

    loaded = load_model(model)
    with open_slide(slide) as opened:
        for number in range(FOLDERS):
            folder = out / str(number) / "s.nh2st"
            if number % 2 and not folder.exists():
                (out / "half").mkdir(exist_ok=True)
                (out / "half" / "zarr.json").write_text(HALF)
                folder.parent.mkdir(exist_ok=True)
                (out / "half").rename(folder)
            store_for(folder.parent, opened, loaded, 112, PredictionOptions("cpu", "fp32")).close()


def make_inputs(bench: Bench) -> None:
    """Write a slide of 1,400 x 1,400 px, an untrained model, and a sheet of one section with 64 spots."""
    import anndata as ad
    import numpy as np
    import tifffile
    import torch
    import yaml
    from scipy.ndimage import gaussian_filter

    from napari_nh2st.model.card import Architecture, Card
    from napari_nh2st.model.folder import save_model
    from napari_nh2st.model.nh2st import build
    from napari_nh2st.training.config import TrainingConfig

    rng = np.random.default_rng(0)
    dark = np.kron(gaussian_filter(rng.normal(size=(175, 175)), 8), np.ones((8, 8)))
    dark = (dark - dark.mean()) / dark.std()
    pixels = np.clip(170 - 35 * dark[..., None] + rng.normal(0, 4, (1400, 1400, 3)), 20, 235).astype(np.uint8)
    tifffile.imwrite(bench.slide, pixels, photometric="rgb", tile=(256, 256), resolution=(1e4, 1e4), resolutionunit=3)
    torch.manual_seed(3)
    architecture = Architecture(width=4, dim=16, hidden=12, heads=4)
    genes = ["DARK", "LIGHT", "NOISE", "REST"]
    net = build(architecture, len(genes)).eval()
    save_model(net, Card(name="small", architecture=architecture, mpp=1.0, pitch=144, genes=genes), bench.model)
    at = np.arange(160, 1280, 144)
    spots = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2).astype(float)
    level = np.array([dark[int(y) - 56 : int(y) + 56, int(x) - 56 : int(x) + 56].mean() for x, y in spots])
    rates = np.stack([np.exp(level), np.exp(-level), np.ones_like(level), np.full_like(level, 20)], axis=1)
    data = ad.AnnData(rng.poisson(rates * 60).astype(np.float32))
    data.obs_names, data.var_names = [f"spot-{i}" for i in range(len(spots))], genes
    data.obsm["spatial"] = spots
    data.write_h5ad(bench.folder / "s.h5ad")
    bench.sheet.write_text("sample,patient,slide,expression,format,mpp\nS,P,s.tif,s.h5ad,h5ad,\n", "utf-8")
    small = Architecture(width=4, dim=16, hidden=8, heads=4, dropout=0.3)
    config = TrainingConfig(
        architecture=small, epochs=3, device="cpu", precision="fp32", panel=4, mpp=2.0, views=1, landmarks=24,
        pretrain_steps=2,
    )  # fmt: skip
    bench.config.write_text(yaml.safe_dump(config.model_dump(mode="json")), "utf-8")


def import_everything() -> None:
    """Import now what the commands import, so that a kill meets their work and not their start."""
    import torch

    torch.set_num_threads(1)  # threads do not live on in a forked process


def run(
    kills: int, seed: int = 0, kinds: tuple[str, ...] = tuple(SHARES), say: Callable[[str], object] = print
) -> Tally:
    """Kill so many times, spread over the kinds; returns what was done and checked.

    Raises
    ------
    BrokenPromiseError
    """
    import_everything()
    total = sum(SHARES[kind] for kind in kinds)
    with tempfile.TemporaryDirectory(prefix="nh2st-kills-") as folder:
        before = os.environ.get("NH2ST_CACHE")
        os.environ["NH2ST_CACHE"] = str(Path(folder) / "cache")
        try:
            bench = Bench(Path(folder), Tally(), random.Random(seed))
            for kind in dict.fromkeys(["predict", *kinds]):
                bench.measure(kind)
            for kind in kinds:
                wanted, number = max(1, round(kills * SHARES[kind] / total)), 0
                while bench.tally.kills[kind] < wanted:
                    bench.row(kind, number, min(ROW, wanted - bench.tally.kills[kind]))
                    number += 1
                say(f"{kind}: {bench.tally.kills[kind]} kills; undisturbed it takes {bench.seconds[kind]:.1f} s")
        finally:
            if before is None:
                del os.environ["NH2ST_CACHE"]
            else:
                os.environ["NH2ST_CACHE"] = before
    return bench.tally


def main() -> None:
    """Kill, check, and print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=list(SHARES), default=list(SHARES))
    asked = parser.parse_args()
    try:
        tally = run(asked.kills, asked.seed, tuple(asked.kinds))
    except BrokenPromiseError as broken:
        sys.exit(f"broken: {broken}")
    for promise, count in tally.checks.most_common():
        print(f"  kept {count} times: {promise}")
    print(f"{tally.early.total()} commands had ended before they were killed")
    print(
        f"{tally.kills.total()} kills -9, {tally.checks.total()} checks, every promise kept; "
        f"largest difference of a predicted value {tally.largest:.1e} of the largest"
    )


if __name__ == "__main__":
    main()
