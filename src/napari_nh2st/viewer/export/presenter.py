"""The decisions of the export section: what can be copied and written, and what is said of it. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from napari_nh2st.errors import Cancelled as Stopped
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats import EXPORTERS
from napari_nh2st.formats.display import Display, load_display, save_display
from napari_nh2st.formats.exporter import Progress
from napari_nh2st.formats.shapes import Outlines
from napari_nh2st.geometry import FloatArray
from napari_nh2st.viewer.export.choice_form import ChoiceForm
from napari_nh2st.viewer.export.choices import (
    EXPORT_ENDINGS,
    EXPORT_SUFFIXES,
    FIGURE_ENDINGS,
    FIGURE_SUFFIXES,
    REPORT_SUFFIXES,
    ExportChoice,
    FigureChoice,
    ReportChoice,
    ValuesChoice,
    display_with,
    export_words,
    figure_words,
    genes_in,
    report_words,
)
from napari_nh2st.viewer.export.on_screen import (
    command_text,
    display_of_window,
    model_of,
    python_text,
    show_display,
)
from napari_nh2st.viewer.export.writing import write_figure, write_report
from napari_nh2st.viewer.kit.jobs import Subject
from napari_nh2st.viewer.kit.long_work import Cancelled, LongWork, Tell
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.state.predicted_map import PredictedMap

NOTHING = "Nothing is predicted yet"
NOT_READY = "Open a slide and choose a model first"
WRITING = "Writing…"
STOPPED = "Stopped: nothing was written."
_SHARES = 1000

Regions = Mapping[str, Sequence[FloatArray]]


class ExportView(Protocol):
    """Shows what can be done with a prediction."""

    def show_devices(self, names: Sequence[str]) -> None:
        """Offer devices beside "auto", which takes the first of them."""

    def show_device(self, name: str) -> None:
        """Show which device is chosen."""

    def turn_export(self, reason_off: str) -> None:
        """Turn the export off for a reason; empty turns it on."""

    def turn_copying(self, reason_off: str) -> None:
        """Turn copying commands and Python off for a reason; empty turns it on."""

    def put_on_clipboard(self, text: str) -> None:
        """Put a text on the clipboard."""

    def say(self, text: str) -> None:
        """Say what came of it."""

    def open_file(self, path: Path) -> None:
        """Open a file with the program that the system has for it."""

    @property
    def work(self) -> LongWork:
        """Writing a file."""


class ExportPresenter:
    """Copies, writes and loads; what was chosen for a figure, an export or a report is kept for the session.

    Parameters
    ----------
    workspace : Workspace
    view : ExportView
    """

    def __init__(self, workspace: Workspace, view: ExportView) -> None:
        self._workspace, self._view = workspace, view
        self._writing = False
        self._figure, self._export, self._report = FigureChoice(), ExportChoice(), ReportChoice()
        self.regions: Callable[[], Regions] = dict  # drawn ones, level-0 pixels; the dock knows them
        self.domains: Callable[[], Callable[[], Outlines]] = lambda: dict  # what works their outlines out in a thread
        self._devices: tuple[str, ...] = ("auto",)
        state, preferences = workspace.state, workspace.preferences
        for told in (state.events.slide, state.events.model, state.events.drawings, state.events.jobs_ended):
            told.connect(self._offer)
        state.map_chosen.connect(self._map_changed)
        state.events.slide.connect(self._slide_changed)
        preferences.events.device.connect(self._use_device)
        self._offer()
        _OPEN.add(self)
        workspace.when_closing(partial(_OPEN.discard, self))
        workspace.background.call(workspace.services.devices, then=self._devices_found, failed=lambda error: None)

    @property
    def is_shown(self) -> bool:
        """True if a heatmap is there of which a figure or a view can be saved."""
        heatmap = self._workspace.heatmap
        return heatmap is not None and heatmap.present

    @property
    def stem(self) -> str:
        """The name that a file gets at first, without its ending."""
        prediction_map = self._workspace.map
        return Path(str(prediction_map.slide.get("path", "slide"))).stem if prediction_map else "view"

    # what the person does

    def choose_device(self, name: str) -> None:
        """Let another device compute."""
        self._workspace.preferences.device = name
        self._use_device(name)

    def copy_command(self) -> None:
        """Copy the commands that repeat what is on screen."""
        self._copy(command_text)

    def copy_python(self) -> None:
        """Copy the script that gives the same numbers."""
        self._copy(python_text)

    def figure_form(self) -> ChoiceForm[FigureChoice] | None:
        """Return the choices for a figure as they were made last; None, and why, where no heatmap is shown."""
        try:
            display, card = display_of_window(self._workspace), self._workspace.require_map().card
        except Nh2stError as error:
            self._view.say(str(error))
            return None
        gene, last = display.genes[0], self._figure
        file = self._file(f"{self.stem}-{gene}{FIGURE_SUFFIXES[last.format]}")
        base = last.model_copy(update={"genes": last.genes if gene in last.genes else [], "file": file})
        words = partial(figure_words, card=card, gene=gene, in_sight=display.region is not None)
        return ChoiceForm(base, FIGURE_SUFFIXES, words, FIGURE_ENDINGS)

    def save_figure(self, choice: FigureChoice) -> None:
        """Draw a figure of what the window shows, as it was chosen."""
        try:
            prediction_map = self._workspace.require_map()
            genes = genes_in(prediction_map.card, choice.genes)
            display = display_with(display_of_window(self._workspace), genes)
        except Nh2stError as error:
            self._view.say(str(error))
            return
        assert choice.file is not None
        self._figure = choice
        self._workspace.save_folder.saved(choice.file)
        prediction = prediction_map.prediction()  # a copy: what arrives meanwhile does not disturb the writer
        write = partial(write_figure, prediction, display, choice.file, width_mm=choice.width_mm, dpi=choice.dpi)
        self._write(lambda progress, cancelled: write(progress=progress))

    def report_form(self) -> ChoiceForm[ReportChoice] | None:
        """Return the choices for a report as they were made last; None, and why, where no heatmap is shown."""
        try:
            genes, card = self._report_genes(), self._workspace.require_map().card
        except Nh2stError as error:
            self._view.say(str(error))
            return None
        last = self._report
        file = self._file(f"{self.stem}-report{REPORT_SUFFIXES[last.format]}")
        words = partial(report_words, card=card, genes=genes, regions=len(self.regions()))
        return ChoiceForm(last.model_copy(update={"genes": [], "file": file}), REPORT_SUFFIXES, words)

    def save_report(self, choice: ReportChoice) -> None:
        """Write a report of the slide, as it was chosen."""
        try:
            prediction_map = self._workspace.require_map()
            genes = genes_in(prediction_map.card, choice.genes) or self._report_genes()
            display = display_with(display_of_window(self._workspace), genes).changed(region=None)
        except Nh2stError as error:
            self._view.say(str(error))
            return
        assert choice.file is not None
        self._report = choice
        self._workspace.save_folder.saved(choice.file)
        name = model_of(self._workspace, prediction_map)
        write = partial(
            write_report,
            *(prediction_map.prediction(), display, choice.file),
            model=name,
            regions=self.regions(),
            check_tissue=choice.check_tissue,
        )
        self._write(
            lambda progress, cancelled: write(progress=progress, cancelled=cancelled),
            then=self._view.open_file if choice.open else None,
        )

    def _report_genes(self) -> tuple[str, ...]:
        """Return the gene that is shown, and the pinned ones that the model predicts."""
        shown, card = display_of_window(self._workspace).genes, self._workspace.require_map().card
        pinned = (gene for gene in self._workspace.state.pinned if gene in card.genes)
        return tuple(dict.fromkeys((*shown, *pinned)))

    def export_form(self) -> ChoiceForm[ExportChoice] | None:
        """Return the choices for an export as they were made last; None, and why, where nothing is predicted."""
        prediction_map, last = self._workspace.map, self._export
        if prediction_map is None or not prediction_map.count:
            self._view.say(f"{NOTHING}.")
            return None
        kind, suffixes = ExportChoice, dict(EXPORT_SUFFIXES)
        if prediction_map.values_only:
            kind = ValuesChoice
            del suffixes["nh2st"]
        chosen = last.format if last.format in suffixes else kind().format
        base = kind(format=chosen, genes=last.genes, file=self._file(f"{self.stem}{suffixes[chosen]}"))
        words = partial(export_words, card=prediction_map.card, places=prediction_map.count)
        return ChoiceForm(base, suffixes, words, EXPORT_ENDINGS)

    def save_table(self, choice: ExportChoice) -> None:
        """Export what is predicted, as it was chosen."""
        try:
            prediction_map = self._workspace.require_map()
            genes = genes_in(prediction_map.card, choice.genes)
        except Nh2stError as error:
            self._view.say(str(error))
            return
        assert choice.file is not None
        self._export = ExportChoice(format=choice.format, genes=choice.genes, file=choice.file)
        self._workspace.save_folder.saved(choice.file)
        export, prediction = self._workspace.services.export, prediction_map.prediction()
        write = partial(export, prediction, choice.format, str(choice.file), genes, self._display())
        if not EXPORTERS[choice.format].keeps_regions:
            self._write(lambda progress, cancelled: write(progress=progress))
            return
        regions, domains = self._outlines(), self.domains()
        self._write(lambda progress, cancelled: write(progress=progress, regions={**domains(), **regions}))

    def _outlines(self) -> Outlines:
        """Return the drawn regions: polygons without holes, several of one name."""
        return {name: [[outline] for outline in outlines] for name, outlines in self.regions().items()}

    def _display(self) -> Display | None:
        """Return how the heatmap is shown, None where it was deleted."""
        return display_of_window(self._workspace) if self.is_shown else None

    def save_view(self, path: str) -> None:
        """Save how the heatmap is shown."""
        try:
            self._view.say(f"Saved {save_display(display_of_window(self._workspace), path)}")
        except (Nh2stError, OSError) as error:
            self._view.say(f"Could not save: {error_words(error)}")

    def load_view(self, path: str) -> None:
        """Show a saved view."""
        try:
            display = load_display(path)
        except Nh2stError as error:
            self._view.say(str(error))
            return
        note = show_display(self._workspace, display)
        self._view.say(f"Loaded {Path(path).name}. {note}".strip())

    # what napari's menus ask for

    def shows(self, prediction_map: PredictedMap) -> bool:
        """Tell whether this dock shows a map, and has no file to write yet."""
        return self._workspace.map is prediction_map and not self._writing

    def write(self, write: Callable[[Progress, Cancelled], object]) -> None:
        """Write a file of the map in the window."""
        self._write(write)

    # what follows

    def _devices_found(self, names: list[str]) -> None:
        self._devices = ("auto", *names)
        self._view.show_devices(names)
        self._use_device(self._workspace.preferences.device)

    def _use_device(self, name: str) -> None:
        """Compute on a device; one that this machine lacks is left alone."""
        if name in self._devices:
            self._workspace.state.device = name
            self._view.show_device(name)

    def _slide_changed(self) -> None:
        """Say no longer what was done with the slide before."""
        if not self._writing:
            self._view.say("")

    def _map_changed(self) -> None:
        if self._workspace.map is not None:
            self._view.say("")
        self._offer()

    def _offer(self) -> None:
        prediction_map = self._workspace.map
        predicted = prediction_map is not None and prediction_map.count > 0
        reason = "" if predicted else self._workspace.what_is_left or NOTHING
        self._view.turn_export(WRITING if self._writing else reason)
        self._view.turn_copying("" if prediction_map is not None or self._workspace.state.ready else NOT_READY)

    def _copy(self, text_of: Callable[[Workspace], str]) -> None:
        try:
            text = text_of(self._workspace)
        except Nh2stError as error:
            self._workspace.notices.complain(error)
            return
        self._view.put_on_clipboard(text)
        self._view.say(f"Copied: {text.strip()}")

    def _file(self, name: str) -> Path:
        return self._workspace.save_folder.path_for(name)

    def _write(
        self, write: Callable[[Progress, Cancelled], object], then: Callable[[Path], None] | None = None
    ) -> None:
        """Write a file in a thread; `then` gets it where it is one."""
        self._writing = True
        self._offer()
        self._view.say(WRITING)
        outcome: list[Path | str] = []

        def work(tell: Tell, cancelled: Cancelled) -> None:
            try:
                written = write(partial(_tell_or_stop, tell, cancelled), cancelled)
            except Stopped:
                raise
            except Exception as error:  # told to the person who waits
                outcome.append(f"Could not save: {error_words(error)}")
            else:
                outcome.append(written if isinstance(written, Path) else f"Saved {written}")

        subject = self._workspace.subjects.now
        self._view.work.start("Writing a file", work, lambda _: None, ended=lambda: self._ended(subject, outcome, then))

    def _ended(self, subject: Subject, outcome: list[Path | str], then: Callable[[Path], None] | None) -> None:
        """Say what came of a file, and of which slide where another one is in the window by now."""
        self._writing = False
        self._offer()
        result = outcome[0] if outcome else STOPPED
        said = f"Saved {result}" if isinstance(result, Path) else result
        same = subject.slide == self._workspace.subjects.now.slide
        self._view.say(said if same else f"{subject.name}: {said}")
        if then is not None and isinstance(result, Path):
            then(result)


_OPEN: WeakSet[ExportPresenter] = WeakSet()


def dock_that_shows(prediction_map: PredictedMap) -> ExportPresenter | None:
    """Return the presenter of an open dock that can write a file of this map now, None without one."""
    return next((each for each in _OPEN if each.shows(prediction_map)), None)


def _tell_or_stop(tell: Tell, cancelled: Cancelled, share: float) -> None:
    """Show how far a file is, or stop it."""
    if cancelled() and share < 1:
        raise Stopped("stopped")
    tell(round(share * _SHARES), _SHARES)
