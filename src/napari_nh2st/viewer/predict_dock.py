"""The dock NH2ST: open a slide, press Predict, type a gene."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent, QKeySequence, QShortcut
from qtpy.QtWidgets import QScrollArea, QWidget
from superqt.utils import qdebounced

from napari_nh2st.viewer.actions import ACTIONS, Action
from napari_nh2st.viewer.context.section import ContextSection
from napari_nh2st.viewer.export.section import ExportSection
from napari_nh2st.viewer.genes.hover import Hover
from napari_nh2st.viewer.genes.section import GeneSection
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.behind_proxy import behind_proxy
from napari_nh2st.viewer.kit.buttons import follow, press, tell_keys
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.fold import Fold
from napari_nh2st.viewer.kit.garbage import thaw
from napari_nh2st.viewer.kit.layout import column, rule, scrolled
from napari_nh2st.viewer.kit.lifetime import Lifetime
from napari_nh2st.viewer.kit.pacing import Pacing, timer
from napari_nh2st.viewer.layers.frames import load_units
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer
from napari_nh2st.viewer.layers.removal import make_removal_safe
from napari_nh2st.viewer.layers.roles import Kind, kind_of
from napari_nh2st.viewer.layers.scale_bar import ScaleBar
from napari_nh2st.viewer.measured.section import MeasuredSection
from napari_nh2st.viewer.models.section import ModelsSection
from napari_nh2st.viewer.predict.artefact_section import ArtefactSection
from napari_nh2st.viewer.predict.job_section import JobSection
from napari_nh2st.viewer.predict.layer_list import LayerList
from napari_nh2st.viewer.predict.model_section import ModelSection
from napari_nh2st.viewer.predict.presenter import PredictPresenter
from napari_nh2st.viewer.predict.region_section import RegionSection
from napari_nh2st.viewer.predict.slide_section import SlideSection
from napari_nh2st.viewer.predict.tissue_section import TissueSection
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.regions.domains import domains_on_slide
from napari_nh2st.viewer.regions.drawn import regions_on_slide
from napari_nh2st.viewer.regions.section import RegionsSection
from napari_nh2st.viewer.several.section import SeveralSection
from napari_nh2st.viewer.several.slides_section import SlidesSection
from napari_nh2st.viewer.start.callout import Callout, tour_of
from napari_nh2st.viewer.start.empty_dock import EmptyDock
from napari_nh2st.viewer.start.tour import Tour
from napari_nh2st.viewer.state.preferences import stored_preferences
from napari_nh2st.viewer.state.services import Services
from napari_nh2st.viewer.trust.section import TrustSection

# Title, tooltip and what makes the section, in the order in which they stand.
FOLDS: tuple[tuple[str, str, Callable[[Workspace], QWidget]], ...] = (
    ("Measured", "Hold the prediction against a measurement of this slide", MeasuredSection),
    ("Regions", "The genes of regions that you draw, and of domains that are found", RegionsSection),
    ("Context", "What the tiles around a tile change in its prediction: click a tile", ContextSection),
    ("Trust", "How sure: the figures in words, tissue unlike the training, and how far answers differ", TrustSection),
    ("Several genes", "Pinned genes as layers, three genes in one image, and signatures", SeveralSection),
    ("Several slides", "Open slides side by side", SlidesSection),
    ("Several models", "Models side by side on one slide, where they disagree and which is right", ModelsSection),
)

# Kinds of layers that a section goes on with when an earlier dock has drawn them.
_DRAWN = {"Measured": {Kind.MEASURED, Kind.DIFFERENCE}}

_LARGE = {Kind.SLIDE, Kind.HEATMAP}  # what a layer of these kinds holds is to be let go of with it
_WARM_MS = 150  # until the dock is drawn: imports would take the processor from that

_CHOSEN_MS = 500  # a choice that has stood for so long is likely meant
_REST_MS = 200  # the view rests when it has not moved for so long


def _drop(shortcut: QShortcut) -> None:
    """End a shortcut of a window that may be gone."""
    with suppress(RuntimeError):
        shortcut.setEnabled(False)
        shortcut.deleteLater()


class PredictWidget(QWidget):
    """The dock: a column that scrolls, and a foot that stays. It hands what a person does to the presenter.

    Parameters
    ----------
    napari_viewer : Viewer
    services : Services, optional
        The engine and the models, so that tests can put small ones in their place.
    """

    def __init__(self, napari_viewer: Viewer, services: Services | None = None) -> None:
        super().__init__()
        viewer = self.viewer = behind_proxy(napari_viewer)
        make_removal_safe(viewer)
        self._connections = Connections()
        self.lifetime = Lifetime(self, viewer)
        self.background = Background()
        self.job = JobSection()
        pacing = Pacing(self, lambda: self.presenter.draw())
        self.presenter = PredictPresenter(
            *(viewer, self.job),
            background=self.background,
            pace=pacing,
            services=services,
            preferences=stored_preferences(self._connections),
        )
        self.workspace = self.presenter.workspace
        self.state, self.controller, self.live = self.presenter.state, self.presenter.controller, self.presenter.live
        self._build()
        self._wire()
        self._take_up()
        self._show_empty(self.empty.presenter.empty)
        self._unfold_remembered()
        warm_up = timer(self, _WARM_MS, self._warm_up)
        self.workspace.when_closing(warm_up.stop)
        warm_up.start()
        for title, fold in self.folds.items():
            fold.chosen.connect(partial(self.workspace.preferences.open_section, title))

    @property
    def heatmap(self) -> HeatmapLayer | None:
        """The layer of the current gene, None where nothing is predicted."""
        return self.workspace.heatmap

    def _unfold_remembered(self) -> None:
        """Open the sections that were open last, one after the other once the dock stands: it opens sooner."""
        self._to_unfold = [self.folds[t] for t in self.folds if t in self.workspace.preferences.open_sections]
        self._unfold = timer(self, 0, self._unfold_next)
        self.workspace.when_closing(self._unfold.stop)
        self._unfold_soon()

    def _unfold_soon(self) -> None:
        if self._to_unfold:
            self._unfold.start()

    def _unfold_next(self) -> None:
        self._to_unfold.pop(0).button.setChecked(True)
        self._unfold_soon()

    def _warm_up(self) -> None:
        load_units()  # here: two threads must not read them at once
        self.presenter.warm_up()
        find = self.workspace.services.find_others
        self.background.call(find, then=self.models.list_others, failed=self.workspace.notices.complain)

    def _choose_slide(self, layer: Layer | None) -> None:
        if not self.background.closed:  # when the process ends, nothing can be read for the slide that comes next
            self.presenter.choose_slide(layer)

    def _add_model_file(self, file: str) -> None:
        self.background.call(
            *(self.workspace.services.add_file, file),
            then=self.models.added,
            failed=partial(self.models.not_added, file),
        )

    def _take_up(self) -> None:
        """Begin with what is in the window: slides, and what an earlier dock has drawn on them."""
        slide_layer = self.slides.layer
        made_with = self.presenter.take_up_window(slide_layer)
        if made_with is not None:
            self.models.use(made_with.model)
            self.state.fine = made_with.pitch is not None
        self.presenter.choose_slide(slide_layer)
        if made_with is not None:
            self.models.leave_to_slide()
        kinds = {kind_of(layer) for layer in self.viewer.layers}
        for title, drawn in _DRAWN.items():
            if kinds & drawn:
                self.folds[title].make()

    def _build(self) -> None:
        self.slides = SlideSection(self.workspace, self._connections)
        self.models = ModelSection(self.state, self.workspace.services, self.workspace.preferences)
        self.models.file_chosen.connect(self._add_model_file)
        self.where = RegionSection(self.state, self.workspace.preferences)
        self.genes = GeneSection(self.workspace)
        self.tissue = TissueSection(self.workspace)
        self.artefacts = ArtefactSection(self.workspace)
        self.result = ExportSection(self.workspace)
        self.result.presenter.regions = partial(regions_on_slide, self.workspace)
        self.result.presenter.domains = partial(domains_on_slide, self.workspace)
        self.empty = EmptyDock(self.workspace)
        self._tour: Tour | None = None
        self._is_empty = False
        self.scroll = QScrollArea()
        layout = scrolled(self.scroll)
        upper = (self.slides, self.models, self.where, self.job)
        self.folds = {title: Fold(title, tip, partial(make, self.workspace)) for title, tip, make in FOLDS}
        folds = QWidget()
        stack = column(folds, spacing=0)
        for fold in self.folds.values():
            stack.addWidget(fold)
        self.everyday = QWidget()
        controls = column(self.everyday, spacing=8)
        for part in (*upper, rule(), self.genes, folds, rule(), self.tissue, self.artefacts, self.result.device_row):
            controls.addWidget(part)
        for part in (self.empty, self.everyday):
            layout.addWidget(part)
        layout.addStretch(1)
        self.foot = QWidget()
        foot = column(self.foot, spacing=0)
        foot.addWidget(rule())
        foot.addWidget(self.result)
        whole = column(self, spacing=0)
        whole.addWidget(self.scroll, 1)
        whole.addWidget(self.foot)

    def _show_empty(self, on: bool) -> None:
        """Show ways to begin in place of the everyday controls while nothing is open."""
        if on == self._is_empty:
            return  # showing what is shown anyway would have it measured before it has the window's letters
        self._is_empty = on
        self.everyday.setVisible(not on)
        self.foot.setVisible(not on)

    def _wire(self) -> None:
        self.workspace.notices.said.connect(self.job.sentence.say)
        self.slides.layer_changed.connect(self._choose_slide)
        self.slides.mpp_given.connect(self.presenter.give_mpp)
        self.slides.picture_chosen.connect(self.presenter.choose_picture)
        self.empty.emptied.connect(self._show_empty)
        for wanted in (self.empty.tour_wanted, self.result.tour_wanted):
            wanted.connect(self.take_tour)
        self.job.start.connect(self.presenter.predict)
        self.job.cancel.connect(self.presenter.cancel)
        self._give_shortcuts()
        self._hear_of_choices()
        self._hear_of_the_view()
        scale_bar = ScaleBar(self.viewer, self.state, self.workspace.preferences, self._connections)
        # of no widget: those are gone when a dock is deleted without being closed
        parts = (self.presenter, self.background, self._connections, self.job.activity, scale_bar)
        self.lifetime.ends.hold(*(part.close for part in parts))

    def _give_shortcuts(self) -> None:
        # of napari's window, so that the keys work there too while the dock floats in a window of its own
        window = getattr(getattr(self.viewer, "window", None), "_qt_window", None) or self
        for action in (each for each in ACTIONS if each.shortcut):
            keys = QKeySequence(action.shortcut)
            shortcut = QShortcut(keys, window)
            self.workspace.when_closing(partial(_drop, shortcut))
            shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
            shortcut.setAutoRepeat(
                action.name.endswith("_gene")
            )  # to walk the list; nothing else is done again and again
            shortcut.activated.connect(partial(self.do, action))
            if not action.fold:
                tell_keys(follow(self, action.path), keys.toString(QKeySequence.SequenceFormat.NativeText))

    def do(self, action: Action) -> None:
        """Do what a button, a menu or a shortcut asks for; say why where it cannot be done now."""
        owner = self.folds[action.fold].open() if action.fold else self
        target = follow(owner, action.path)
        if action.fold:
            self.scroll.ensureWidgetVisible(self.folds[action.fold])
        if isinstance(target, QWidget) and self.scroll.widget().isAncestorOf(target):
            self.scroll.ensureWidgetVisible(target)  # what it starts is shown there
        if why_not := press(target):
            self.workspace.notices.said.emit(why_not)

    def _hear_of_choices(self) -> None:
        self._chosen = qdebounced(self.presenter.make_ready, timeout=_CHOSEN_MS)
        self.workspace.when_closing(self._chosen.cancel)
        events = self.state.events
        for chosen in (events.slide, events.model, events.fine):
            chosen.connect(lambda: self._chosen())

    def _hear_of_the_view(self) -> None:
        viewer = self.viewer
        self._rest = qdebounced(self.presenter.view_rested, timeout=_REST_MS)
        self.workspace.when_closing(self._rest.cancel)
        camera, canvas = viewer.scene.camera.events, viewer.canvas
        for moved in (
            *(camera.center, camera.zoom, canvas.events.size),
            *(viewer.dims.events.ndisplay, canvas.grid.events.enabled),
        ):
            self._connections.add(moved, self._moved)
        open_slides = self.workspace.maps.open_slides
        self._connections.add(canvas.events.size, lambda event: open_slides.canvas_resized())
        self._list_rests = qdebounced(LayerList(self.workspace, self.slides.choose).settle, timeout=0)
        self.workspace.when_closing(self._list_rests.cancel)
        for selected in (viewer.layers.selection.events.active, viewer.layers.events.inserted):
            self._connections.add(selected, self._layer_selected)
        # after the list of slides, which chooses another one
        self._connections.add(viewer.layers.events.removed, self._layer_removed)
        self.hover = Hover(viewer)
        self.workspace.when_closing(self.hover.close)
        self._connections.add(viewer.cursor.events.position, self.hover.moved)
        self._connections.add(viewer.events.status, self.hover.said)
        self.state.gene_chosen.connect(self.hover.moved)

    def _moved(self, event: Any = None) -> None:
        """Wait until the view rests."""
        if self.live.on:
            self._rest()

    def _layer_selected(self, event: Any = None) -> None:
        self.presenter.take_up_heatmap(self.viewer.layers.selection.active)
        self._list_rests()

    def _layer_removed(self, event: Any) -> None:
        self.presenter.layer_removed(event.value)
        if kind_of(event.value) in _LARGE:
            thaw()

    def predict(self) -> None:
        """Start to predict what is chosen, as the button does."""
        self.presenter.predict()

    def use_model(self, model: str) -> None:
        """Choose a model by name or folder, as the fine-tune dock does when a run is done."""
        self.models.use(model)

    def take_tour(self) -> None:
        """Point at the five parts that a person needs first, one after the other."""
        if self._tour is None:
            parts = {
                **{"slide": (self.slides,), "model": (self.models,), "predict": (self.where, self.job)},
                **{"gene": (self.genes,), "export": (self.result,)},
            }
            self._tour = tour_of(Callout(self, self.scroll, parts), self.workspace, self.empty.presenter)
        self._tour.begin()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Put down the tool in hand with Esc, else cancel, from wherever in the dock; fields pass it on."""
        tools = self.workspace.tools
        if event.key() == Qt.Key.Key_Escape and tools.tool is not None:
            tools.put_down()
        elif event.key() == Qt.Key.Key_Escape and (self.controller.running or self.live.on):
            self.presenter.cancel()
        else:
            super().keyPressEvent(event)

    def shut_down(self) -> None:
        """Cancel what runs and let go of the viewer."""
        self.lifetime.end()
