"""Draw the pictures of docs/finetuning.md: the fine-tune dock from sections to a model, real runs on synthetic tissue.

Run in a real window (make docs-images, or xvfb-run). ``--out`` writes elsewhere; ``--theme`` and ``--font`` (a factor)
show the same states as other people have them.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import own_settings  # noqa: F401  # before napari

# isort: split
import napari
import numpy as np
from napari.settings import get_settings
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from screenshots import IMAGES, SIZE, settle, wait

from napari_nh2st.demo.sheet import write_sample_sheet
from napari_nh2st.training.run import runs
from napari_nh2st.training.run.run_process import RunProcess

SECTIONS = (901, 902, 903)
EPOCHS, GENES = 16, 30
WIDTH, GAP = 340, 16


class Dock:
    """napari with the fine-tune dock; keeps pictures of it by name."""

    def __init__(self, folder: Path, theme: str) -> None:
        self.folder = folder
        self.viewer = napari.Viewer()
        self.viewer.theme = theme
        self.viewer.window.resize(*SIZE)
        area, self.dock = self.viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST fine-tune")
        self.viewer.window._qt_window.resizeDocks([area], [WIDTH], Qt.Orientation.Horizontal)
        self.panels: dict[str, np.ndarray] = {}

    def keep(self, name: str) -> None:
        """Keep what the dock holds, from its top to its end."""
        settle()
        file = self.folder / f"{name}.png"
        self.dock.widget().grab().save(str(file))
        pixels = np.asarray(Image.open(file).convert("RGB"))
        drawn = np.flatnonzero((pixels != pixels[2, 2]).any(axis=(1, 2)))
        self.panels[name] = pixels[: drawn[-1] + GAP]  # not the empty rest of the dock

    def take(self, path: Path) -> None:
        """Write the whole window."""
        settle()
        save(self.viewer.screenshot(canvas_only=False, flash=False)[..., :3], path)

    def montage(self, names: list[str], path: Path) -> None:
        """Write some of the pictures side by side."""
        shown = [self.panels[name] for name in names]
        paper = self.panels[names[0]][2, 2]
        height = max(map(len, shown))
        out = np.full((height, sum(p.shape[1] + GAP for p in shown) - GAP, 3), paper, np.uint8)
        left = 0
        for panel in shown:
            out[: len(panel), left : left + panel.shape[1]] = panel
            left += panel.shape[1] + GAP
        save(out, path)

    def state(self) -> str:
        return self.dock.presenter.run.status().state

    def end(self) -> None:
        """Leave no process behind: they would go on without us."""
        for line in self.dock.runs.presenter.state.lines:
            process = RunProcess(line.folder)
            until = time.monotonic() + 60
            while process.status().active and time.monotonic() < until:
                process.stop()
                time.sleep(0.2)
        self.viewer.close()


def save(pixels: Any, path: Path) -> None:
    """Write a picture in 256 colours, a third of the size; kmeans keeps the colours of thin lines."""
    Image.fromarray(np.ascontiguousarray(pixels)).quantize(256, kmeans=2).save(path, optimize=True)
    print(path)


def draw(window: Dock, sheet: Path, out: Path) -> None:
    dock = window.dock
    dock.sections.sheet.setText(f"~/{sheet.name}")
    dock.run.setText("~/evening")
    dock.choices.epochs.setValue(EPOCHS)
    dock.choices.panel.setCurrentIndex(dock.choices.panel.findData("spatially-variable"))
    dock.choices.number.setValue(GENES)
    dock.choices.head.setCurrentIndex(dock.choices.head.findData("context"))
    wait(dock.start.isEnabled, 300)
    for combo, at in ((dock.choices.held_out, 2), (dock.choices.which, 2)):  # one patient, the last
        combo.setCurrentIndex(at)
        combo.activated.emit(at)
    wait(lambda: dock.start.isEnabled() and "this machine" in dock.estimate.sentence.text(), 900)
    window.keep("ready")
    patient = dock.sections.table.item(1, 1)
    named = patient.text()
    patient.setText("")
    settle()
    window.keep("stop")
    dock.sections.table.item(1, 1).setText(named)
    wait(dock.start.isEnabled, 300)

    dock.start.click()
    wait(lambda: dock.presenter.run.metrics().stage == "looking at the tissue", 600)
    window.keep("preparing")
    wait(lambda: len(dock.presenter.run.metrics().curve("val_pcc")) >= 4, 900)
    dock.pause.click()
    wait(lambda: window.state() == "paused")
    wait(lambda: dock.map.presenter.prediction is not None)
    window.keep("paused")
    dock.pause.click()
    wait(lambda: window.state() == "running")
    settle()
    window.take(out / "finetune.png")

    dock.run.setText("~/night")
    wait(dock.start.isEnabled, 300)
    dock.start.click()
    wait(lambda: window.state() == "queued", 300)
    settle()
    window.keep("queued")
    dock.run.setText("~/evening")
    wait(lambda: window.state() == "done", 900)
    wait(lambda: dock.result.table.frame is not None)
    window.keep("done")

    dock.run.setText("~/night")
    wait(lambda: len(dock.presenter.run.metrics().curve("val_pcc")) >= 2, 900)
    os.kill(dock.presenter.run.record()["pid"], signal.SIGKILL)
    wait(lambda: window.state() == "failed")
    window.keep("failed")

    window.montage(["ready", "stop"], out / "finetune-start.png")
    window.montage(["preparing", "paused", "queued"], out / "finetune-run.png")
    window.montage(["done", "failed"], out / "finetune-end.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--theme", default="dark")
    parser.add_argument("--font", type=float, default=1.0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    QApplication.instance() or QApplication([])
    looks = get_settings().appearance
    looks.font_size = round(looks.font_size * args.font)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(runs, "registry_file") as registry:
        registry.return_value = Path(folder) / "runs.json"
        sheet = write_sample_sheet(SECTIONS, folder, size_mm=(2.0, 1.6))
        window = Dock(Path(folder), args.theme)
        os.environ["HOME"] = folder  # the fields show plain names; napari has found its icons by now
        try:
            draw(window, sheet, args.out)
        finally:
            window.end()


if __name__ == "__main__":
    sys.exit(main())
