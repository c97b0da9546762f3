"""The dock NH2ST fine-tune: sections in, a model out. The run is a process of its own; this dock only follows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QEvent, Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QFileDialog,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
)

from napari_nh2st.errors import Nh2stError
from napari_nh2st.training.run.run_process import RunProcess, RunStatus, finetune_command
from napari_nh2st.training.run.runs import RunLine, line_of
from napari_nh2st.training.run.settings_file import FILE as SETTINGS
from napari_nh2st.training.run.settings_file import write_settings
from napari_nh2st.viewer.finetune.choices import ELSEWHERE, ChoicesPart
from napari_nh2st.viewer.finetune.curves import Curves
from napari_nh2st.viewer.finetune.estimate import EstimateRow
from napari_nh2st.viewer.finetune.held_out_map import HeldOutMap
from napari_nh2st.viewer.finetune.messages import run_sentence
from napari_nh2st.viewer.finetune.run_facts import LogFold, RunFacts
from napari_nh2st.viewer.finetune.run_queue import RunQueue
from napari_nh2st.viewer.finetune.run_queue_presenter import RunQueuePresenter
from napari_nh2st.viewer.finetune.run_result import RunResultView
from napari_nh2st.viewer.finetune.sections import Sections
from napari_nh2st.viewer.finetune.sections_presenter import SectionsPresenter
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.layout import indented, row, rule, scrolled
from napari_nh2st.viewer.kit.phrases import clock, error_words
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.layers.removal import make_removal_safe
from napari_nh2st.viewer.state.preferences import stored_preferences
from napari_nh2st.viewer.state.services import Services

_POLL_MS = 1000
_START = "Start the run as a process of its own: it goes on when napari is closed"
_QUEUE = "Another run is at work: this one begins by itself when that has ended"
_RESUME = "Go on from the last finished epoch, with the settings that the run was started with"
_EDIT = "Open the settings that this dock does not show, as a file to edit; Start reads it"
_EDIT_NOT = "Choose a new folder for the run first: its settings are a file in there, fixed when the run begins"
_PAUSE = "Hold the run after the current step, so that the processor is free; nothing is lost"
_GO_ON = "Let the held run go on where it stands"


class FinetuneWidget(QScrollArea):
    """The dock.

    Parameters
    ----------
    napari_viewer : Viewer
    services : Services, optional
        For the names of the bundled models.
    program : list of str, optional
        What the command line is given to; this Python's `-m napari_nh2st` by default.
    """

    def __init__(
        self, napari_viewer: Viewer, services: Services | None = None, program: list[str] | None = None
    ) -> None:
        super().__init__()
        make_removal_safe(napari_viewer)
        self._timer = QTimer(self, interval=_POLL_MS)
        self.viewer, self._services, self._program = napari_viewer, services or Services(), program
        self.background, self._connections = Background(), Connections()
        self.preferences = stored_preferences()
        self.job: RunProcess | None = None
        self._build()
        self._timer.timeout.connect(self.follow)
        self.destroyed.connect(self.background.close)
        self.run.setText(self.preferences.last_run)
        self.sections.sheet.setText(self.preferences.last_sheet)
        self.runs.presenter.refresh()

    def _build(self) -> None:
        self._make_fields()
        self._make_run()
        layout = scrolled(self)
        layout.addWidget(self.sections)
        layout.addWidget(self.choices)
        layout.addLayout(row(self.run, _chooser("Choose the run folder", self._ask_run), label="Run", stretch=0))
        layout.addLayout(indented(self.edit))
        layout.addWidget(self.estimate)
        layout.addWidget(rule())
        layout.addLayout(row(self.start, self.pause, self.stop, stretch=2))
        for part in (self.bar, self.sentence, self.facts, self.curves, self.map, self.result, self.use, self.log):
            layout.addWidget(part)
        layout.addWidget(rule())
        layout.addWidget(QLabel("Runs on this machine"))
        layout.addWidget(self.runs)
        layout.addStretch(1)

    def _make_fields(self) -> None:
        self.sections = Sections(SectionsPresenter(self.background), self.viewer)
        self.choices = ChoicesPart(self._services, self.background, lambda: list(self.sections.presenter.facts))
        self.sections.presenter.state.events.overview.connect(self.choices.look_up)
        self.sections.presenter.state.events.why_not.connect(self._update_start)
        self.choices.changed.connect(self._update_start)
        self.choices.change.clicked.connect(self.sections.show)
        self.run = QLineEdit(placeholderText="folder for the run")
        self.run.setToolTip("Where the run writes. A folder with a run in it shows that run, and can be picked up")
        self.run.textChanged.connect(self._folder_changed)
        self.edit = QPushButton("Open settings…")
        self.edit.setToolTip(_EDIT)
        self.edit.clicked.connect(self._edit)

    def _make_run(self) -> None:
        self.start = QPushButton("Start")
        self.start.clicked.connect(self._start)
        self.stop = QPushButton("Stop and keep the best")
        self.stop.setToolTip("End the run after the current step; the best model so far is kept")
        self.stop.clicked.connect(self._stop)
        self.pause = QPushButton("Pause")
        self.pause.clicked.connect(self._pause)
        self.bar = QProgressBar()
        self.bar.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.estimate = EstimateRow(self._program)
        self._draft = TemporaryDirectory(prefix="nh2st-")  # what an estimate is made of, while no run has begun
        self.sentence, self.facts, self.log = Sentence(), RunFacts(), LogFold()
        self.curves, self.map = Curves(), HeldOutMap(self.background)
        self.result = RunResultView(self._services, self.background)
        self.use = QPushButton("Use this model")
        self.use.setToolTip("Choose the trained model in the NH2ST dock")
        self.use.clicked.connect(self._use)
        self.runs = RunQueue(
            RunQueuePresenter(self.background),
            on_open=self._open_run,
            on_resume=self._resume_run,
            on_use=lambda line: self._use_model(line.model),
        )
        self.runs.presenter.state.events.lines.connect(self._update_start)
        self._status = RunStatus("empty")
        self._show(RunStatus("empty"))

    def event(self, event: QEvent) -> bool:
        """Follow no more when the dock is closed; the run goes on."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._timer.stop()
            self.map.presenter.close()
            self.sections.close_down()
            self.choices.shut()
            self.estimate.close_down()
            self.runs.close_down()
            self._draft.cleanup()
        return bool(super().event(event))

    # what the person does

    def _ask_run(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Run folder", self.run.text())
        if path:
            self.run.setText(path)

    def _edit(self) -> None:
        """Open the settings that the dock does not show in the editor that the system has for them."""
        if self.job is None:
            return
        try:
            path = write_settings(self.job.folder, self.choices.config(self.job.folder), ELSEWHERE)
        except Nh2stError as error:  # a wrong setting: it is there that it is mended
            self.sentence.say(error_words(error))
            path = self.job.folder / SETTINGS
        except OSError as error:
            self.sentence.say(f"The run's folder cannot be used ({error.strerror or error}): choose another one.")
            return
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
            self.sentence.say(f"This system names no program for the settings: edit {path}")

    def _start(self) -> None:
        job = self.job
        if job is None:
            return
        try:
            job.start(self._command(job), program=self._program)
        except OSError as error:
            self.sentence.say(f"The run's folder cannot be used ({error.strerror or error}): choose another one.")
            return
        except (RuntimeError, Nh2stError) as error:
            self.sentence.say(f"The run could not be started: {error_words(error)}")
            return
        self.estimate.presenter.stop()
        self.preferences.last_run = str(job.folder)
        sheet = line_of(job).sheet
        self.preferences.last_sheet = "" if sheet is None else str(sheet)
        self.runs.presenter.add(job.folder)
        self.follow()

    def _command(self, job: RunProcess) -> list[str]:
        """Write the run's settings and return the command that starts it; what goes on does so as it was begun."""
        before = self.runs.presenter.active_beside(job.folder)
        if job.can_resume:
            sheet = line_of(job).sheet or self.sections.presenter.sheet_for(job.folder)
            return finetune_command(sheet, job.folder, resume=True, after=before)
        return self._words(job.folder, job.folder, before)

    def _words(self, folder: Path, out: Path | None, before: Sequence[Path] = ()) -> list[str]:
        """Write what a run is made of into a folder, and return its command; without `out`, to be estimated."""
        return finetune_command(
            self.sections.presenter.sheet_for(folder),
            out,
            model=self.choices.base.currentData(),
            seed=self.choices.seed.value(),
            epochs=self.choices.epochs.value() or None,
            config=None if out is None else write_settings(folder, self.choices.config(folder), ELSEWHERE),
            after=before,
        )

    def _stop(self) -> None:
        if self.job is not None:
            self.job.stop()
            self.follow()

    def _pause(self) -> None:
        """Hold the run, or let it go on where that was asked for."""
        if self.job is None:
            return
        if self.job.pause_asked:
            self.job.unpause()
        else:
            self.job.pause()
        self.follow()

    def _open_run(self, line: RunLine) -> None:
        """Show a run of the list, and its sheet."""
        if line.sheet is not None:
            self.sections.sheet.setText(str(line.sheet))
        self.run.setText(str(line.folder))

    def _resume_run(self, line: RunLine) -> None:
        self._open_run(line)
        self._start()

    def _use(self) -> None:
        self._use_model(self._status.model)

    def _use_model(self, model: Path | None) -> None:
        if model is None:
            return
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST")
        dock.use_model(str(model))
        self.sentence.say(f"The NH2ST dock uses {model}.")

    # what changes

    def _folder_changed(self, text: str) -> None:
        self.job = RunProcess(Path(text).expanduser()) if text.strip() else None
        self.choices.collapse(False)
        self.follow()

    def follow(self) -> None:
        """Look at the run's files and show where it stands."""
        status = self.job.status() if self.job is not None else RunStatus("empty")
        before = self._status.state
        self._show(status)
        if status.state != before:
            self.runs.presenter.refresh()
        if status.active and not self._timer.isActive():
            self._timer.start()
        elif not status.active:
            self._timer.stop()

    def _show(self, status: RunStatus) -> None:
        metrics = status.metrics
        self.sentence.say(run_sentence(status))
        self.bar.setVisible(status.active)
        self.bar.setRange(0, metrics.total_epochs or 0)
        self.bar.setValue(metrics.epoch or 0)
        left = clock(status.seconds_left)
        text = f"epoch {metrics.epoch + 1} of {metrics.total_epochs}" if metrics.epoch is not None else ""
        self.bar.setFormat(f"{text}   {left} left" if left else text)
        begun = status.state != "empty"
        self.facts.show_status(status)
        self.log.show_log(self.job.tail(200) if begun and self.job is not None else "")
        if status.state == "failed" and self._status.state != "failed":
            self.log.open()
        self.curves.show_metrics(metrics)
        self.curves.setVisible(status.active or not self.curves.empty)
        folder = self.job.folder if begun and self.job is not None else None
        self.map.presenter.show_run(folder, active=status.active)
        self.map.presenter.refresh()
        ended = status.model if not status.active else None  # one that goes on may write another
        self.result.presenter.show_model(ended)
        self.use.setVisible(ended is not None)
        self.stop.setEnabled(status.state in ("queued", "starting", "running", "paused"))
        held = self.job is not None and self.job.pause_asked and status.active
        self.pause.setText("Go on" if held else "Pause")
        self.pause.setToolTip(_GO_ON if held else _PAUSE)
        self.pause.setEnabled(status.state in ("starting", "running", "paused"))
        if status.state != self._status.state:
            self._make_room(status.active or status.state in ("done", "cancelled"))
        self._status = status
        self._update_start()

    def _make_room(self, on: bool) -> None:
        """Fold what a run was started with, so that what it does is in sight."""
        self.choices.collapse(on, None if self.job is None else self.job.folder)
        self.sections.setVisible(not on)

    def _update_start(self) -> None:
        resumable = self.job is not None and self.job.can_resume
        goes_on = resumable and self._status.state != "done" and not self._status.active
        waits = bool(self.job is not None and self.runs.presenter.active_beside(self.job.folder))
        self.start.setText("Queue" if waits else "Go on" if goes_on else "Start")
        self.edit.setEnabled(self.job is not None and not resumable and not self._status.active)
        self.edit.setToolTip(_EDIT if self.edit.isEnabled() else _EDIT_NOT)
        why_not = self._why_not()
        self.start.setEnabled(not why_not)
        if self._status.state == "empty":
            ready = f"Ready: press {self.start.text()}"
            told = "A section stops the run: see above" if self.sections.presenter.state.overview.stops else why_not
            self.sentence.say(f"{told or ready}.")
        self._ask_estimate(new=not resumable and not self._status.active)
        tip = _RESUME if goes_on else _START
        self.start.setToolTip(why_not or (f"{_QUEUE}. {tip}" if waits else tip))

    def _ask_estimate(self, *, new: bool) -> None:
        """Have it estimated what a new run would take, with the choices as they stand."""
        self.estimate.setVisible(new)
        if not new or self.sections.presenter.state.why_not or self.choices.why_not:
            self.estimate.presenter.ask(None)
            return
        draft = Path(self._draft.name)
        try:
            words = self._words(draft, None)
            self.estimate.presenter.ask(words, self.choices.config(draft if self.job is None else self.job.folder))
        except (Nh2stError, OSError) as error:
            self.estimate.presenter.ask(None, why_not=error_words(error))

    def _why_not(self) -> str:
        """Say why nothing can be started; empty where it can."""
        if self.job is not None and self._status.active:
            return "This run is at work already; to queue another one, choose another folder for it"
        if self.job is not None and self._status.state == "done":
            return "This folder holds a finished run: choose another one"
        if self.job is not None and self.job.can_resume and line_of(self.job).sheet is not None:
            return ""  # it goes on as it was begun, whatever is chosen above
        chosen = self.sections.presenter.state.why_not or self.choices.why_not
        return chosen or ("" if self.job is not None else "Choose a folder for the run first")


def _chooser(tooltip: str, action: Any) -> QPushButton:
    button = QPushButton("choose…")
    button.setToolTip(tooltip)
    button.clicked.connect(action)
    return button
