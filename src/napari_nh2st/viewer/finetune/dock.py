"""The dock NH2ST fine-tune: sections in, a model out. The run is a process of its own; this dock only follows it."""

from __future__ import annotations

from pathlib import Path

from napari.viewer import Viewer
from qtpy.QtCore import Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QLineEdit, QProgressBar, QScrollArea
from superqt.utils import signals_blocked

from napari_nh2st.training.run.run_process import RunStatus
from napari_nh2st.viewer.finetune.choices import ChoicesForm
from napari_nh2st.viewer.finetune.curves import Curves
from napari_nh2st.viewer.finetune.dock_presenter import FinetunePresenter
from napari_nh2st.viewer.finetune.dock_state import Progress, StartOffer
from napari_nh2st.viewer.finetune.estimate import EstimateRow
from napari_nh2st.viewer.finetune.held_out_map import HeldOutMap, heatmap_colours
from napari_nh2st.viewer.finetune.run_facts import LogFold, RunFacts
from napari_nh2st.viewer.finetune.run_queue import RunQueue
from napari_nh2st.viewer.finetune.run_result import RunResultView
from napari_nh2st.viewer.finetune.sections import Sections
from napari_nh2st.viewer.finetune.settings_presenter import SettingsPresenter
from napari_nh2st.viewer.finetune.trial_process import TrialProcess
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.behind_proxy import behind_proxy
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.drop_area import DropArea
from napari_nh2st.viewer.kit.layout import indented, row, rule, scrolled
from napari_nh2st.viewer.kit.lifetime import Lifetime
from napari_nh2st.viewer.kit.texts import Label, Sentence
from napari_nh2st.viewer.layers.removal import make_removal_safe
from napari_nh2st.viewer.state.preferences import stored_preferences
from napari_nh2st.viewer.state.services import Services

_POLL_MS = 1000
_PAUSE = "Pause", "Hold the run after the current step and free the processor. Nothing is lost"
_RESUME = "Resume", "Continue the paused run"


