"""Make the pictures of the viewer for README and docs.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/scripts/screenshots.py [--only demo] [--slide S.svs --model M]

By default only procedural tissue is shown: `demo.png` (a gene over the demo tissue, with the dock) and `live.png` (the
live view, in four panels). With --slide, `slide.png` too: give CMU-1-Small-Region.svs, which is in the public domain,
and no other real tissue.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import own_settings  # noqa: F401  # before napari

# isort: split
import live_strip
import napari
from qtpy.QtWidgets import QApplication

from napari_nh2st.viewer import launch

IMAGES = Path(__file__).parents[1] / "images"
SIZE = (1280, 800)


def wait(done: Callable[[], bool], seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise SystemExit("error: the picture did not get ready in time")
        QApplication.processEvents()
        time.sleep(0.01)


def settle(seconds: float = 1.5) -> None:
    until = time.monotonic() + seconds
    wait(lambda: time.monotonic() > until, seconds + 5)


def take(viewer: napari.Viewer, name: str) -> None:
    settle()
    path = IMAGES / f"{name}.png"
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    viewer.close()
    print(path)


def demo(_: argparse.Namespace) -> None:
    launch.draw_demo(IMAGES / "demo.png")
    print(IMAGES / "demo.png")


def live(_: argparse.Namespace) -> None:
    print(live_strip.draw())


def slide(args: argparse.Namespace) -> None:
    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    viewer.open(args.slide, plugin="napari-nh2st")
    dock = launch.open_dock(viewer)
    dock.use_model(args.model)
    dock.where.buttons["whole"].click()
    dock.job.button.click()
    wait(lambda: not dock.controller.running, 300)
    take(viewer, "slide")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("demo", "live", "slide"))
    parser.add_argument("--slide", help="CMU-1-Small-Region.svs")
    parser.add_argument("--model", default="demo", help="the model for --slide")
    args = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    makers = {"demo": demo, "live": live} | ({"slide": slide} if args.slide else {})
    for name, make in makers.items():
        if args.only in (None, name):
            make(args)


if __name__ == "__main__":
    sys.exit(main())
