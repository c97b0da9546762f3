"""The dock NH2ST: open a slide, press Predict, type a gene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence, QShortcut
from qtpy.QtWidgets import QScrollArea, QWidget

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.context.section import ContextSection
from napari_nh2st.viewer.export.on_screen import command_text, python_text, show_display
from napari_nh2st.viewer.export.section import ResultSection
from napari_nh2st.viewer.genes.hover import Hover
from napari_nh2st.viewer.genes.section import GeneSection
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.fold import Fold
from napari_nh2st.viewer.kit.layout import column, rule, scrolled
from napari_nh2st.viewer.kit.pacing import Pacing, timer
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer, first_gene
from napari_nh2st.viewer.measured.section import MeasuredSection
from napari_nh2st.viewer.predict.command import command_line
from napari_nh2st.viewer.predict.controller import Controller
from napari_nh2st.viewer.predict.desk import Desk
from napari_nh2st.viewer.predict.events import Request, State, Status
from napari_nh2st.viewer.predict.job_section import JobSection
from napari_nh2st.viewer.predict.live import Live
from napari_nh2st.viewer.predict.messages import NO_MODEL, NO_MPP, NOTHING_OPEN
from napari_nh2st.viewer.predict.model_section import ModelSection
from napari_nh2st.viewer.predict.region import Region
from napari_nh2st.viewer.predict.region_section import VIEW, WhereSection
from napari_nh2st.viewer.predict.slide_section import SlideSection
from napari_nh2st.viewer.predict.tissue_section import TissueSection
from napari_nh2st.viewer.regions.section import RegionsSection
from napari_nh2st.viewer.several.genes_section import SeveralSection
from napari_nh2st.viewer.several.slides_section import SlidesSection
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.preferences import Preferences, dock_choices
from napari_nh2st.viewer.state.services import Services
from napari_nh2st.viewer.trust.section import TrustSection

# Title, tooltip and what makes the section, in the order in which they stand.
FOLDS: tuple[tuple[str, str, Callable[[Desk], QWidget]], ...] = (
    ("Measured", "Hold the prediction against a measurement of this slide", MeasuredSection),
    ("Regions", "The genes of regions that you draw, and of domains that are found", RegionsSection),
    ("Context", "What the tiles around a tile change in its prediction: click a tile", ContextSection),
    ("Trust", "How sure: the figures in words, tissue unlike the training, and how far answers differ", TrustSection),
    ("Several genes", "Pinned genes as layers, three genes in one image, and signatures", SeveralSection),
    ("Several slides", "Open slides side by side", SlidesSection),
)

_CHOSEN_MS = 500  # a choice that has stood for so long is likely meant
_REST_MS = 200  # the view rests when it has not moved for so long


class PredictWidget(QScrollArea):
    """The dock. It lays out its sections and passes on between them, the controller and the layers.

    Parameters
    ----------
    napari_viewer : Viewer
    services : Services, optional
        The engine and the models, so that tests can put small ones in their place.
    """

    def __init__(self, napari_viewer: Viewer, services: Services | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.services = services or Services()
        self.background = Background()
        self.controller = Controller(self, self._run, self.services)
        self.desk = Desk(napari_viewer, self.background, self.services, self.controller)
        self._heatmaps = self.desk.heatmaps
        self._connections = Connections()
        self._was_docked = False
        self._layer: Any = None
        self._shown = Status()
        self._pacing = Pacing(self, self._draw)
        self._rest = timer(self, _REST_MS, lambda: self.live.rested())
        self._chosen = timer(self, _CHOSEN_MS, self._make_ready)
        self.live = Live(self.controller, self._look, self._complain)
        self._build()
        Preferences(dock_choices(self), self._connections)
        self._wire()
        self._slide_changed(self.slides.layer)
        self._card_changed(self.models.card)
        for fold in self.folds.values():
            fold.restore()

    @property
    def heatmap(self) -> HeatmapLayer | None:
        """The layer of the current gene, None where nothing is predicted."""
        return self.desk.heatmap

    def _build(self) -> None:
        self.slides = SlideSection(self.viewer, self._connections)
        self.models = ModelSection(self.services)
        self.where = WhereSection(self.viewer)
        self.job = JobSection()
        self.genes = GeneSection(self.desk)
        self.tissue = TissueSection(self.viewer, self.background, self.services)
        self.result = ResultSection(self.desk)
        layout = scrolled(self)
        upper = (self.slides, self.models, self.where, self.job)
        self.folds = {title: Fold(title, tip, partial(make, self.desk)) for title, tip, make in FOLDS}
        folds = QWidget()
        stack = column(folds, spacing=0)
        for fold in self.folds.values():
            stack.addWidget(fold)
        for part in (*upper, rule(), self.genes, folds, rule(), self.tissue, self.result):
            layout.addWidget(part)
        layout.addStretch(1)

    def _wire(self) -> None:
        self.desk.request, self.desk.choose_gene = self._request_for_all, self.genes.choose
        self.desk.say, self.desk.complain = self.job.sentence.say, self._complain
        self.desk.restyled.connect(lambda: self.genes.show_scale(self.heatmap))
        self.slides.layer_changed.connect(self._slide_changed)
        self.slides.mpp_given.connect(self._mpp_given)
        self.models.card_changed.connect(self._card_changed)
        self.job.start.connect(self.predict)
        self.job.cancel.connect(self.cancel)
        self.where.changed.connect(self._where_changed)
        self.genes.gene_chosen.connect(self.show_gene)
        self.genes.style_changed.connect(self._restyle)
        self.tissue.failed.connect(self._complain)
        self.result.copy.connect(partial(self._copy, command_text))
        self.result.copy_python.connect(partial(self._copy, python_text))
        self.result.view_loaded.connect(self._show_view)
        shortcut = QShortcut(QKeySequence("Ctrl+Shift+G"), self)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.activated.connect(self._focus_gene)
        self._connections.add(self.viewer.layers.selection.events.active, self._layer_selected)
        self._connections.add(self.viewer.layers.events.inserted, self._layer_selected)
        viewer = self.viewer
        camera, canvas = viewer.scene.camera.events, viewer.canvas
        for moved in (
            *(camera.center, camera.zoom, canvas.events.size),
            *(viewer.dims.events.ndisplay, canvas.grid.events.enabled),
        ):
            self._connections.add(moved, self._moved)
        self.hover = Hover(viewer)
        self._connections.add(viewer.cursor.events.position, self.hover.moved)
        self._connections.add(viewer.events.status, self.hover.said)
        self.desk.gene_changed.connect(self.hover.moved)
        # without a reference to this widget: it is half gone when the signal comes
        self._owned = (self.desk, self.controller, self.background, self._connections, self.job.activity)
        self.destroyed.connect(partial(_close, self._owned))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Cancel with Esc, from wherever in the dock; fields pass it on."""
        if event.key() == Qt.Key.Key_Escape and (self.controller.running or self.live.on):
            self.cancel()
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Stop the work when the dock is closed: napari then takes the widget out of its dock and keeps it."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._was_docked = True
            elif self._was_docked:
                self.shut_down()
        return bool(super().event(event))

    def shut_down(self) -> None:
        """Cancel what runs and let go of the viewer."""
        for waiting in (self._rest, self._chosen, self._pacing):
            waiting.stop()
        self.live.on = False
        _close(self._owned)

    # what the person does

    def predict(self) -> None:
        """Start to predict what is chosen; what the window shows is followed from then on."""
        try:
            request = self._request()
        except Nh2stError as error:
            self._complain(error)
            return
        if self.where.choice == VIEW:
            if self.heatmap is not None and not self.heatmap.present:
                self.show_gene(self.genes.gene)  # asked for: it comes back
            self.live.start()
            self.job.show_following(self.live.on)
        else:
            self.controller.predict(request)

    def cancel(self) -> None:
        """Stop what runs, and to follow the view; what is there stays."""
        if self.controller.running and not self.controller.following:
            self.controller.cancel()
        else:
            self.live.stop()
            self.job.show_following(False)
            if not self.controller.status.follow:
                self._say_ready()

    def show_gene(self, gene: str) -> None:
        """Draw a gene; decoded from what is predicted, without the model."""
        self.desk.gene = gene
        if self.heatmap is not None and gene in self.heatmap.map.card.genes:
            self.heatmap.show(gene)
            self.genes.show_scale(self.heatmap)
        self.desk.gene_changed.emit(gene)

    def use_model(self, model: str) -> None:
        """Choose a model by name or folder, as the fine-tune dock does when a run is done."""
        self.models.use(model)

    def _request(self, region: Region | None = None) -> Request:
        layer, slide, model = self.slides.layer, frames.slide_of(self.slides.layer), self.models.model
        if slide is None or model is None:
            raise Nh2stError(NOTHING_OPEN if slide is None else NO_MODEL)
        slide.require_mpp()
        region = self.where.region(layer) if region is None else region
        return Request(
            slide,
            model,
            region,
            tissue=self.tissue.mask(slide),
            pitch=self.where.pitch,
            device=self.result.device,
            command=self._command(slide, model, region),
            follow=self.where.choice == VIEW,
        )

    def _request_for_all(self) -> Request:
        """Return the request for the whole slide as it is chosen: what explorations stand on."""
        return replace(self._request(Region()), follow=False)

    def _look(self) -> Request | None:
        """Return the request for what the window shows now, None where something else is to be predicted."""
        return self._request() if self.where.choice == VIEW else None

    def _command(self, slide: Any, model: str, region: Region) -> str:
        edited = self.tissue.mask(slide) is not None
        pitch = self.where.pitch
        return command_line(slide, model, region, edited_tissue=edited, device=self.result.device, pitch=pitch)

    def _copy(self, make: Callable[..., str]) -> None:
        try:
            self.result.copied(make(self.desk, self._request))
        except Nh2stError as error:
            self._complain(error)

    def _show_view(self, display: Any) -> None:
        note = show_display(self.desk, self.genes, display)
        self.result.note.say(f"{self.result.note.text()} {note}".strip())

    def _mpp_given(self, mpp: float) -> None:
        layer, slide = self.slides.layer, frames.slide_of(self.slides.layer)
        if slide is None:
            return
        self.controller.abandon()
        changed = slide.with_mpp(mpp)
        frames.set_slide(self.viewer, layer, changed)
        self.viewer.fit_to_view()
        self._slide_changed(layer)

    def _focus_gene(self) -> None:
        self.genes.combo.setFocus()
        self.genes.combo.lineEdit().selectAll()

    # what changes elsewhere

    def _moved(self, event: Any = None) -> None:
        """Wait until the view rests."""
        if self.live.on:
            self._rest.start()

    def _where_changed(self) -> None:
        """Go on with, or stop, what the view asks for; show what is known at this detail."""
        self._recall()
        self.live.rested()
        self.job.show_following(self.live.on and self.where.choice == VIEW)

    def _slide_changed(self, layer: Any) -> None:
        slide = frames.slide_of(layer)
        if self._layer is not None and self._layer not in self.viewer.layers:
            self.live.on = False  # the slide that was followed is closed
            self.controller.rest()
            self.job.show_following(False)
        self._layer = layer
        if layer is not None and slide is None:  # drawn by another reader: open the file ourselves
            path = str(layer.source.path)
            self.background.call(
                self.services.open_slide, path, then=partial(self._slide_opened, layer), failed=self._complain
            )
        self.slides.show_slide(slide)
        self.tissue.set_slide(layer, slide)
        self.desk.slide_layer = layer
        self.desk.open_slides.choose(layer)
        self._recall()
        self.desk.open_slides.settle()
        self.live.rested()
        self.desk.slide_changed.emit()

    def _slide_opened(self, layer: Any, slide: Any) -> None:
        frames.set_slide(self.viewer, layer, slide, move=False)
        if layer is self.slides.layer:
            self._slide_changed(layer)

    def _card_changed(self, card: Any) -> None:
        self.genes.set_card(card)
        self.where.set_card(card)
        self.desk.model, self.desk.card = self.models.model, card
        self._recall()
        self.live.rested()
        self.desk.model_changed.emit()

    def _recall(self) -> None:
        """Show what was predicted before for the chosen slide and model, and say what can be done now."""
        slide, model = frames.slide_of(self.slides.layer), self.models.model
        ready = slide is not None and self.models.card is not None
        known = self.controller.recall(slide, model, self.where.pitch) if ready else None
        if known is not None:
            self.controller.adopt(known)
        elif not self.controller.running or self.controller.following or self._job_is_elsewhere():
            fresh = self.heatmap is not None
            self.desk.heatmap = None
            self.genes.show_scale(None)
            self.controller.forget()
            if fresh:
                self.desk.map_changed.emit()
        self._say_limits()
        self._say_ready()
        self._chosen.start()

    def _job_is_elsewhere(self) -> bool:
        return self.controller.map is not None and self.desk.open_slides.is_elsewhere(self.controller.map)

    def _make_ready(self) -> None:
        """Load the model for the chosen slide while a person still looks at it: Predict then starts at once."""
        slide = frames.slide_of(self.slides.layer)
        if slide is None or slide.mpp is None or self.models.card is None or self.controller.running:
            return
        # what goes wrong is told when it is asked for
        self.background.call(self.controller.ground_for, self._request_for_all(), then=self._made_ready, failed=_ignore)

    def _made_ready(self, ground: Any) -> None:
        """Say what is known of the slide's stain, now that somebody has looked at it."""
        if not self.controller.running:
            self._say_limits()

    def _say_limits(self) -> None:
        """Say what to know of the chosen slide with the chosen model; it stays until another one is chosen."""
        slide, card = frames.slide_of(self.slides.layer), self.models.card
        known = slide is not None and card is not None
        self.job.show_warnings(self.services.warnings_for(slide, card, self.models.model) if known else [])
        self.job.show_limits(self.services.limits_for(slide, card) if known else [])

    def _say_ready(self) -> None:
        if self.controller.running:
            return
        slide, card = frames.slide_of(self.slides.layer), self.models.card
        reasons = (
            (self.slides.layer is None, NOTHING_OPEN),
            (slide is None, "Opening the file…"),
            (slide is not None and slide.mpp is None, NO_MPP),
            (self.models.model is None, NO_MODEL),
            (card is None, "This model cannot be used: choose another one."),
        )
        reason = next((text for holds, text in reasons if holds), None)
        share = self.controller.map is not None and self.controller.map.count > 0
        ready = "Ready: press Predict to go on." if share else "Ready: press Predict."
        self.job.show_plain(reason or ready, ready=reason is None)
        self.result.set_ready(share, can_copy=reason is None)

    def _layer_selected(self, event: Any = None) -> None:
        """Take up a heatmap that was opened from a file, when it is chosen in the layer list."""
        layer = self.viewer.layers.selection.active
        shown = frames.map_of(layer)
        if shown is None or shown is self.controller.map or self.controller.running:
            return
        self.live.stop()  # else the next step of the view would put it away
        own = frames.layer_of_slide(self.viewer, shown.slide.get("fingerprint"))
        if own is not None and self.desk.open_slides.is_elsewhere(shown):
            self.slides.choose(own)
        if id(shown) not in self._heatmaps:
            self._heatmaps[id(shown)] = self._make_heatmap(shown)
            self._heatmaps[id(shown)].adopt(layer)
        self.genes.set_card(shown.card)
        self.controller.adopt(shown)

    def _restyle(self) -> None:
        if self.heatmap is not None:
            self.heatmap.restyle()
            self.desk.restyled.emit()

    def _complain(self, error: Any) -> None:
        self.job.sentence.say(error_words(error) if isinstance(error, Exception) else str(error))

    # what the controller tells

    def _run(self, generation: int, events: Any) -> None:
        self.background.iterate(events, partial(self.controller.receive, generation))

    def status_changed(self, status: Status) -> None:
        """Show the job's state: at once where it begins or ends, else along with what is drawn."""
        self._shown = status
        if status.state is State.RUNNING and (status.follow or status.step == "predicting"):
            self._pacing.draw_soon()
            return
        self._show_status()
        if status.state is not State.RUNNING:
            self._draw(final=True)
            self.live.heard(status)
            self.job.show_following(self.live.on and self.where.choice == VIEW)
            self._say_limits()  # reading may have met damage, and another slide may be chosen by now
            self.result.set_ready(self.heatmap is not None and self.heatmap.map.count > 0, can_copy=True)
            if not status.follow:
                self.live.rested()
            self.desk.settled.emit()

    def _show_status(self) -> None:
        self.job.show_status(self._shown)
        if self._shown.warnings:
            self.job.show_warnings(self._shown.warnings)

    def map_changed(self, shown: PredictedMap) -> None:
        """Draw another map."""
        if id(shown) not in self._heatmaps:
            self._heatmaps[id(shown)] = self._make_heatmap(shown)
        if self.desk.open_slides.is_elsewhere(shown):  # a job that was begun before another slide was chosen
            self._heatmaps[id(shown)].show(first_gene(shown.card))
            self.desk.open_slides.settle()
            self.controller.forget()
            return
        if self.desk.heatmap is not self._heatmaps[id(shown)]:
            self._heatmaps[id(shown)].restyle()  # the colours that were chosen while it was away
        self.desk.heatmap = self._heatmaps[id(shown)]
        self.genes.set_card(shown.card)
        self.desk.gene = self.genes.gene
        self.heatmap.show(self.genes.gene)
        self.heatmap.bring_out()
        self.desk.open_slides.settle()
        self.genes.show_scale(self.heatmap)
        self.result.set_map(shown)
        self.desk.map_changed.emit()

    def when_drawn(self, call: Callable[[], None]) -> None:
        """Call a function when a new heatmap stands in the window."""
        self._pacing.when_quiet(call)

    def _make_heatmap(self, shown: PredictedMap) -> HeatmapLayer:
        # its own slide's layer: another slide may be chosen by now
        own = frames.layer_of_slide(self.viewer, shown.slide.get("fingerprint"))
        return HeatmapLayer(self.viewer, shown, own, self.desk.style, self._pacing.later, self._limits_moved)

    def _limits_moved(self) -> None:
        self.genes.show_scale(self.heatmap)

    def map_redrawn(self, shown: PredictedMap) -> None:
        """Draw a map in which a quick look came or went."""
        if id(shown) in self._heatmaps:
            self._heatmaps[id(shown)].redraw()

    def cells_arrived(self, shown: PredictedMap, cells: Any) -> None:
        """Draw what has just been predicted, or dropped."""
        if id(shown) in self._heatmaps:
            self._heatmaps[id(shown)].write(cells)
            self._pacing.draw_soon()

    def _draw(self, *, final: bool = False) -> None:
        """Show what has come since the last time."""
        if self._shown.state is State.RUNNING:
            self._show_status()
        for heatmap in self._heatmaps.values():
            heatmap.draw(final=final)
        self.genes.show_scale(self.heatmap)
        self.desk.filled.emit()
        self._pacing.drawing()


def _ignore(outcome: Any) -> None:
    pass


def _close(owned: tuple[Any, ...], *_: Any) -> None:
    for part in owned:
        part.close()
