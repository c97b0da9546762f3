"""Beside LazySlide, from file to genes: ``python -m napari_nh2st.bench.beside_lazyslide`` (scripts/bench_peers.sh).

Each run is a process of its own, from its start to its end, on the same slide, in turns. LazySlide is in an environment
of its own and runs `scripts/in_lazyslide.py`. Both encoders are measured in both programs: ResNet-18 of width 64 on
224 px, untrained, and that of our model.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_nh2st.atomic import finished_file
from napari_nh2st.bench.peer_environment import REPOSITORY, Peer, set_up
from napari_nh2st.bench.stopwatch import Stopwatch
from napari_nh2st.errors import Nh2stError

THEIRS, OURS = "ResNet-18", "ours"
"""The encoders. ResNet-18 has a width of 64 and looks at 224 px, on the tissue that ours sees at 112 px."""

DISTURBED = 0.25
"""A run during which other programs took more of the processor is measured again, up to `TRIES` times."""

TRIES = 3

FIRST, LATER = "new cache", "later"
SETTINGS = ("default", "best")
"""LazySlide's settings. `figures` says what our coarse map is asked to reach over each."""

Answer = Mapping[str, Any]
Ask = Callable[[Sequence[object], Mapping[str, str]], Answer]
Say = Callable[[str], object]
Run = tuple[float, float, float]
"""Seconds, mm² of tissue, and the share of the processor that other programs took."""


@dataclass(frozen=True)
class Row:
    """One way of going from the file to genes.

    Attributes
    ----------
    program : {"LazySlide", "nh2st"}
    encoder : {"ResNet-18", "ours"}
    way : str
        LazySlide's settings, "default" or "best"; our detail, "coarse" or "fine".
    cache : {"", "new cache", "later"}
        Of ours: nothing is kept yet; or all but the embeddings.
    """

    program: str
    encoder: str
    way: str
    cache: str = ""

    @property
    def name(self) -> str:
        """Its name in the report."""
        return ", ".join(part for part in (self.program, self.encoder, self.way, self.cache) if part)


ROWS = (
    *(Row("LazySlide", encoder, way) for encoder in (THEIRS, OURS) for way in SETTINGS),
    *(
        Row("nh2st", encoder, way, cache)
        for encoder in (THEIRS, OURS)
        for way in ("coarse", "fine")
        for cache in (FIRST, LATER)
    ),
)


@dataclass
class Report:
    """The measurements of all ways, and what they were made on.

    Attributes
    ----------
    about : dict
        Slide, model, tile and machine: rounds are added only to those of the same.
    best : dict
        LazySlide's best settings by encoder, and the trials that found them.
    runs : dict of list of Run
        By row, one for each round.
    versions : dict
        Of LazySlide's environment.
    """

    about: dict[str, Any]
    best: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Lay it out as JSON, with the ratios that `nh2st bench` reads."""
        ours, theirs = Row("nh2st", THEIRS, "coarse", FIRST), {way: Row("LazySlide", THEIRS, way) for way in SETTINGS}
        ratios = {f"over_lazyslide_{way}": ratio(self.runs, ours, row) for way, row in theirs.items()}
        return {"ratios": ratios, **asdict(self)}


def ratio(runs: Mapping[str, Sequence[Sequence[float]]], over: Row, under: Row) -> list[float] | None:
    """Median, smallest and largest of the rounds' ratios of mm² a second; None where one was not measured."""
    pairs = zip(runs.get(over.name, ()), runs.get(under.name, ()), strict=False)
    each = [(a[1] / a[0]) / (b[1] / b[0]) for a, b in pairs]
    return [round(value, 4) for value in (statistics.median(each), min(each), max(each))] if each else None


