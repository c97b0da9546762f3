"""The decisions of the NH2ST dock: from a chosen slide, model and region to a running job and its status. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from napari_nh2st.errors import Nh2stError, SlideError
from napari_nh2st.slide_path import slide_file
from napari_nh2st.slides.mpp import TYPED
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.tool_in_hand import rest
from napari_nh2st.viewer.layers.heatmap import COLORMAPS
from napari_nh2st.viewer.layers.opening import EVENTS, add_slide, levels_for_window
from napari_nh2st.viewer.layers.roles import (
    Kind,
    fingerprint_of,
    gene_of,
    is_opening,
    kind_of,
    layer_of_slide,
    map_of,
    slide_of,
)
from napari_nh2st.viewer.layers.slide_layer import set_slide
from napari_nh2st.viewer.predict.controller import Controller
from napari_nh2st.viewer.predict.events import Event, State, Status
from napari_nh2st.viewer.predict.live import Live
from napari_nh2st.viewer.predict.maps_on_screen import Call, MapsOnScreen, Pace
from napari_nh2st.viewer.predict.messages import (
    NO_MODEL,
    NO_MPP,
    NOTHING_OPEN,
    OTHER_PICTURE,
    READY,
    dock_warnings,
    ready_sentence,
    status_sentence,
)
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.state.dock_state import DockState
from napari_nh2st.viewer.state.predicted_map import MadeWith, PredictedMap
from napari_nh2st.viewer.state.preferences import Preferences
from napari_nh2st.viewer.state.services import Services

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.geometry import IntArray
    from napari_nh2st.slides import Slide
    from napari_nh2st.viewer.predict.inputs import PredictionInputs


class JobView(Protocol):
    """Shows the job: its button, how far it is, and what to know of its result."""

    def show_following(self, on: bool) -> None:
        """Offer to stop for as long as the view is followed."""

    def show_plain(self, text: str, *, ready: bool) -> None:
        """Say what is to do while no job runs."""

    def show_warnings(self, warnings: Sequence[str]) -> None:
        """Show what must be known before the result is believed."""

    def show_limits(self, limits: Sequence[str]) -> None:
        """Show how far the model's training reaches."""

    def show_status(self, status: Status) -> None:
        """Show the state of the job."""


class Jobs(Threads, Protocol):
    """Runs functions and jobs off the GUI thread."""

    def iterate(self, items: Iterator[Event], receive: Callable[[Event], None]) -> None:
        """Draw `items` in a thread; `receive` gets each of them on the GUI thread."""


