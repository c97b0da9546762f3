"""Control of a run from outside: what it reports, and how it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from napari_nh2st.errors import Nh2stError
from napari_nh2st.terminal import Bar
from napari_nh2st.training.run.metrics_file import MetricsFile
from napari_nh2st.training.run.requests import RunRequests
from napari_nh2st.training.run.run_folder import RunFolder


class StoppedEarly(Nh2stError):
    """A run was asked to stop before there was a model to keep."""

    def __init__(self) -> None:
        super().__init__("stopped before the first epoch was finished: there is no model to keep")


@dataclass(frozen=True, eq=False)
class RunControl:
    """Reports of a run, and requests to it.

    Attributes
    ----------
    log : MetricsFile
    requests : RunRequests
    show_bar : bool
        Show progress on standard error.
    """

    log: MetricsFile
    requests: RunRequests
    show_bar: bool = False

    @classmethod
    def of(
        cls,
        folder: RunFolder,
        cancelled: Callable[[], bool] = lambda: False,
        *,
        writes: bool = False,
        show_bar: bool = False,
    ) -> RunControl:
        """Listen to a run's folder; `writes` says whether to write its metrics file."""
        log = MetricsFile(folder.metrics if writes else None)
        return cls(log, RunRequests(folder, cancelled, log), show_bar)

    def reading(self, name: str) -> Callable[[int, int], None]:
        """Make a callback of how many sections are read; it waits while the run is held.

        Raises
        ------
        StoppedEarly
            Out of the callback, if the run is asked to stop.
        """
        told = self.stage(name, "sections")

        def progress(done: int, total: int) -> None:
            told(done, total)
            if self.requests.should_stop():
                raise StoppedEarly

        return progress

    def stage(self, name: str, unit: str) -> Callable[[int, int], None]:
        """Make a callback of a preparation's progress: a bar in the terminal, and a line a second in the metrics."""
        bar = Bar(name, unit=f" {unit}") if self.show_bar else None
        last = float("-inf")

        def progress(done: int, total: int) -> None:
            nonlocal last
            if bar is not None:
                bar(done, total)
            if done >= total or time.monotonic() - last >= 1:
                last = time.monotonic()
                self.log.say(stage=name, done=done, total=total)

        return progress

    @contextmanager
    def report_failure(self) -> Iterator[None]:
        """Write into the metrics why a run fails, or that it was stopped before there was a model."""
        try:
            yield
        except StoppedEarly:
            with suppress(OSError):
                self.log.say(event="cancelled")
            raise
        except BaseException as error:
            with suppress(OSError):
                self.log.say(event="failed", reason=str(error) or type(error).__name__)
            raise