def read_report(path: Path, about: dict[str, Any]) -> Report:
    """Read a report that goes on; a new one where there is no file.

    Raises
    ------
    Nh2stError
        If it is of another slide, model or machine.
    """
    if not path.exists():
        return Report(about)
    kept = json.loads(path.read_text("utf-8"))
    differing = [key for key, value in about.items() if kept["about"].get(key) != value]
    if differing:
        raise Nh2stError(f"{path} is of another {differing[0]}: name another file, or remove it")
    runs = {name: [(run[0], run[1], run[2]) for run in each] for name, each in kept["runs"].items()}
    return Report(kept["about"], kept["best"], runs, kept["versions"])


def ask(call: Sequence[object], environment: Mapping[str, str]) -> Answer:
    """Run a program, and return the JSON document at the end of what it prints."""
    ran = subprocess.run(list(map(str, call)), env=dict(environment), capture_output=True, text=True)
    if ran.returncode:
        said = ran.stderr.strip().splitlines()[-1:] or [f"exit status {ran.returncode}"]
        raise Nh2stError(f"{Path(str(call[1])).name} failed: {said[0].removeprefix('error: ')}")
    answer: Answer = json.loads(ran.stdout[ran.stdout.index("{") :])
    return answer


@dataclass(frozen=True)
class Measured:
    """The slide, the models of both sizes and LazySlide's environment.

    Attributes
    ----------
    slide : Path
    models : dict of Path
        Model folders by encoder.
    tile_um : float
        Side of a tile, micrometres: the same in both programs.
    peer : Peer
    folder : Path
        For results and caches.
    ask : callable
        Runs a program; `ask` by default.
    """

    slide: Path
    models: Mapping[str, Path]
    tile_um: float
    peer: Peer
    folder: Path
    ask: Ask = ask

    def lazyslide(self, encoder: str, *words: object) -> Answer:
        """Run LazySlide, from its start to its end."""
        ours = encoder == OURS
        tile = card_of(self.models[encoder])["architecture"]["stride"] * 7
        name = self.models[OURS] if ours else "resnet18"
        script = REPOSITORY / "scripts" / "in_lazyslide.py"
        call = [self.peer.python, script, self.slide, "--encoder", name, "--tile", tile, "--tile-um", self.tile_um]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
        return self.ask([*call, *self.peer.words, *words], environment)

    def run(self, row: Row, best: Mapping[str, Any]) -> Run:
        """Measure a row once."""
        side = self.tile_um / 1000
        if row.program == "LazySlide":
            settings = best[row.encoder]["best"] if row.way == "best" else {}
            watch = Stopwatch()
            table = self.folder / "lazyslide.h5ad"
            answer = self.lazyslide(row.encoder, "--settings", json.dumps(settings), "--out", table)
            seconds, others = watch.stop()
            return seconds, answer["tiles"] * side**2, others
        model = self.models[row.encoder]
        cells = 7 if row.way == "coarse" else 1
        pitch = cells * card_of(model)["architecture"]["stride"]
        out, cache = self.folder / "results", self.folder / "cache"
        for kept in (out, cache if row.cache == FIRST else cache / "embeddings"):
            shutil.rmtree(kept, ignore_errors=True)
        call = [sys.executable, "-m", "napari_nh2st", "predict", self.slide, "--model", model, "--out", out]
        environment = {**os.environ, "NH2ST_CACHE": str(cache)}
        watch = Stopwatch()
        answer = self.ask([*call, "--pitch", pitch, "--json", "--quiet"], environment)
        seconds, others = watch.stop()
        return seconds, answer["slides"][0]["tiles_total"] * (side * cells / 7) ** 2, others


def measure(measured: Measured, report: Report, rounds: int, write: Callable[[Report], object], say: Say) -> None:
    """Find LazySlide's best settings where they are not known, then measure all rows in turns, `rounds` times.

    The report is written after each run; rounds that it has count, and the one that was interrupted goes on.
    """
    for encoder in (THEIRS, OURS):
        if encoder not in report.best:
            say(f"LazySlide's best settings, encoder {encoder}")
            found = dict(measured.lazyslide(encoder, "--search"))
            report.versions = found.pop("versions")
            report.best[encoder] = found
            say(f"{encoder}: {found['best']}")
            write(report)
    for number in range(rounds):
        for row in ROWS:
            runs = report.runs.setdefault(row.name, [])
            if len(runs) <= number:
                runs.append(_undisturbed(measured, row, report.best, say))
                write(report)


