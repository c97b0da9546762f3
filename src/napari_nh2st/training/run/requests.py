"""Stop and pause, asked of a run from outside."""

from __future__ import annotations

import time
from collections.abc import Callable

from napari_nh2st.training.run.metrics_file import MetricsFile
from napari_nh2st.training.run.run_folder import RunFolder

_LOOK_AGAIN = 0.2  # seconds between two looks whether the pause file has gone


class RunRequests:
    """Requests to a run from outside: to stop, or to hold.

    Parameters
    ----------
    folder : RunFolder
        A file named `stop` in it ends the run after the current step, one named `pause` holds it until it goes.
    cancelled : callable
        Asks for a stop as well.
    log : MetricsFile

    Attributes
    ----------
    stop_asked : bool
        Whether a stop was asked for at any time.
    """

    def __init__(self, folder: RunFolder, cancelled: Callable[[], bool], log: MetricsFile) -> None:
        self.folder, self.cancelled, self.log = folder, cancelled, log
        self.stop_asked = False

    def should_stop(self) -> bool:
        """Return True if the run should stop; wait while it is paused."""
        if self.folder.pause.exists() and not self._stops():
            self.log.say(event="paused")
            while self.folder.pause.exists() and not self._stops():
                time.sleep(_LOOK_AGAIN)
            self.log.say(event="resumed")
        self.stop_asked = self.stop_asked or self._stops()
        return self.stop_asked

    def _stops(self) -> bool:
        return self.cancelled() or self.folder.stop.exists()
