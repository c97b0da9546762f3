"""Long pieces of work and what they are about: each belongs to a slide, and its result is shown there alone. No Qt."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from psygnal import Signal

from napari_nh2st.errors import Cancelled as Stopped
from napari_nh2st.viewer.kit.long_work import Cancelled, Tell, Threads
from napari_nh2st.viewer.kit.phrases import error_words

T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """The slide that work is about, and the map on it.

    Attributes
    ----------
    slide : str
        Fingerprint, empty for none.
    map : object
        What was predicted there with one model, None for work on the slide itself.
    name : str
        The slide, for people.
    """

    slide: str = ""
    map: object = None
    name: str = field(default="", compare=False)


class Subjects:
    """The subject of work that starts now, as long as it is that of the window.

    Parameters
    ----------
    look : callable
        Returns the subject of now.
    """

    changed = Signal()
    """Another subject is in the window; all that follows from it was told before."""
    gone = Signal(object, str)
    """A slide (its fingerprint) or a map is gone, and why: "C5 was closed"."""

    def __init__(self, look: Callable[[], Subject] = Subject) -> None:
        self._look = look

    @property
    def now(self) -> Subject:
        """The subject in the window."""
        return self._look()


@dataclass(eq=False)
class Job:
    """A piece of work that runs.

    Attributes
    ----------
    what : str
        What is being done: "Looking for domains".
    at : (done, total)
        (0, 0) while the total is not known.
    """

    subject: Subject
    what: str
    ended: Callable[[], None]
    stop: threading.Event = field(default_factory=threading.Event)
    at: tuple[int, int] = (0, 0)
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float | None:
        """Seconds that it may still take, None where that is not known."""
        done, total = self.at
        return (time.monotonic() - self.began) / done * (total - done) if done and total else None

    def sentence(self) -> str:
        """Say what is being done, and where."""
        return "Stopping…" if self.stop.is_set() else f"{_named(self.subject, self.what)}…"


class Jobs:
    """Work of one kind: no more than one piece for each subject, and what it came to.

    A result that comes while another subject is in the window waits until its own is back.

    Parameters
    ----------
    background : Threads
    subjects : Subjects
    show : callable
        Called when a job begins or ends, and when another sentence is to be said.
    """

    def __init__(self, background: Threads, subjects: Subjects, show: Callable[[], None]) -> None:
        self._background, self._subjects, self._show = background, subjects, show
        self._running: dict[Subject, Job] = {}
        self._kept: dict[Subject, Callable[[], None]] = {}
        self._sentences: dict[Subject, str] = {}
        subjects.changed.connect(self._moved)
        subjects.gone.connect(self._gone)

    @property
    def current(self) -> Job | None:
        """The job for what is in the window."""
        return self._running.get(self._subjects.now)

    @property
    def shown(self) -> Job | None:
        """The job to show: that for what is in the window, else the last one that began elsewhere."""
        return self.current or next(reversed(self._running.values()), None)

    @property
    def sentence(self) -> str:
        """A line for the job that runs, after how the last one ended, unless it is for what is in the window."""
        job, said = self.shown, self._sentences.get(self._subjects.now, "")
        lines = ["" if job is not None and job is self.current else said, "" if job is None else job.sentence()]
        return "\n".join(line for line in lines if line)

    def start(
        self,
        what: str,
        work: Callable[[Tell, Cancelled], T],
        then: Callable[[T], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Call ``work(tell, cancelled)`` in a thread; what ran for the same subject is cancelled, its outcome dropped.

        Parameters
        ----------
        what : str
            What is being done, for the person who waits: "Looking for domains".
        work : callable
            May tell how far it is with ``tell(done, total)``, and should raise `Cancelled` soon after ``cancelled()``
            turns true.
        then : callable
            Gets what the work returned, on the GUI thread, with its subject in the window. Not called where it failed
            or was cancelled: that is said here.
        ended : callable
            Called at the end, whichever it is, and after `then`; to enable a button, say.
        """
        subject = self._subjects.now
        self._drop(subject)
        job = self._running[subject] = Job(subject, what, ended)
        self._sentences.pop(subject, None)

        def tell(done: int, total: int) -> None:
            if not job.stop.is_set():
                job.at = done, total

        self._show()
        self._background.call(
            work,
            tell,
            job.stop.is_set,
            then=lambda value: self._finish(job, partial(self._done, job, then, value)),
            failed=lambda error: self._finish(job, partial(self._failed, job, error)),
        )

    def cancel(self) -> None:
        """Ask the job for what is in the window to stop."""
        self._stop(self.current)

    def cancel_shown(self) -> None:
        """Ask the job that is shown to stop, wherever it works."""
        self._stop(self.shown)

    def cancel_all(self) -> None:
        """Ask all jobs to stop, and drop what waits to be shown: it is asked for anew where it is wanted."""
        for job in self._running.values():
            job.stop.set()
        self._kept.clear()
        self._show()

    def close(self) -> None:
        """Ask all jobs to stop without a word: the dock is closed, and what shows them may be gone."""
        for job in self._running.values():
            job.stop.set()
        self._running, self._kept, self._show = {}, {}, lambda: None

    def say(self, text: str) -> None:
        """Say a sentence about what is in the window."""
        self._sentences[self._subjects.now] = text
        self._show()

    def _stop(self, job: Job | None) -> None:
        if job is not None:
            job.stop.set()
            self._show()

    def _finish(self, job: Job, call: Callable[[], None]) -> None:
        if self._running.get(job.subject) is not job:
            return
        del self._running[job.subject]
        try:
            call()
        finally:
            job.ended()
            self._show()

    def _done(self, job: Job, then: Callable[[T], None], value: T) -> None:
        self._sentences[job.subject] = ""
        if job.stop.is_set():
            self._sentences[job.subject] = "Stopped."
        elif job.subject == self._subjects.now:
            self._show()
            then(value)
        else:
            self._kept[job.subject] = partial(self._deliver, job, then, value)

    def _failed(self, job: Job, error: Exception) -> None:
        self._sentences[job.subject] = (
            "Stopped." if isinstance(error, Stopped) else f"That did not work: {error_words(error)}"
        )

    def _deliver(self, job: Job, then: Callable[[T], None], value: T) -> None:
        try:
            then(value)
        finally:
            job.ended()

    def _moved(self) -> None:
        """Show what has waited for the subject that is in the window now."""
        deliver = self._kept.pop(self._subjects.now, None)
        if deliver is not None:
            deliver()
        self._show()

    def _gone(self, gone: object, why: str) -> None:
        """End what is about a slide or a map that is gone, and say so."""
        ended = []
        for about in {*self._running, *self._kept, *self._sentences}:
            if gone in (about.slide, about.map):
                ended += [job for job in [self._running.get(about)] if job is not None]
                self._drop(about)
                self._sentences.pop(about, None)
        for job in ended:
            self._sentences[self._subjects.now] = f"{why}: {_small(job.what)} has stopped."
            job.ended()
        self._show()

    def _drop(self, subject: Subject) -> None:
        self._kept.pop(subject, None)
        job = self._running.pop(subject, None)
        if job is not None:
            job.stop.set()


def _named(subject: Subject, what: str) -> str:
    return f"{subject.name}: {_small(what)}" if subject.name else what


def _small(what: str) -> str:
    """Return what is being done as it stands in the middle of a sentence."""
    return what[:1].lower() + what[1:]