def _undisturbed(measured: Measured, row: Row, best: Mapping[str, Any], say: Say) -> Run:
    """Measure a row until a run is undisturbed; the least disturbed one if none is."""
    tries: list[Run] = []
    while len(tries) < TRIES and (not tries or tries[-1][2] > DISTURBED):
        tries.append(measured.run(row, best))
        seconds, area, others = tries[-1]
        say(f"{row.name}: {seconds:.1f} s, {area / seconds:.2f} mm²/s; others took {others:.0%} of the processor")
    return min(tries, key=lambda run: run[2])


def card_of(folder: Path) -> dict[str, Any]:
    """Read the card of a model folder."""
    card: dict[str, Any] = json.loads((folder / "card.json").read_text("utf-8"))
    return card


def parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    made = argparse.ArgumentParser(prog="bench_peers.sh", description="Measure beside LazySlide, from file to genes.")
    made.add_argument("--samples", type=Path, required=True, metavar="SHEET", help="a sample sheet")
    made.add_argument("--section", default="C2", help="the section of it that is measured on (C2)")
    made.add_argument("--levels", type=int, default=3, help="of its slide; 1: no overviews")
    made.add_argument("--copies", type=int, default=1, help="of the section, down and across: a larger slide (1)")
    made.add_argument("--model", default="her2st")
    made.add_argument("--rounds", type=int, default=3, help="in all; 0: only find LazySlide's best settings")
    made.add_argument("--venv", type=Path, metavar="FOLDER", help="LazySlide's environment, made where it is missing")
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help="the report; one that is there goes on")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report; 2 with one line if LazySlide cannot be installed, or an argument is wrong."""
    parse = parser()
    chosen = parse.parse_args(argv)
    if not 1 <= chosen.levels <= 4 or chosen.rounds < 0 or chosen.copies < 1:
        parse.error("--levels is 1 to 4, --copies 1 or more, and --rounds 0 or more")
    try:
        _measure(chosen, lambda line: print(line, file=sys.stderr, flush=True))
    except Nh2stError as error:
        print(f"bench_peers: {error}", file=sys.stderr)
        return 2
    return 0


def _measure(chosen: argparse.Namespace, say: Say) -> None:
    from napari_nh2st.bench.peer_data import machine, with_theirs, write_svs
    from napari_nh2st.expression import read_sheet

    samples = {sample.sample: sample for sample in read_sheet(chosen.samples)}
    if chosen.section not in samples:
        raise Nh2stError(f"{chosen.samples} has no section {chosen.section}: choose from {', '.join(samples)}")
    sample = samples[chosen.section]
    slide = f"section {chosen.section} as SVS, {chosen.levels} levels"
    if chosen.copies > 1:
        slide += f", {chosen.copies} x {chosen.copies} times"
    report = read_report(chosen.out, {"slide": slide, "model": chosen.model, "machine": machine()})
    peer = set_up(chosen.venv, say)

    def write(report: Report) -> None:
        with finished_file(chosen.out) as draft:
            draft.write_text(json.dumps(report.document(), indent=1, ensure_ascii=False) + "\n", "utf-8")

    with tempfile.TemporaryDirectory(prefix="nh2st-peers-") as name:
        folder = Path(name)
        path = write_svs(
            sample.slide, sample.mpp or 1.0, folder / f"{chosen.section}.svs", chosen.levels, chosen.copies
        )
        own, theirs = with_theirs(chosen.model, folder)
        models = {OURS: own, THEIRS: theirs}
        card = card_of(models[OURS])
        tile_um = card["mpp"] * card["architecture"]["stride"] * 7
        measure(Measured(path, models, tile_um, peer, folder), report, chosen.rounds, write, say)


if __name__ == "__main__":
    sys.exit(main())