class PredictPresenter:
    """Decides what is predicted and shown. The dock lays out; this class subscribes to the state and drives the job.

    Parameters
    ----------
    viewer : ViewerModel
    view : JobView
    background : Jobs
    pace : Pace
    services : Services, optional
        The engine and the models, so that tests can put small ones in their place.
    preferences : Preferences, optional
        By default nothing is remembered.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        view: JobView,
        *,
        background: Jobs,
        pace: Pace,
        services: Services | None = None,
        preferences: Preferences | None = None,
    ) -> None:
        self._viewer, self._view, self._background, self._pace = viewer, view, background, pace
        self._services = services or Services()
        self._status = Status()
        self._cold = False  # a trial of the machine is still to be made
        self.state = DockState()
        self.controller = Controller(self, self._run, self._services)
        self.maps = MapsOnScreen(viewer, self.state, pace)
        self.workspace = Workspace(
            *(viewer, self.state),
            maps=self.maps,
            controller=self.controller,
            background=background,
            services=self._services,
            preferences=preferences,
        )
        self.workspace.show_map = self.show_map
        self.live = Live(self.controller, self.workspace.requests.in_sight, self.workspace.notices.complain)
        self.state.events.model.connect(self._choice_changed)
        self.state.events.where.connect(self._choice_changed)
        self.state.events.fine.connect(self._choice_changed)
        EVENTS.opened.connect(self._slide_opened)
        EVENTS.failed.connect(self._not_opened)

    # what the person does

    def predict(self) -> None:
        """Start to predict what is chosen; what the window shows is followed from then on."""
        try:
            request = self.workspace.requests.chosen()
        except Nh2stError as error:
            self.workspace.notices.complain(error)
            return
        if not request.follow:
            self.controller.predict(request)
            return
        heatmap = self.maps.current
        if heatmap is not None and not heatmap.present:
            self.state.choose_gene(self.state.gene)  # asked for: it comes back
        self.live.start()
        self._show_status()  # at once: what follows of a view is told along with what is drawn
        self._view.show_following(self.live.on)

    def cancel(self) -> None:
        """Stop what runs, and stop following the view; what is there stays."""
        if self.controller.running and not self.controller.following:
            self.controller.cancel()
            return
        self.live.stop()
        self._view.show_following(False)
        if not self.controller.status.follow:
            self._say_ready()

    def give_mpp(self, mpp: float, source: str = TYPED) -> None:
        """Take a pixel size for the chosen slide, in micrometres, and where it comes from."""
        layer, slide = self.state.slide_layer, self.state.slide
        if slide is None or layer is None:
            return
        self.controller.abandon()
        set_slide(self._viewer, layer, slide.with_mpp(mpp, source))
        self._viewer.fit_to_view()
        self.choose_slide(layer)

    def choose_slide(self, layer: Layer | None) -> None:
        """Work on the slide of another layer, on none, or on this one as it is now."""
        slide, before = slide_of(layer), self.state.slide_layer
        if before is not None and before not in self._viewer.layers:
            self.live.on = False  # the slide that was followed is closed
            self.controller.rest()
            self._view.show_following(False)
        if layer is not None and slide is None and not is_opening(layer):
            self._open_file_of(layer)
        with self.state.events.slide.paused():  # listeners find its map in place
            self.state.slide_layer, self.state.slide = layer, slide
            self.maps.open_slides.choose(layer)
            self._choice_changed()
            self.maps.open_slides.settle()
        self._say_ready()  # of what is in sight by now

    def _slide_opened(self, layer: Layer) -> None:
        """Work on a slide whose placeholder was chosen; put it away if another one was chosen meanwhile."""
        if layer not in self._viewer.layers:
            return
        if layer == self.state.slide_layer:
            self.choose_slide(layer)
        else:
            self.maps.open_slides.put_away(layer)

    def _not_opened(self, viewer: ViewerModel, why: str) -> None:
        if self._viewer is viewer:
            self.workspace.notices.complain(why)

    def _open_file_of(self, layer: Layer) -> None:
        """Open the file of a layer that another reader has drawn."""
        self._background.call(
            *(self._services.open_slide, str(layer.source.path)),
            then=lambda slide: self._file_opened(layer, slide),
            failed=self.workspace.notices.complain,
        )

    def choose_picture(self, number: int) -> None:
        """Open another picture of the chosen slide's file, or choose it where it is open."""
        slide = self.state.slide
        if slide is None or number == slide.picture:
            return
        self.workspace.notices.say(f"Opening picture {number} of this file…")
        self._background.call(
            *(self._read_picture, f"{slide_file(slide.path)}#{number}"),
            then=self._picture_opened,
            failed=self._picture_not_opened,
        )

    def _read_picture(self, path: str) -> tuple[Slide, list[Any]]:
        slide = self._services.open_slide(path)
        return slide, levels_for_window(slide)

    def _picture_opened(self, read: tuple[Slide, list[Any]]) -> None:
        slide, levels = read
        layer = layer_of_slide(self._viewer, slide.fingerprint)
        if layer is None:
            layer = add_slide(self._viewer, slide, levels)
        else:
            slide.close()
        if layer != self.state.slide_layer:
            self.choose_slide(layer)
        else:
            self._say_ready()

    def _picture_not_opened(self, error: Exception) -> None:
        self.workspace.notices.complain(error)
        self.state.events.slide.emit(self.state.slide)  # the list points at the picture that is open

    def _file_opened(self, layer: Layer, slide: Slide) -> None:
        if _height_and_width(layer) != slide.shape:  # another reader may draw another page, or what it takes for one
            slide.close()
            self.workspace.notices.complain(SlideError(OTHER_PICTURE))
            return
        set_slide(self._viewer, layer, slide, move=False)
        if layer == self.state.slide_layer:
            self.choose_slide(layer)

    def take_up_heatmap(self, layer: Layer | None) -> None:
        """Explore a heatmap that was opened from a file, when it is selected in the layer list."""
        prediction_map = map_of(layer)
        if prediction_map is None or prediction_map is self.controller.map or self.controller.running:
            return
        self.live.stop()  # else the next step of the view would put it away
        own = layer_of_slide(self._viewer, prediction_map.slide.get("fingerprint"))
        if own is None and self.state.slide_layer is not None:
            self.choose_slide(None)  # the map would seem to lie on that slide
            self.maps.open_slides.show_alone(prediction_map.slide.get("fingerprint"))
        elif own is not None and self.maps.open_slides.is_elsewhere(prediction_map):
            self.choose_slide(own)
        if self.maps.is_new(prediction_map):
            self._take_up_look(layer, prediction_map)
        self.controller.adopt(prediction_map)

    def show_map(self, prediction_map: PredictedMap) -> None:
        """Show another map of the chosen slide; the view is followed no longer, since that would put it away."""
        self.live.stop()
        self._view.show_following(False)
        self.controller.adopt(prediction_map)

    def _take_up_look(self, layer: Layer, prediction_map: PredictedMap) -> None:
        """Go on with the gene, the colours and the limits that a heatmap from a file has."""
        colormap = str(layer.colormap.name)
        self.state.gene = gene_of(layer)
        if colormap in COLORMAPS:
            self.state.style.colormap = colormap
        self.maps.take_up(layer, prediction_map)

    def take_up_window(self, slide_layer: Layer | None) -> MadeWith | None:
        """Take over the heatmaps that an earlier dock drew, and the gene of the one that is in sight.

        Returns
        -------
        MadeWith or None
            What to choose in order to go on with that one.
        """
        in_sight: tuple[Layer, PredictedMap] | None = None
        for layer in self._viewer.layers:
            prediction_map = map_of(layer)
            if prediction_map is None or kind_of(layer) is not Kind.HEATMAP:
                continue
            self.maps.take_up(layer, prediction_map)
            self.controller.take_up(prediction_map)
            if layer.visible and fingerprint_of(layer) == fingerprint_of(slide_layer):
                in_sight = layer, prediction_map
        if in_sight is None:
            return None
        self.state.gene = gene_of(in_sight[0])
        return in_sight[1].made_with

    def view_rested(self) -> None:
        """Predict what the view shows now, where it is followed."""
        self.live.rested()

    def warm_up(self) -> None:
        """Import the engine and try the processor while a person still looks for a slide, or at a result."""
        self._cold = False
        self._background.call(self.controller.warm_up, then=self._warmed_up, failed=lambda error: None)

    def _warmed_up(self, whole: bool) -> None:
        self._cold = not whole
        if whole:  # nobody waits
            self._background.call(self._services.prepare_shapes, then=lambda _: None, failed=lambda error: None)

    def make_ready(self) -> None:
        """Load the model for the chosen slide while a person still looks at it: Predict then starts at once."""
        if not self.state.ready or self.controller.running:
            return
        request = replace(self.workspace.requests.whole_slide(), follow=True)  # a view comes first
        if request.skip_artefacts and request.slide.artefact_shares is None:  # to be looked for where it can be stopped
            request = replace(request, skip_artefacts=False)
        # an error is shown when the prediction is asked for
        self._background.call(self.controller.inputs_for, request, then=self._made_ready, failed=lambda error: None)

    def close(self) -> None:
        """Stop for good."""
        EVENTS.opened.disconnect(self._slide_opened, missing_ok=True)
        EVENTS.failed.disconnect(self._not_opened, missing_ok=True)
        self.live.on = False
        for layer in self._viewer.layers:
            if kind_of(layer) is Kind.TISSUE:
                rest(layer)
        with ExitStack() as stack:  # an error in one does not leave out the others
            stack.callback(self.state.close)
            stack.callback(self._pace.stop)
            stack.callback(self.maps.close)
            stack.callback(self.controller.close)
            stack.callback(self.workspace.close)

    # what follows from a choice

    def _choice_changed(self) -> None:
        """Show what is known of the slide, model and detail that are chosen now; go on with what the view asks for."""
        self._recall()
        self.live.rested()
        self._view.show_following(self.live.on and self.state.where == "view")

    def _recall(self) -> None:
        state = self.state
        before = None
        if state.slide is not None and state.model is not None and state.card is not None:
            before = self.controller.recall(state.slide, state.model.name, state.pitch)
        if before is not None:
            self.controller.adopt(before)
        elif not self._job_is_for_choice() or self.controller.following:
            self.maps.leave()
            self.controller.forget()
        self._say_limits()
        self._say_ready()

    def _job_is_for_choice(self) -> bool:
        """Tell whether what runs was asked for the slide, model and detail that are chosen now."""
        slide, model = self.state.slide, self.state.model_name
        return slide is not None and model is not None and self.controller.is_at(slide, model, self.state.pitch)

    def layer_removed(self, layer: Layer) -> None:
        """End the work on a slide that was closed, and say so; another one is chosen by now."""
        slide = slide_of(layer)
        if slide is None or layer_of_slide(self._viewer, slide.fingerprint) is not None:
            return
        self.maps.open_slides.slide_closed(slide.fingerprint)
        ended = self.controller.end_for(slide.fingerprint)
        self.workspace.forget(slide.fingerprint, f"{layer.name} was closed")
        if ended:
            self._say_ready()
            self.workspace.notices.say(status_sentence(self.controller.status))

    def _made_ready(self, inputs: PredictionInputs) -> None:
        """Say what is known of the slide's stain, now that it was measured."""
        if not self.controller.running:
            self._say_limits()
            if self._not_h_and_e() and not self.controller.status.closed:  # which slide was closed stays to be read
                self._say_ready()

    def _not_h_and_e(self) -> str:
        return "" if self.state.slide is None else self._services.not_h_and_e(self.state.slide)

    def _say_limits(self) -> None:
        """Say what to know of the chosen slide with the chosen model; it stays until another one is chosen."""
        slide, model = self.state.slide, self.state.model
        if slide is None or model is None or model.card is None:
            self._view.show_warnings([])
            self._view.show_limits([])
            return
        warnings = self._services.warnings_for(slide, model.card, model.name)
        shown = not (self.controller.running or self.controller.status.closed)
        said = " ".join(self._what_to_do()) if shown else ""
        self._view.show_warnings(dock_warnings(warnings, slide, said))
        self._view.show_limits(self._services.limits_for(slide, model.card))

    def _say_ready(self) -> None:
        if self.controller.running:
            return
        reason, prediction = self._what_to_do()
        self._view.show_plain(reason or prediction, ready=not reason)

    def _what_to_do(self) -> tuple[str, str]:
        """Say what is missing before anything can be predicted; where nothing is, what is predicted."""
        state = self.state
        reasons = (
            (state.slide_layer is None, NOTHING_OPEN),
            (state.slide is None, f"Opening {'' if state.slide_layer is None else state.slide_layer.name}…"),
            (state.slide is not None and state.slide.mpp is None, NO_MPP),
            (state.model is None, NO_MODEL),
            (state.card is None, "This model cannot be used: choose another one."),
        )
        reason = next((text for holds, text in reasons if holds), "")
        return (reason, "") if reason else ("", self._what_is_predicted())

    def _what_is_predicted(self) -> str:
        prediction_map = self.controller.map
        if prediction_map is None or not prediction_map.count:
            return self._not_h_and_e() or self.workspace.what_is_left or READY
        return ready_sentence(prediction_map.count, self.controller.share(prediction_map))

    # what the controller tells

    def _run(self, generation: int, events: Iterator[Event]) -> None:
        self._background.iterate(events, lambda event: self.controller.receive(generation, event))

    def status_changed(self, status: Status) -> None:
        """Show the job's state: at once where it begins or ends, else along with what is drawn."""
        self._status = status
        if status.state is State.RUNNING and (status.follow or status.step == "predicting"):
            self._pace.draw_soon()
            return
        self._show_status()
        if status.state is not State.RUNNING:
            self._show_end(status)

    def _show_end(self, status: Status) -> None:
        self.draw(final=True)
        self.live.heard(status)
        self._view.show_following(self.live.on and self.state.where == "view")
        self._say_limits()  # reading may have met damage, and another slide may be chosen by now
        if not status.follow:
            self.live.rested()
        self.state.jobs_ended += 1
        if self._cold:
            self.warm_up()

    def _show_status(self) -> None:
        self._view.show_status(self._status)
        if self._status.warnings and self._job_is_for_choice():
            self._view.show_warnings(dock_warnings(self._status.warnings, self.state.slide))

    def map_changed(self, prediction_map: PredictedMap) -> None:
        """Draw another map."""
        chosen = prediction_map is not self.controller.filling or self._job_is_for_choice()
        if not self.maps.show(prediction_map, chosen=chosen):
            self.controller.forget()

    def when_drawn(self, call: Call) -> None:
        """Call a function when a new heatmap stands in the window."""
        self._pace.when_quiet(call)

    def map_redrawn(self, prediction_map: PredictedMap) -> None:
        """Draw a map in which a quick preview came or went."""
        self.maps.redraw(prediction_map)

    def cells_arrived(self, prediction_map: PredictedMap, cells: IntArray) -> None:
        """Draw what has just been predicted, or dropped."""
        self.maps.write(prediction_map, cells, awaited=self._is_awaited(cells))

    def _is_awaited(self, cells: IntArray) -> bool:
        """Tell whether a person waits for these: the first cells that a job brings, or the last ones in sight."""
        status = self.controller.status
        if status.state is not State.RUNNING or status.step == "around":
            return False
        return status.done == status.known or status.done + len(cells) >= status.total

    def draw(self, *, final: bool = False) -> None:
        """Show what has come since the last time."""
        self.maps.draw(final=final)
        if self._status.state is State.RUNNING:
            self._show_status()  # last: a bar that comes into sight is drawn at once, and the canvas with it


def _height_and_width(layer: Layer) -> tuple[int, ...]:
    return tuple(int(n) for n in (layer.data[0] if getattr(layer, "multiscale", False) else layer.data).shape[:2])
