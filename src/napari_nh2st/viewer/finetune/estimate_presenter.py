"""The estimate of a run: asked when a choice has settled, tried by a separate process, remembered. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Protocol

from psygnal import SignalGroupDescriptor
from pydantic import ValidationError

from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.estimate.estimate import Estimate
from napari_nh2st.training.run.settings_file import write_settings

ESTIMATING = "estimating…"
_TRYING = "A few steps of the run are tried on a part of a section. You need not wait for it"
_SOURCE = (
    "From a short trial on this machine, with the other programs that are running now. A run that no longer improves "
    "ends earlier"
)
# Settings that take neither time nor memory: nothing is tried anew while a name is being typed.
_NO_MATTER = {"name", "description", "licence", "tissue", "citation"}
Question = tuple[str | int | None, ...]


@dataclass(frozen=True)
class Answer:
    """The words of the row, and those of its tooltip, a paragraph each."""

    text: str = ""
    details: tuple[str, ...] = ()


class Trial(Protocol):
    """A process that tries a run."""

    def start(self, words: Sequence[str], ended: Callable[[str, str], None]) -> None:
        """Start the command line with these words; `ended` gets what it printed, and its errors."""

    def end(self) -> None:
        """End the process without a word."""


@dataclass(eq=False)
class EstimateState:
    """The row *Estimate*. It tells its listeners what changes.

    Attributes
    ----------
    question : tuple or None
        What is to be tried, once it has settled; None where there is nothing to try.
    answer : Answer
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    question: Question | None = None
    answer: Answer = Answer()


class EstimatePresenter:
    """Asks for estimates and keeps the answers.

    Parameters
    ----------
    trial : Trial

    Attributes
    ----------
    ENABLED : bool
        Whether anything is tried; for tests of what surrounds it.
    """

    ENABLED = True

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._words: list[str] = []
        self._config: TrainingConfig | None = None
        self._folder: TemporaryDirectory[str] | None = None
        self._answers: dict[Question, Answer] = {}
        self.state = EstimateState()

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
            self.state.answer = Answer(why_not)
            return
        if not self.ENABLED:
            return
        settings = None if config is None else config.model_dump_json(exclude=_NO_MATTER)
        question = (*words, *map(_stamp, words), settings)
        if question == self.state.question:
            return
        self.stop()
        self._words, self._config = list(words), config
        self.state.answer = self._answers.get(question, Answer(ESTIMATING, (_TRYING,)))
        self.state.question = question

    def try_now(self) -> None:
        """Try what was asked: the question has settled."""
        question = self.state.question
        if question is None or question in self._answers or self._folder is not None:
            return
        self._folder = TemporaryDirectory(prefix="nh2st-")
        words = [*self._words, "--estimate", "--json"]
        if self._config is not None:
            words += ["--config", str(write_settings(self._folder.name, self._config))]

        def ended(printed: str, errors: str) -> None:
            if question == self.state.question:
                self._end_trial()
                self.state.answer = self._answers[question] = _answer(printed, errors)

        self._trial.start(words, ended)

    def stop(self) -> None:
        """Try no further: a run is about to begin, or the choices change. An answer that is there stays."""
        question, self.state.question = self.state.question, None
        self._end_trial()
        if question is not None and question not in self._answers:
            self.state.answer = Answer()

    def close(self) -> None:
        """Leave no process behind, and ask nothing any more."""
        self.stop()
        self.ENABLED = False

    def _end_trial(self) -> None:
        if self._folder is not None:
            self._trial.end()
            self._folder.cleanup()
            self._folder = None


def _answer(printed: str, errors: str) -> Answer:
    try:
        estimate = Estimate.model_validate_json(printed)
    except ValidationError:
        return Answer(f"No estimate: {_reason(errors)}")
    return Answer(f"{estimate.takes} on this machine", (*estimate.stages, f"{_SOURCE}."))


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
