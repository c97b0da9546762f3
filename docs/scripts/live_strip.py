"""Record the live view following a window over the procedural demo slide, as a strip of four panels.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/scripts/live_strip.py

Nothing is staged: the window is pressed and moved as a person would, and each panel is what the canvas shows.
The cache of embeddings is an empty one, so that the run is a first one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import own_settings  # noqa: F401  # before napari

# isort: split
import napari
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from qtpy.QtCore import QElapsedTimer
from qtpy.QtWidgets import QApplication

from napari_nh2st.viewer import launch

PICTURE = Path(__file__).parents[1] / "images" / "live.png"
WINDOW = (1500, 900)
ZOOM, START, STEP = 3.2, (1500.0, 1750.0), (150.0, 480.0)  # zoom over "all of it"; um, (y, x)
PANEL, CAPTION, GAP = 420, 34, 8
MOST_SECONDS = 240


class Recorder:
    """A window on the demo slide, and the panels taken of it."""

    def __init__(self, slide: Path) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*WINDOW)
        self.viewer.open(str(slide), plugin="napari-nh2st")
        self.dock = launch.open_dock(self.viewer)
        self.dock.use_model("demo")
        self.dock.where.detail.setCurrentIndex(1)
        self.clock = QElapsedTimer()
        self.panels: list[tuple[np.ndarray, str]] = []

    def wait(self, done: Callable[[], bool]) -> None:
        """Let the window live until something holds."""
        clock = QElapsedTimer()
        clock.start()
        while not done():
            if clock.elapsed() > 1000 * MOST_SECONDS:
                raise SystemExit("error: the live view did not get ready in time")
            QApplication.processEvents()
            time.sleep(0.005)  # else this loop keeps Python from the threads that work

    def settle(self, milliseconds: int) -> None:
        """Let the window live for a while."""
        clock = QElapsedTimer()
        clock.start()
        self.wait(lambda: clock.elapsed() > milliseconds)

    def look_at(self, y: float, x: float) -> None:
        """Centre the window on a place, in um."""
        self.viewer.scene.camera.center = (0, y, x)
        self.clock.restart()

    def in_sight(self) -> bool:
        """Whether all in sight is there."""
        status = self.dock.controller.status
        return status.follow and (not self.dock.controller.running or status.step == "around")

    def take(self, what: str) -> None:
        """Take a panel of the canvas."""
        print(f"{what}: {self.clock.elapsed() / 1000:.1f} s after the last press or step")
        self.panels.append((np.asarray(self.viewer.screenshot(canvas_only=True, flash=False))[..., :3], what))


def record(slide: Path) -> list[tuple[np.ndarray, str]]:
    """Press Predict, wait, and move: empty, first tiles, filled, panned."""
    it = Recorder(slide)
    it.settle(1500)
    it.viewer.scene.camera.zoom *= ZOOM
    it.look_at(*START)
    it.settle(2500)  # torch is loaded while one looks at the slide
    it.take("a slide")
    it.dock.job.button.click()
    it.clock.restart()
    controller = it.dock.controller
    it.wait(lambda: controller.map is not None and controller.map.count > 0)
    it.wait(lambda: np.isfinite(it.dock.heatmap.layer.data).any())
    it.take("Predict: first tiles")
    it.wait(it.in_sight)
    it.settle(700)
    it.take("all in sight")
    it.wait(lambda: not controller.running)  # the ring around it, too
    it.look_at(START[0] + STEP[0], START[1] + STEP[1])
    it.settle(250)
    it.wait(it.in_sight)
    it.settle(700)
    it.take("moved on, nothing pressed")
    it.viewer.close()
    return it.panels


def strip(panels: list[tuple[np.ndarray, str]]) -> Image.Image:
    """Lay panels side by side with their captions."""
    height = round(PANEL * panels[0][0].shape[0] / panels[0][0].shape[1])
    width = len(panels) * (PANEL + GAP) - GAP
    out = Image.new("RGB", (width, height + CAPTION), "white")
    draw, font = ImageDraw.Draw(out), ImageFont.load_default(size=17)
    for i, (pixels, caption) in enumerate(panels):
        x = i * (PANEL + GAP)
        out.paste(Image.fromarray(pixels).resize((PANEL, height), Image.Resampling.LANCZOS), (x, CAPTION))
        draw.text((x + 2, 6), caption, fill="black", font=font)
    return out


def draw(picture: Path = PICTURE) -> Path:
    """Record the strip and write it."""
    from napari_nh2st.demo.tissue import sample_slide

    slide = sample_slide()  # from the user's own cache, before another one is taken
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NH2ST_CACHE"] = cache
        strip(record(slide)).quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(picture, optimize=True)
    return picture


if __name__ == "__main__":
    print(draw())
    sys.exit()
