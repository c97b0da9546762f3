"""Open both docks, begin something, and end the process at once: threads are still at work then."""

from __future__ import annotations

import sys
import time

import napari

from napari_nh2st.viewer.predict_dock import PredictWidget


def main(how: str) -> None:
    viewer = napari.Viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST")
    viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST fine-tune")
    assert isinstance(dock, PredictWidget)
    for _ in range(8):  # more than there are threads: some have not begun
        dock.background.call(time.sleep, 0.3, then=print, failed=print)
    dock.background.iterate((time.sleep(0.1) for _ in range(10_000)), print)
    if how == "closed":
        viewer.close()
    print("the end")


main(sys.argv[1])
