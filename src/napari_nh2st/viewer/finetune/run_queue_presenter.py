"""The runs that were started on this machine: which there are, and what can be done with each. No Qt."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from psygnal import SignalGroupDescriptor

from napari_nh2st.training.run import runs
from napari_nh2st.training.run.run_process import RunProcess
from napari_nh2st.training.run.runs import RunLine
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.phrases import error_words

_NOTHING_CHOSEN = "Select a run in the list first"


@dataclass(frozen=True)
class ReasonsOff:
    """Why a run cannot be opened, resumed, used or forgotten; empty where it can."""

    open: str = ""
    resume: str = ""
    use: str = ""
    forget: str = ""


@dataclass(eq=False)
class RunQueueState:
    """The list of runs. It tells its listeners what changes.

    Attributes
    ----------
    lines : tuple of RunLine
        The last one first.
    note : str
        What went wrong with the list.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    lines: tuple[RunLine, ...] = ()
    note: str = ""

    @property
    def active(self) -> bool:
        """True if a run is at work or waits, so that the list must be checked again."""
        return any(line.active for line in self.lines)


class RunQueuePresenter:
    """Looks at the runs in the background, where their files may lie on slow storage.

    Parameters
    ----------
    threads : Threads
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._processes: dict[Path, RunProcess] = {}
        self._reading = self._again = False
        self.state = RunQueueState()

    def active_beside(self, folder: Path) -> list[Path]:
        """Return the folders of the runs that are at work or wait, but for one."""
        own = folder.expanduser().resolve()
        return [line.folder for line in self.state.lines if line.active and line.folder != own]

    def add(self, folder: Path) -> None:
        """Put a run that was just started on the list."""
        try:
            runs.remember(folder)
        except OSError as error:
            self.state.note = f"The run continues, but the list of runs cannot be written: {error}"
        first = RunLine(folder.expanduser().resolve(), "starting", time.time())
        self.state.lines = (first, *(line for line in self.state.lines if line.folder != first.folder))
        self.refresh()

    def forget(self, line: RunLine) -> None:
        """Take a run off the list; its files stay."""
        try:
            runs.forget(line.folder)
        except OSError as error:
            self.state.note = f"The list of runs cannot be written: {error}"
        self.refresh()

    def refresh(self) -> None:
        """Look at all runs, in the background."""
        if self._reading:
            self._again = True
            return
        self._reading, self._again = True, False
        self._threads.call(self._read, then=self._done, failed=self._failed)

    def _read(self) -> tuple[RunLine, ...]:
        processes = (self._processes.setdefault(folder, RunProcess(folder)) for folder in runs.known_runs())
        return tuple(runs.line_of(process) for process in processes)

    def _done(self, lines: tuple[RunLine, ...]) -> None:
        self._reading = False
        if self._again:  # a run was added or taken off meanwhile
            self.refresh()
        else:
            self.state.lines = lines

    def _failed(self, error: Exception) -> None:
        self._reading = False
        self.state.note = f"The list of runs cannot be read: {error_words(error)}"


def reasons_off(line: RunLine | None) -> ReasonsOff:
    """Say what cannot be done with a run, or with none."""
    if line is None:
        return ReasonsOff(*[_NOTHING_CHOSEN] * 4)
    resume = ""
    if line.active:
        resume = "This run is already at work"
    elif line.state == "done":
        resume = "This run has ended"
    elif not line.resumable:
        resume = "Nothing of this run was kept to continue from"
    return ReasonsOff(
        resume=resume,
        use="" if line.model else "This run has no model yet",
        forget="This run is at work. Stop it first" if line.active else "",
    )
