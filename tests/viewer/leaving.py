"""Open both docks, begin something, and end the process at once: threads are still at work then."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import napari
from qtpy.QtTest import QTest

from napari_nh2st.viewer.predict_dock import PredictWidget
from support.slides import picture, tiff


def open_two_slides(viewer: napari.Viewer, folder: Path, dock: PredictWidget) -> None:
    """Open them one after the other: as the window goes, the other one would come into sight."""
    for name in "ab":
        path = tiff(folder / f"{name}.tif", picture(900, 700, seed=ord(name)))
        viewer.open(str(path), plugin="napari-nh2st")

        until = time.monotonic() + 30
        while dock.state.slide is None or dock.state.slide.path != path:
            assert time.monotonic() < until
            QTest.qWait(50)


def main(how: str) -> None:
    viewer = napari.Viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST")
    viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST fine-tune")
    assert isinstance(dock, PredictWidget)
    if how == "slides left open":
        open_two_slides(viewer, Path(tempfile.mkdtemp()), dock)
    for _ in range(8):  # more than there are threads: some have not begun
        dock.background.call(time.sleep, 0.3, then=print, failed=print)
    dock.background.iterate((time.sleep(0.1) for _ in range(10_000)), print)
    if how == "closed":
        viewer.close()
    print("the end")


main(sys.argv[1])
