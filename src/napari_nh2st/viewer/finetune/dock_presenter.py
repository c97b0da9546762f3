"""The decisions of the fine-tune dock: what can be started, what a run at work shows, what comes next. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from napari_nh2st.errors import Nh2stError
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.run.run_process import RunProcess, RunState, RunStatus, finetune_command
from napari_nh2st.training.run.runs import RunLine, line_of
from napari_nh2st.training.run.settings_file import FILE as SETTINGS
from napari_nh2st.training.run.settings_file import write_settings
from napari_nh2st.viewer.finetune.cards import Cards
from napari_nh2st.viewer.finetune.choices_presenter import ChoicesPresenter
from napari_nh2st.viewer.finetune.dock_state import START, FinetuneState, StartOffer, progress_of
from napari_nh2st.viewer.finetune.estimate_presenter import EstimatePresenter, Trial
from napari_nh2st.viewer.finetune.held_out_map_presenter import Colours, HeldOutMapPresenter
from napari_nh2st.viewer.finetune.messages import run_sentence
from napari_nh2st.viewer.finetune.run_queue_presenter import RunQueuePresenter
from napari_nh2st.viewer.finetune.run_result_presenter import RunResultPresenter
from napari_nh2st.viewer.finetune.sections_presenter import SectionsPresenter
from napari_nh2st.viewer.finetune.settings_presenter import ELSEWHERE, SettingsPresenter
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.state.preferences import Preferences

_QUEUE = "Another run is at work. This one begins by itself when the other has ended"
_RESUME = "Continue from the last finished epoch, with the settings that the run was started with"
_NO_RUN = "No run is at work here, so there is nothing to "
_LOG_LINES = 200
_LARGE = 2**20  # bytes that are not parsed on the GUI thread
READING = "Reading what the run has recorded…"


class FinetuneView(Protocol):
    """The window, as the presenter uses it."""

    def edit_settings(self, settings: SettingsPresenter) -> None:
        """Show all settings of the run."""

    def open_file(self, path: Path) -> bool:
        """Open a file in the program that the system has for it; tell whether it has one."""

    def use_model(self, model: Path) -> None:
        """Choose a model in the NH2ST dock."""


class FinetunePresenter:
    """Starts runs, follows them through their files, and keeps the parts of the dock in step.

    Parameters
    ----------
    view : FinetuneView
    cards : Cards
    threads : Threads
    trial : Trial
        Tries runs for their estimate.
    colours : callable
        Returns the colours (256, 4) that heatmaps have.
    preferences : Preferences
    program : sequence of str, optional
        The command line that runs; this Python's `-m napari_nh2st` by default.

    Attributes
    ----------
    run : RunProcess or None
        In the folder that is named; None where none is.
    """

    def __init__(
        self,
        view: FinetuneView,
        *,
        cards: Cards,
        threads: Threads,
        trial: Trial,
        colours: Callable[[], Colours],
        preferences: Preferences,
        program: Sequence[str] | None = None,
    ) -> None:
        self._view, self._preferences, self._program = view, preferences, program
        self._threads = threads
        self._in_reading: RunProcess | None = None
        self.run: RunProcess | None = None
        self._followed: tuple[RunProcess | None, RunState] = (None, "empty")
        self._draft = TemporaryDirectory(prefix="nh2st-")  # what an estimate is made of, while no run has begun
        self.state = FinetuneState()
        self.sections = SectionsPresenter(threads)
        self.choices = ChoicesPresenter(cards, threads, lambda: self.sections.facts)
        self.estimate = EstimatePresenter(trial)
        self.queue = RunQueuePresenter(threads)
        self.map = HeldOutMapPresenter(threads, colours)
        self.result = RunResultPresenter(cards, threads)
        self.sections.state.events.overview.connect(self.choices.look_up)
        self.sections.state.events.why_not.connect(self.update)
        self.choices.state.events.why_not.connect(self.update)
        self.choices.choices.events.connect(self.update)
        self.queue.state.events.lines.connect(self.update)
        self.update()

    def open_last(self) -> None:
        """Show the run that was started last, and its sheet."""
        self.choose_folder(self._preferences.last_run)
        self.sections.type_sheet(self._preferences.last_sheet)
        self.queue.refresh()

    def close(self) -> None:
        """Follow no more; the run goes on."""
        self.sections.close()
        self.choices.close()
        self.estimate.close()
        self.map.close()
        self._draft.cleanup()

    # what the person does

    def choose_folder(self, text: str) -> None:
        """Name the run's folder; one with a run in it shows that run."""
        self.state.folder = text
        self.run = RunProcess(Path(text.strip()).expanduser()) if text.strip() else None
        self.choices.collapse(False)
        self.follow()

    def drop(self, paths: Sequence[Path]) -> None:
        """Show the run whose folder was dropped on the dock, or add the sections that were."""
        if len(paths) == 1 and RunFolder(paths[0]).start.is_file():
            self.choose_folder(str(paths[0]))
            return
        self.open_choices()
        self.sections.add_dropped(paths)

    def open_choices(self) -> None:
        """Bring sections and choices in sight, for the next run."""
        self.choices.unfold()
        self.state.choosing = True

    def edit_settings(self) -> None:
        """Show all settings; a file with a wrong one is mended by hand."""
        if self.run is None:
            return
        try:
            self._view.edit_settings(SettingsPresenter(self.run.folder, self.choices))
        except Nh2stError as error:
            self.state.sentence = error_words(error)
            self.open_settings_file(self.run.folder / SETTINGS)

    def open_settings_file(self, path: Path) -> None:
        """Open the settings in the system's editor."""
        if not self._view.open_file(path):
            self.state.sentence = f"This system has no program for the settings: edit {path}"

    def start(self) -> None:
        """Start the run, let it wait for others, or go on with it."""
        run = self.run
        if run is None:
            return
        try:
            run.start(self._command(run), program=self._program)
        except OSError as error:
            self.state.sentence = f"The run's folder cannot be used ({error.strerror or error}): choose another one."
            return
        except (RuntimeError, Nh2stError) as error:
            self.state.sentence = f"The run could not be started: {error_words(error)}"
            return
        self.estimate.stop()
        sheet = line_of(run).sheet
        self._preferences.last_run = str(run.folder)
        self._preferences.last_sheet = "" if sheet is None else str(sheet)
        self.queue.add(run.folder)
        self.follow()

    def stop(self) -> None:
        """End the run after its current step; the best model stays."""
        if self.run is not None:
            self.run.stop()
            self.follow()

    def pause(self) -> None:
        """Hold the run, or let a held one go on."""
        if self.run is None:
            return
        if self.run.pause_asked:
            self.run.unpause()
        else:
            self.run.pause()
        self.follow()

    def open_run(self, line: RunLine) -> None:
        """Show a run of the list, and its sheet."""
        if line.sheet is not None:
            self.sections.type_sheet(str(line.sheet))
        self.choose_folder(str(line.folder))

    def resume_run(self, line: RunLine) -> None:
        """Go on with a run of the list."""
        self.open_run(line)
        self.start()

    def use_model(self, model: Path | None) -> None:
        """Choose a trained model in the NH2ST dock."""
        if model is not None:
            self._view.use_model(model)
            self.state.sentence = f"The NH2ST dock uses {model}."

    # what changes

    def follow(self) -> None:
        """Look at the run's files and show where it stands."""
        run = self.run
        if run is not None and run.unread > _LARGE:
            self._read_aside(run)
            return
        status = RunStatus("empty") if run is None else run.status()
        begun = run is not None and status.state != "empty"
        self.state.log = run.tail(_LOG_LINES) if run is not None and begun else ""
        self.state.held = run is not None and run.pause_asked and status.active
        self.state.progress = progress_of(status) if status.active else None
        self.state.model = None if status.active else status.model  # a run at work may write another
        self.state.status = status
        self.map.show_run(run.folder if run is not None and begun else None, active=status.active)
        self.map.refresh()
        self.result.show_model(self.state.model)
        if (run, status.state) != self._followed:
            self._followed = run, status.state
            started = status.active or status.state in ("done", "cancelled")
            self.choices.collapse(started, None if run is None else run.folder)
            self.state.choosing = not started
            self.queue.refresh()
        self.state.sentence = run_sentence(status)
        self.update()

    def _read_aside(self, run: RunProcess) -> None:
        """Read the long record of a run in the background, and follow it then."""
        self.state.sentence = READING
        if self._in_reading is run:
            return
        self._in_reading = run

        def done(outcome: object) -> None:
            if self._in_reading is run:
                self._in_reading = None
            if self.run is run and not isinstance(outcome, Exception):
                self.follow()

        def failed(error: Exception) -> None:
            done(error)
            if self.run is run:
                self.state.sentence = f"The run cannot be read: {error_words(error)}"

        self._threads.call(run.metrics, then=done, failed=failed)

    def update(self) -> None:
        """Say what can be done now, and have it estimated what a new run would take."""
        run, state, status = self.run, self.state, self.state.status
        resumable = run is not None and run.can_resume
        state.start = self._start_offer(resumable)
        new = run is not None and not resumable and not status.active
        state.settings_off = "" if new else _settings_off(run, status)
        state.stop_off = "" if status.state in ("queued", "starting", "running", "paused") else f"{_NO_RUN}stop"
        state.pause_off = "" if status.state in ("starting", "running", "paused") else f"{_NO_RUN}pause"
        if status.state == "empty":
            stops = "A section stops the run: see above" if self.sections.state.overview.stops else ""
            state.sentence = f"{stops or state.start.reason_off or f'Ready: press {state.start.text}'}."
        self._ask_estimate(new=not resumable and not status.active)

    def _start_offer(self, resumable: bool) -> StartOffer:
        run, status = self.run, self.state.status
        goes_on = resumable and status.state != "done" and not status.active
        waits = run is not None and bool(self.queue.active_beside(run.folder))
        tip = _RESUME if goes_on else START
        return StartOffer(
            "Queue" if waits else "Resume" if goes_on else "Start",
            f"{_QUEUE}. {tip}" if waits else tip,
            self._why_not(),
        )

    def _why_not(self) -> str:
        """Say why nothing can be started; empty where it can."""
        run, status = self.run, self.state.status
        if run is not None and status.active:
            return "This run is already at work. To queue another one, choose another folder for it"
        if run is not None and status.state == "done":
            return "This folder holds a finished run: choose another one"
        if run is not None and run.can_resume and line_of(run).sheet is not None:
            return ""  # it goes on as it was begun, whatever is chosen above
        chosen = self.sections.state.why_not or self.choices.state.why_not
        return chosen or ("" if run is not None else "Choose a folder for the run first")

    def _ask_estimate(self, *, new: bool) -> None:
        if not new or self.sections.state.why_not or self.choices.state.why_not:
            self.estimate.ask(None)
            return
        draft = Path(self._draft.name)
        try:
            words = self._words(draft, None)
            self.estimate.ask(words, self.choices.config(draft if self.run is None else self.run.folder))
        except (Nh2stError, OSError) as error:
            self.estimate.ask(None, why_not=error_words(error))

    def _command(self, run: RunProcess) -> list[str]:
        """Write the run's settings and return the command that starts it; what goes on does so as it was begun."""
        before = self.queue.active_beside(run.folder)
        if run.can_resume:
            sheet = line_of(run).sheet or self.sections.sheet_for(run.folder)
            return finetune_command(sheet, run.folder, resume=True, after=before)
        return self._words(run.folder, run.folder, before)

    def _words(self, folder: Path, out: Path | None, before: Sequence[Path] = ()) -> list[str]:
        """Write what a run is made of into a folder, and return its command; without `out`, to be estimated."""
        choices = self.choices.choices
        return finetune_command(
            self.sections.sheet_for(folder),
            out,
            model=choices.base,
            seed=None if out is None else choices.seed,  # it takes neither time nor memory
            epochs=choices.epochs or None,
            config=None if out is None else write_settings(folder, self.choices.config(folder), ELSEWHERE),
            after=before,
        )


def _settings_off(run: RunProcess | None, status: RunStatus) -> str:
    if run is None:
        return "Choose a folder for the run first: its settings are kept there"
    return "The settings are fixed when a run begins" + ("" if status.active else ": choose a new folder to set others")
