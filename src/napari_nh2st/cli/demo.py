"""`nh2st demo`: procedural tissue with known expression, predicted and shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_nh2st.cli.options import DeviceOption, SeedOption
from napari_nh2st.cli.output import stage_bars
from napari_nh2st.terminal import has_display, has_xvfb, interruptible, say


def demo(
    headless: Annotated[bool, typer.Option("--headless", help="Open no window; write the files.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path("nh2st-demo"),
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """Predict on procedural tissue whose expression is known, and show it.

    Opens napari with a gene shown; without a display, or with --headless, writes heatmap.png, prediction.h5ad
    and report.json.
    """
    from napari_nh2st.demo.run import run_demo

    window = not headless and has_display()
    report = run_demo(out, seed, device=device, progress=stage_bars(), cancelled=interruptible()).report
    for warning in report.get("warnings", []):
        say(f"warning: {warning}")
    print(
        f"mean PCC over the demo genes {report['pcc_mean']:.2f}, {report['n_tiles']} tiles, {report['seconds']:.0f} s"
    )
    for group in ("own_genes", "context_genes"):
        figures = report[group]
        print(f"{group.replace('_', ' '):14} context {figures['context']:.2f}   paper {figures['paper']:.2f}")
    print(f"written to {out}: heatmap.png, prediction.h5ad, report.json")
    if window:
        from napari_nh2st.viewer.launch import show_demo

        show_demo(seed)
    elif has_xvfb():
        _draw_window(out, seed)


def _draw_window(out: Path, seed: int) -> None:
    """Draw the napari window on a virtual screen into `out/window.png`; without one the files are enough."""
    say("drawing the napari window on a virtual screen")
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24"]
    launch = [sys.executable, "-m", "napari_nh2st.viewer.launch"]
    call = [*screen, *launch, "--seed", str(seed), "--picture", str(out / "window.png")]
    process = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    if process.returncode:
        reason = process.stderr.strip().splitlines()[-1:] or ["no reason given"]
        say(f"warning: the window could not be drawn: {reason[0]}")
    else:
        print("and window.png: the same in napari's window")
