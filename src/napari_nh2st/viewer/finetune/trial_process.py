"""The process that tries a run for its estimate: at most one, killed when nobody waits for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

from qtpy.QtCore import QCoreApplication, QObject, QProcess
from superqt.utils import signals_blocked

from napari_nh2st.training.run.detached_process import lower_priority

Ended = Callable[[str, str], None]


class TrialProcess(QObject):
    """The command line in a process of its own, which ends with the window.

    Parameters
    ----------
    parent : QObject
        The process ends with it.
    program : sequence of str, optional
        What the words are given to; this Python's `-m napari_nh2st` by default.
    """

    def __init__(self, parent: QObject, program: Sequence[str] | None = None) -> None:
        super().__init__(parent)
        self.program = list(program or (sys.executable, "-m", "napari_nh2st"))
        self._process: QProcess | None = None
        self._alive: set[QProcess] = set()
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.end)
        self.destroyed.connect(partial(_kill_all, self._alive))

    def start(self, words: Sequence[str], ended: Ended) -> None:
        """Start the command; `ended` gets what it printed and its errors, unless `end` is called first."""
        self.end()
        process = self._process = QProcess(self)
        self._alive.add(process)
        # the same priority as the run itself: beside other programs it then gets as much
        process.started.connect(lambda: lower_priority(int(process.processId())))
        process.finished.connect(partial(self._finished, process, ended))
        process.errorOccurred.connect(partial(self._failed, process, ended))
        process.start(self.program[0], [*self.program[1:], *words])

    def end(self) -> None:
        """Kill the process: it writes nothing that could be left half-done."""
        process, self._process = self._process, None
        if process is not None and process in self._alive:
            process.kill()
        elif process is not None:
            process.deleteLater()

    def _failed(self, process: QProcess, ended: Ended, error: QProcess.ProcessError) -> None:
        if error != QProcess.ProcessError.FailedToStart:
            return
        self._alive.discard(process)
        if process is self._process:
            ended("", process.errorString())

    def _finished(self, process: QProcess, ended: Ended, *_: object) -> None:
        self._alive.discard(process)
        if process is not self._process:
            process.deleteLater()
            return
        try:
            printed, errors = process.readAllStandardOutput(), process.readAllStandardError()
        except RuntimeError:  # Qt tells of the end of a process that it deletes with the window: nobody waits for it
            return
        ended(*(bytes(part).decode("utf-8", "replace") for part in (printed, errors)))


def _kill_all(processes: set[QProcess]) -> None:
    """End what is at work when the window is deleted without a word; Qt would let them tell a window that has gone."""
    for process in processes:
        with signals_blocked(process):
            process.kill()
            process.waitForFinished(1000)
