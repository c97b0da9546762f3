"""What a run will take, beside the button that starts it: tried by a process of its own, when a choice has settled."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError
from qtpy.QtCore import QCoreApplication, QProcess, QTimer
from qtpy.QtWidgets import QWidget

from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.estimate.estimate import Estimate
from napari_nh2st.training.run.detached_process import lower_priority
from napari_nh2st.training.run.settings_file import write_settings
from napari_nh2st.viewer.kit.layout import Caption, column, row
from napari_nh2st.viewer.kit.texts import Sentence, paragraphs

_SETTLED_MS = 1500
_TRYING = "Some steps of the run are tried on a part of a section, by a process of its own; Start need not wait for it"
_WHENCE = (
    "From a short trial on this machine as it is now: what else runs on it counts. A run that gets no better ends "
    "earlier"
)
# Settings that take neither time nor memory: nothing is tried anew while a name is being typed.
_NO_MATTER = {"name", "description", "licence", "tissue", "citation"}
# The answer to a question, and its tooltip.
Answer = tuple[str, str]


class EstimatePart(QWidget):
    """The row *Estimate*.

    Parameters
    ----------
    program : sequence of str, optional
        What the command line is given to; this Python's `-m napari_nh2st` by default.

    Attributes
    ----------
    EVERY : bool
        Whether `ask` tries anything; for tests of what stands around it.
    """

    EVERY = True

    def __init__(self, program: Sequence[str] | None = None) -> None:
        super().__init__()
        self._program = list(program or (sys.executable, "-m", "napari_nh2st"))
        self._asked: tuple[object, ...] | None = None
        self._words: list[str] = []
        self._config: TrainingConfig | None = None
        self._process: QProcess | None = None
        self._alive: set[QProcess] = set()
        self._folder: TemporaryDirectory[str] | None = None
        self._known: dict[tuple[object, ...], Answer] = {}
        self._settled = QTimer(self, interval=_SETTLED_MS, singleShot=True)
        self._settled.timeout.connect(self._try)
        self.sentence = Sentence()
        line = row(self.sentence, stretch=0)
        line.insertWidget(0, Caption("Estimate", beside=self.sentence))
        column(self).addLayout(line)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.shut)
        self.destroyed.connect(partial(_end_all, self._alive))

    def ask(self, words: Sequence[str] | None, config: TrainingConfig | None = None, why_not: str = "") -> None:
        """Estimate a run, soon; at once where that was answered before. The same question again changes nothing.

        Parameters
        ----------
        words : sequence of str or None
            The command line of the run, from ``finetune`` on, without ``--out``; None where there is nothing to
            estimate.
        config : TrainingConfig, optional
            Settings that are in no file yet.
        why_not : str
            What to say where there is nothing to estimate.
        """
        if words is None:
            self.stop()
            self._say((why_not, ""))
            return
        if not self.EVERY:
            return
        settings = None if config is None else config.model_dump_json(exclude=_NO_MATTER)
        question = (*words, *map(_stamp, words), settings)
        if question == self._asked:
            return
        self.stop()
        self._asked, self._words, self._config = question, list(words), config
        if question in self._known:
            self._say(self._known[question])
        else:
            self._say(("estimating…", _TRYING))
            self._settled.start()

    def stop(self) -> None:
        """Try no further: a run is about to begin, or the choices change. An answer that is there stays."""
        self._settled.stop()
        unanswered = self._asked is not None and self._asked not in self._known
        self._asked = None
        self._end_process()
        if unanswered:
            self._say(("", ""))

    def shut(self) -> None:
        """Leave no process behind."""
        self.stop()
        self.EVERY = False

    def _try(self) -> None:
        words = [*self._words, "--estimate", "--json"]
        if self._config is not None:
            self._folder = TemporaryDirectory()
            words += ["--config", str(write_settings(self._folder.name, self._config))]
        process = self._process = QProcess(self)
        self._alive.add(process)
        # as the run itself has: what it is given beside other programs is then alike
        process.started.connect(lambda: lower_priority(int(process.processId())))
        process.finished.connect(partial(self._ended, process))
        process.errorOccurred.connect(partial(self._not_started, process))
        process.start(self._program[0], [*self._program[1:], *words])

    def _not_started(self, process: QProcess, error: QProcess.ProcessError) -> None:
        if error != QProcess.ProcessError.FailedToStart:
            return
        self._alive.discard(process)
        if process is self._process:
            self._answer((f"It could not be estimated: {process.errorString()}", ""))

    def _ended(self, process: QProcess, *_: object) -> None:
        self._alive.discard(process)
        if process is not self._process:
            process.deleteLater()
            return
        told, said = (bytes(part()) for part in (process.readAllStandardOutput, process.readAllStandardError))
        try:
            found = Estimate.model_validate_json(told)
        except ValidationError:
            self._answer((f"It could not be estimated: {_reason(said.decode('utf-8', 'replace'))}", ""))
            return
        self._answer((f"{found.takes} on this machine", paragraphs([*found.stages, f"{_WHENCE}."])))

    def _answer(self, answer: Answer) -> None:
        if self._asked is not None:
            self._known[self._asked] = answer
        self._end_process()
        self._say(answer)

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None and process in self._alive:
            process.kill()  # it writes nothing that could be left half-done
        elif process is not None:
            process.deleteLater()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _say(self, answer: Answer) -> None:
        text, tooltip = answer
        self.sentence.say(text)
        self.sentence.setToolTip(tooltip)


def _end_all(processes: set[QProcess]) -> None:
    """End what is at work when the row is deleted without a word; Qt would let them tell a row that has gone."""
    for process in processes:
        process.blockSignals(True)
        process.kill()
        process.waitForFinished(1000)


def _stamp(word: str) -> int | None:
    """Tell two states of a file apart: the sheet may be mended while its name stays."""
    try:
        return Path(word).stat().st_mtime_ns
    except OSError:
        return None


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error:")]
    return (errors or lines or ["the process ended without a word"])[-1].removeprefix("error:").strip()
