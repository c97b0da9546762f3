"""Stop and pause, asked of a run from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from napari_nh2st.training.run.metrics_file import MetricsFile

STOP, PAUSE = "stop", "pause"


_LOOK_AGAIN = 0.2  # seconds between two looks whether the pause file has gone


class RunRequests:
    """What is asked of a run from outside: to stop, or to hold.

    Parameters
    ----------
    run : Path
        Its folder: a file named `stop` ends the run after the current step, one named `pause` holds it until it goes.
    cancelled : callable
        Asks for a stop as well.
    log : MetricsFile
    """

    def __init__(self, run: Path, cancelled: Callable[[], bool], log: MetricsFile) -> None:
        self._stop, self._pause, self.cancelled, self.log = run / STOP, run / PAUSE, cancelled, log
        self.asked = False

    def stop(self) -> bool:
        """Tell whether to stop; holds as long as the run is paused."""
        if self._pause.exists() and not self._stops():
            self.log.say(event="paused")
            while self._pause.exists() and not self._stops():
                time.sleep(_LOOK_AGAIN)
            self.log.say(event="resumed")
        self.asked = self.asked or self._stops()
        return self.asked

    def _stops(self) -> bool:
        return self.cancelled() or self._stop.exists()
