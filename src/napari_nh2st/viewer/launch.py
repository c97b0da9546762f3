"""napari with the NH2ST dock in place, for the command line: `nh2st view` and `nh2st demo`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import napari

from napari_nh2st.slides import open_slide, read_header
from napari_nh2st.viewer.layers.frames import slide_layer_data
from napari_nh2st.viewer.layers.opening import begin_opening
from napari_nh2st.viewer.layers.reopening import Reopening

PICTURE_SIZE = (1280, 800)
_PICTURE_SECONDS = 240.0
NAME = "demo tissue"


def open_dock(viewer: napari.Viewer) -> Any:
    """Add the NH2ST dock to a viewer, or find the one that is there."""
    return viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST")[1]


def show(slide: str | Path, *, model: str | None = None, mpp: float | None = None) -> None:
    """Open a slide with the dock and run until the window is closed.

    Parameters
    ----------
    slide : path
    model : str, optional
        Name or folder of the model that the dock starts with.
    mpp : float, optional
        Micrometres per pixel, where the slide does not say so itself.
    """
    viewer = napari.Viewer(title="NH2ST")
    opening = begin_opening(Path(slide), read_header(slide, mpp=mpp), mpp=mpp)
    data, meta, _ = opening.placeholder()
    viewer.add_image(data, **meta)
    opening.start()
    dock = open_dock(viewer)
    if model is not None:
        dock.use_model(model)
    napari.run()


def show_prediction(path: str | Path, *, model: str | None = None) -> None:
    """Open a prediction over its slide, with the dock, and run until the window is closed.

    Parameters
    ----------
    path : path
        A file or folder in one of the formats that `export` writes.
    model : str, optional
        Name or folder of the model that the dock starts with.
    """
    viewer = napari.Viewer(title="NH2ST")
    dock = open_dock(viewer)
    if model is not None:
        dock.use_model(model)
    Reopening(viewer, Path(path)).start()
    napari.run()


def show_demo(seed: int = 0) -> None:
    """Open the demo tissue of a seed, predict it, and run until the window is closed."""
    _demo(seed)
    napari.run()


def draw_demo(picture: Path, seed: int = 0, model: str = "demo") -> None:
    """Draw the window of `show_demo` once the prediction is there.

    Raises
    ------
    RuntimeError
        If the prediction did not finish.
    """
    from qtpy.QtWidgets import QApplication

    viewer, dock = _demo(seed, model)
    viewer.window.resize(*PICTURE_SIZE)
    QApplication.processEvents()
    viewer.fit_to_view()
    until = time.monotonic() + _PICTURE_SECONDS
    while dock.controller.running and time.monotonic() < until:
        QApplication.processEvents()
        time.sleep(0.01)
    if dock.controller.status.error is not None or dock.controller.running:
        raise RuntimeError(f"the demo was not predicted: {dock.controller.status.error or 'it took too long'}")
    for _ in range(20):  # let the window draw what has just arrived
        QApplication.processEvents()
        time.sleep(0.01)
    viewer.screenshot(str(picture), canvas_only=False, flash=False)
    viewer.close()


def _demo(seed: int, model: str = "demo") -> tuple[napari.Viewer, Any]:
    from napari_nh2st.demo.tissue import sample_slide
    from napari_nh2st.viewer.predict.region_section import WHOLE

    viewer = napari.Viewer(title="NH2ST demo: synthetic tissue")
    data, meta, _ = slide_layer_data(open_slide(sample_slide(seed)), NAME)
    viewer.add_image(data, **meta)
    dock = open_dock(viewer)
    dock.use_model(model)
    dock.where.buttons[WHOLE].setChecked(True)
    dock.predict()
    return viewer, dock


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw napari's window on the demo tissue.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, required=True)
    chosen = parser.parse_args()
    draw_demo(chosen.picture, chosen.seed)
