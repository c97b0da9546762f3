"""Files that napari's own menus write: in a thread, with a bar and *Cancel*; the file is finished or not there."""

from __future__ import annotations

from collections.abc import Callable

import napari
from napari.utils.notifications import show_error, show_info

from napari_nh2st.errors import Cancelled as Stopped
from napari_nh2st.formats.exporter import Progress
from napari_nh2st.viewer.export.presenter import STOPPED, WRITING, dock_that_shows
from napari_nh2st.viewer.kit.activity import Activity, open_activity_panel
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.long_work import Cancelled
from napari_nh2st.viewer.kit.pacing import every
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.state.predicted_map import PredictedMap

Write = Callable[[Progress, Cancelled], object]
"""Writes a file and returns it, or what to say of it."""

_SHARES = 1000
_SHOWN_MS = 100


def save(prediction_map: PredictedMap | None, name: str, write: Write) -> None:
    """Write a file of a map: with the bar of the dock that shows the map, else with one in napari's activity panel.

    Parameters
    ----------
    prediction_map : PredictedMap or None
    name : str
        The file, for the bar.
    write : callable
    """
    dock = None if prediction_map is None else dock_that_shows(prediction_map)
    if dock is not None:
        dock.write(write)
    else:
        _Saving(name, write).start()


class _Saving:
    """A file that is written while its bar stands in napari's activity panel."""

    def __init__(self, name: str, write: Write) -> None:
        self._write = write
        self._activity = Activity(f"Saving {name}", stoppable=True)
        self._background = Background()
        self._at = 0
        self._stop_showing: Callable[[], None] = lambda: None

    def start(self) -> None:
        show_info(WRITING)
        open_activity_panel(napari.current_viewer())
        self._show()
        self._stop_showing = every(_SHOWN_MS, self._show)
        self._background.call(self._work, then=self._saved, failed=self._failed)

    def _work(self) -> object:
        def progress(share: float) -> None:
            if self._is_stopped() and share < 1:
                raise Stopped("stopped")
            self._at = round(share * _SHARES)

        return self._write(progress, self._is_stopped)

    def _is_stopped(self) -> bool:
        return self._activity.cancelled or self._background.closed

    def _show(self) -> None:
        self._activity.show(self._at, _SHARES)

    def _end(self) -> None:
        self._stop_showing()
        self._activity.close()

    def _saved(self, path: object) -> None:
        self._end()
        show_info(f"Saved {path}")

    def _failed(self, error: Exception) -> None:
        self._end()
        if isinstance(error, Stopped):
            show_info(STOPPED)
        else:
            show_error(f"Could not save: {error_words(error)}")
