"""One check of a graphics card, in six minutes: ``python -m napari_nh2st.bench.gpu_check`` (scripts/gpu_check.sh).

Every part is a process of its own with a time limit. One that fails, crashes or hangs is in the report, and the others
go on. It needs no napari and no network. Without a GPU the same checks run on the processor.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from napari_nh2st.atomic import finished_file
from napari_nh2st.doctor.checks.compute import graphics_card, torch_works
from napari_nh2st.doctor.checks.model import device_agrees
from napari_nh2st.doctor.child import Answer, ask
from napari_nh2st.doctor.examination import Probes
from napari_nh2st.provenance import versions
from napari_nh2st.terminal import interruptible

SECONDS = 345.0
"""All parts together; a part that would begin with less than `LEAST` of them is not begun."""

LEAST = 5.0
LIMITS = {
    "slide": 60.0,
    "agreement": 60.0,
    "describe": 40.0,
    "out of memory": 40.0,
    "memory": 40.0,
    "session": 40.0,
    "training": 80.0,
    "rates": 90.0,
    "compile": 90.0,
    "window": 90.0,
}
"""Seconds of each part after the device's own, in the order in which they run: what matters most comes first.

They grow with the time of all parts: a processor takes longer over full sizes than a graphics card.
"""

PACKAGES = (
    *("torch", "anndata", "h5py", "imagecodecs", "jinja2", "lightning", "matplotlib", "numpy", "pandas", "PIL"),
    *("platformdirs", "pydantic", "safetensors", "scipy", "skimage", "tifffile", "yaml", "zarr"),
)
"""Modules without which no part can run."""

State = Literal["ok", "failed", "left out"]
Ask = Callable[..., Answer]
STOPPED = "was stopped"


@dataclass(frozen=True)
class PartReport:
    """The outcome of one part.

    Attributes
    ----------
    name : str
    state : {"ok", "failed", "left out"}
    seconds, limit : float
    facts : dict
        By name, also of a part that failed: those that it told before.
    why : str
        One line, where it is not "ok".
    """

    name: str
    state: State
    seconds: float
    limit: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class CheckOptions:
    """The choices of the person who runs the check.

    Attributes
    ----------
    model : str
    device : str
    small : bool
        Small sizes: to see that it works.
    parts : sequence of str
    seconds : float
    """

    model: str = "her2st"
    device: str = "auto"
    small: bool = False
    parts: Sequence[str] = tuple(LIMITS)
    seconds: float = SECONDS


def missing_packages() -> list[str]:
    """Name the packages that are needed and are not there."""
    return [name for name in PACKAGES if find_spec(name) is None]


def check(
    options: CheckOptions, say: Callable[[str], object], ask: Ask = ask, cancelled: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Run the parts one after another, and return the report; what is left when it is cancelled has failed."""
    ask = partial(ask, cancelled=cancelled)
    until = time.monotonic() + options.seconds
    first = _device(options, ask)
    device = str(first.facts.get("device", "cpu")) if options.device == "auto" else options.device
    say(_line(first))
    reports = [first]
    with tempfile.TemporaryDirectory(prefix="nh2st-gpu-", ignore_cleanup_errors=True) as folder:
        for name in options.parts:
            if cancelled():
                reports.append(PartReport(name, "failed", 0.0, 0.0, why=STOPPED))
                continue
            limit = min(LIMITS[name] * max(1.0, options.seconds / SECONDS), until - time.monotonic())
            words = (name, folder, options.model, device, "small" if options.small else "full")
            reports.append(_part(name, words, limit, ask))
            say(_line(reports[-1]))
    cards = first.facts.get("cards") or [{}]
    return {
        "device": device,
        "gpu": cards[0].get("name") if device.startswith("cuda") else None,
        "driver": first.facts.get("driver"),
        "small": options.small,
        "model": options.model,
        "versions": versions() | {"torch": str(first.facts.get("torch"))},
        "seconds": round(options.seconds - (until - time.monotonic()), 1),
        "failed": sum(report.state == "failed" for report in reports),
        "parts": [asdict(report) for report in reports],
    }


def _device(options: CheckOptions, ask: Ask) -> PartReport:
    """Look at torch and the card as `nh2st doctor` does."""
    clock, limit = time.monotonic(), min(60.0, options.seconds)
    probes = Probes(ask)
    try:
        answer = probes.answer("compute", seconds=limit)
        findings = [torch_works(probes), graphics_card(probes)]
        if answer.whole:
            findings.append(device_agrees(probes, options.model, options.device))
    finally:
        probes.close()
    faults = [found.found for found in findings if found is not None and found.level == "fault"]
    if options.device.startswith("cuda") and not answer.facts.get("cuda"):
        faults.append(next((f.found for f in findings[1:] if f is not None), "torch sees no GPU"))
    seconds = time.monotonic() - clock
    state: State = "failed" if faults else "ok"
    return PartReport("device", state, round(seconds, 2), limit, dict(answer.facts), "; ".join(faults))


def _part(name: str, words: Sequence[str], limit: float, ask: Ask) -> PartReport:
    """Run a part in a process of its own."""
    if limit < LEAST:
        return PartReport(name, "failed", 0.0, 0.0, why="the time of all parts together was over")
    clock = time.monotonic()
    answer = ask(name, *words, seconds=limit, program=(sys.executable, "-m", "napari_nh2st.bench.device_parts"))
    seconds = round(time.monotonic() - clock, 2)
    facts = dict(answer.facts)
    left_out = str(facts.pop("left_out", ""))
    state: State = "failed" if not answer.whole else "left out" if left_out else "ok"
    return PartReport(name, state, seconds, round(limit, 1), facts, answer.why or left_out)


def _line(report: PartReport) -> str:
    return f"{report.name}: {report.state}, {report.seconds:.1f} s{': ' * bool(report.why)}{report.why}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report as JSON; 1 if a part failed, 2 if something is missing."""
    parser = argparse.ArgumentParser(prog="gpu_check.sh", description="Check a graphics card in six minutes.")
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:1, mps, cpu")
    parser.add_argument("--model", default="her2st")
    parser.add_argument("--small", action="store_true", help="small sizes: to see that it works")
    parser.add_argument("--parts", metavar="A,B", help=f"only these: {', '.join(LIMITS)}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="all parts together")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the report there, too")
    chosen = parser.parse_args(argv)
    parts = tuple(LIMITS) if chosen.parts is None else tuple(chosen.parts.split(","))
    if unknown := sorted(set(parts) - set(LIMITS)):
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(LIMITS)}")
    if missing := missing_packages():
        print(f"gpu_check: missing here: {', '.join(missing)}: TORCH=... scripts/setup.sh makes .venv", file=sys.stderr)
        return 2
    options = CheckOptions(chosen.model, chosen.device, chosen.small, parts, chosen.seconds)
    # After a signal the report is printed still: scripts/gpu_check.sh gives it five seconds.
    report = check(options, lambda line: print(line, file=sys.stderr, flush=True), cancelled=interruptible())
    text = json.dumps(report, indent=1, ensure_ascii=False)
    if chosen.out is not None:
        with finished_file(chosen.out) as draft:
            draft.write_text(text + "\n", "utf-8")
    print(text)
    return 1 if report["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
