"""The check of this installation from the dock: `nh2st doctor` off the GUI thread. No Qt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from napari_nh2st.atomic import finished_file
from napari_nh2st.doctor.examination import Diagnosis, Probes, examine
from napari_nh2st.doctor.report import report_text
from napari_nh2st.doctor.subject import Subject
from napari_nh2st.doctor.table import begin_probes, groups
from napari_nh2st.slides.mpp import GIVEN
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.phrases import error_words

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide

LOOKING = "Looking at the installation, the display and the slide… This takes a few seconds, on a slow disk a minute."
SHAREABLE = "The report has no names and paths: copy or save it for a bug report."


class CheckView(Protocol):
    """Shows how an installation is."""

    def say(self, text: str) -> None:
        """Say how far it is."""

    def show_report(self, text: str) -> None:
        """Show the report, which can now be copied and saved."""


class InstallationCheck:
    """Examines the installation and a slide, and writes the report.

    Parameters
    ----------
    background : Threads
    view : CheckView
    slide : Slide, optional
        The slide that the dock shows.
    """

    def __init__(self, background: Threads, view: CheckView, slide: Slide | None = None) -> None:
        self._background, self._view = background, view
        given = slide.mpp if slide is not None and slide.mpp_source in GIVEN else None
        self._subject = Subject(slides=() if slide is None else (slide.path,), mpp=given)
        self._probes = Probes()
        self._report = ""

    def start(self) -> None:
        """Begin to look."""
        self._view.say(LOOKING)
        self._background.call(self._examine, then=self._done, failed=self._failed)

    def stop(self) -> None:
        """End what still runs: nobody looks any more."""
        self._probes.close()

    def save(self, path: str | Path) -> None:
        """Write the report."""
        try:
            with finished_file(path) as draft:
                draft.write_text(self._report, "utf-8")
        except OSError as error:
            self._view.say(error_words(error))
        else:
            self._view.say(f"Saved: {Path(path).name}")

    def _examine(self) -> tuple[Diagnosis, str]:
        begin_probes(self._probes)
        diagnosis = examine(groups(self._subject), self._probes)
        return diagnosis, report_text(diagnosis, self._subject)

    def _failed(self, error: Exception) -> None:
        if not self._probes.closed:
            self._view.say(error_words(error))

    def _done(self, answer: tuple[Diagnosis, str]) -> None:
        if self._probes.closed:
            return
        diagnosis, self._report = answer
        self._probes.close()
        self._view.say(f"{diagnosis.counts}. {SHAREABLE}")
        self._view.show_report(self._report)