class FinetuneWidget(QScrollArea):
    """The dock: lays out its parts and wires them to the presenter.

    Parameters
    ----------
    napari_viewer : Viewer
    services : Services, optional
        For the names and cards of models.
    program : list of str, optional
        What the command line is given to; this Python's `-m napari_nh2st` by default.
    """

    def __init__(
        self, napari_viewer: Viewer, services: Services | None = None, program: list[str] | None = None
    ) -> None:
        super().__init__()
        self.viewer = behind_proxy(napari_viewer)
        make_removal_safe(self.viewer)
        self._services = services or Services()
        self.background = Background()
        self.presenter = FinetunePresenter(
            self,
            cards=self._services,
            threads=self.background,
            trial=TrialProcess(self, program),
            colours=heatmap_colours,
            preferences=stored_preferences(),
            program=program,
        )
        self._poll = QTimer(self, interval=_POLL_MS)
        self._poll.timeout.connect(self.presenter.follow)
        self._make()
        self._lay_out()
        self._connect()
        # it follows no more; the run goes on
        parts = (self.sections, self.choices, self.estimate, self.runs)
        self.lifetime = Lifetime(self, self.viewer)
        self.lifetime.ends.hold(
            *(self.background.close, self.presenter.close, self._poll.stop),
            *(part.close_down for part in parts),
        )
        self.presenter.open_last()

    # what the presenter asks for

    def edit_settings(self, settings: SettingsPresenter) -> None:
        """Show all settings of the run."""
        from napari_nh2st.viewer.finetune.settings_dialog import SettingsDialog  # magicgui is loaded for it

        self.dialog = SettingsDialog(settings, self.presenter.open_settings_file, self)
        self.dialog.open()

    def open_file(self, path: Path) -> bool:
        """Open a file in the program that the system has for it; tell whether it has one."""
        return bool(QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))))

    def use_model(self, model: Path) -> None:
        """Choose a model in the NH2ST dock."""
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST")
        dock.use_model(str(model))

    # the widgets

    def _make(self) -> None:
        presenter = self.presenter
        self.sections = Sections(presenter.sections, self.viewer)
        self.choices = ChoicesForm(presenter.choices, self._services.models())
        self.choices.change.clicked.connect(presenter.open_choices)
        self.run = QLineEdit(placeholderText="folder for the run")
        self.run.setToolTip("Where the run writes. A folder with a run in it shows that run, and can be picked up")
        self.run.textChanged.connect(presenter.choose_folder)
        self.choose_run = action_button("choose…", "Choose the run folder", self._ask_run)
        self.settings = action_button(
            "All settings…",
            "See and change every setting of the run, those too that this dock does not show",
            presenter.edit_settings,
        )
        self.estimate = EstimateRow(presenter.estimate)
        self.start = action_button("Start", "", presenter.start)
        self.pause = action_button(*_PAUSE, presenter.pause)
        self.stop = action_button(
            "Stop and keep the best",
            "End the run after the current step and keep the best model so far",
            presenter.stop,
        )
        self.bar = QProgressBar()
        self.bar.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.sentence, self.facts, self.log = Sentence(), RunFacts(), LogFold()
        self.curves, self.map, self.result = Curves(), HeldOutMap(presenter.map), RunResultView(presenter.result)
        self.use = action_button(
            "Use this model",
            "Choose the trained model in the NH2ST dock",
            lambda: presenter.use_model(presenter.state.model),
        )
        self.runs = RunQueue(
            presenter.queue,
            on_open=presenter.open_run,
            on_resume=presenter.resume_run,
            on_use=lambda line: presenter.use_model(line.model),
        )

    def _lay_out(self) -> None:
        layout = scrolled(self)
        layout.addWidget(self.sections)
        layout.addWidget(self.choices)
        layout.addLayout(row(self.run, self.choose_run, label="Run", stretch=0))
        layout.addLayout(indented(self.settings))
        layout.addWidget(self.estimate)
        layout.addWidget(rule())
        layout.addLayout(row(self.start, self.pause, self.stop, stretch=2))
        for part in (self.bar, self.sentence, self.facts, self.curves, self.map, self.result, self.use, self.log):
            layout.addWidget(part)
        layout.addWidget(rule())
        layout.addWidget(Label("Runs on this machine"))
        layout.addWidget(self.runs)
        layout.addStretch(1)
        self.drops = DropArea(self, "Drop a sample sheet, a folder, or slides with their counts")
        self.drops.dropped.connect(self.presenter.drop)

    def _connect(self) -> None:
        state = self.presenter.state
        shown = {
            "folder": self._show_folder,
            "status": self._show_status,
            "sentence": self.sentence.say,
            "start": self._show_start,
            "settings_off": self.settings.set_reason_off,
            "pause_off": self.pause.set_reason_off,
            "stop_off": self.stop.set_reason_off,
            "held": self._show_held,
            "progress": self._show_progress,
            "log": self.log.show_log,
            "model": self._show_model,
            "choosing": self._show_choosing,
        }
        for name, show in shown.items():
            state.events[name].connect(show)
            show(getattr(state, name))

    def _ask_run(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Run folder", self.run.text())
        if path:
            self.run.setText(path)

    # what changes

    def _show_folder(self, folder: str) -> None:
        if folder != self.run.text():
            with signals_blocked(self.run):
                self.run.setText(folder)

    def _show_status(self, status: RunStatus, before: RunStatus | None = None) -> None:
        self.facts.show_status(status)
        self.curves.show_metrics(status.metrics)
        self.curves.setVisible(not self.curves.empty)
        if status.state == "failed" and (before is None or before.state != "failed"):
            self.log.open()
        if status.active and not self._poll.isActive():
            self._poll.start()
        elif not status.active:
            self._poll.stop()

    def _show_start(self, offer: StartOffer) -> None:
        self.start.set_action(offer.text, offer.tip)
        self.start.set_reason_off(offer.reason_off)

    def _show_held(self, held: bool) -> None:
        self.pause.set_action(*(_RESUME if held else _PAUSE))

    def _show_progress(self, progress: Progress | None) -> None:
        self.bar.setVisible(progress is not None)
        if progress is not None:
            self.bar.setRange(0, progress.total)
            self.bar.setValue(progress.done)
            self.bar.setFormat(progress.words)

    def _show_model(self, model: Path | None) -> None:
        self.use.setVisible(model is not None)

    def _show_choosing(self, choosing: bool) -> None:
        self.sections.setVisible(choosing)
