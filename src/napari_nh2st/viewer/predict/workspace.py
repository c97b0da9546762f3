"""Everything that the sections of the dock share: its state, the maps in sight, ways to ask the engine. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

from napari_nh2st.errors import Nh2stError
from napari_nh2st.slide_path import slide_stem
from napari_nh2st.viewer.kit.jobs import Subject, Subjects
from napari_nh2st.viewer.kit.long_work import Cancelled, Tell, Threads
from napari_nh2st.viewer.kit.tool_in_hand import ToolInHand
from napari_nh2st.viewer.layers.fade import Fade
from napari_nh2st.viewer.layers.roles import layer_of_slide
from napari_nh2st.viewer.predict.controller import Controller
from napari_nh2st.viewer.predict.inputs import PredictionInputs
from napari_nh2st.viewer.predict.maps_on_screen import MapsOnScreen
from napari_nh2st.viewer.predict.messages import left_sentence
from napari_nh2st.viewer.predict.requests import Requests
from napari_nh2st.viewer.state.dock_state import DockState
from napari_nh2st.viewer.state.notices import Notices
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.preferences import Preferences
from napari_nh2st.viewer.state.save_folder import SaveFolder
from napari_nh2st.viewer.state.services import Services

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.slides import Slide
    from napari_nh2st.viewer.layers.heatmap import HeatmapLayer

T = TypeVar("T")

NO_MAP = "Predict first: there is nothing on this slide yet."
_OTHER = (
    "this heatmap was opened from a file, and was made from another slide, model or detail than those chosen above: "
    "choose those that it was made with"
)
CORRECTED = "This map is corrected with measured spots. Show the prediction itself to ask the model."
_VALUES_ONLY = "This heatmap was opened from a file that has values only: press Predict to ask the model itself."


class Workspace:
    """Everything that the sections of the dock share.

    Attributes
    ----------
    viewer : ViewerModel
    state : DockState
        What is chosen and shown.
    maps : MapsOnScreen
    fade : Fade
        How much is seen of what lies on the tissue.
    notices : Notices
        Where a sentence is said.
    requests : Requests
    tools : ToolInHand
        The tool that uses the mouse on the canvas.
    controller : Controller
        The job, and everything predicted so far.
    background : Threads
    services : Services
    preferences : Preferences
        What is remembered for the next start.
    save_folder : SaveFolder
        Where dialogs that save a file open.
    subjects, slide_subjects : Subjects
        What work is about that starts now: the map that is shown, and the chosen slide whatever is predicted on it.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        state: DockState,
        *,
        maps: MapsOnScreen,
        controller: Controller,
        background: Threads,
        services: Services,
        preferences: Preferences | None = None,
    ) -> None:
        self.viewer, self.state, self.maps, self.controller = viewer, state, maps, controller
        self.background, self.services = background, services
        self.preferences = preferences or Preferences()
        self.notices = Notices()
        self.save_folder = SaveFolder(state, self.preferences)
        self.requests = Requests(viewer, state)
        self.subjects, self.slide_subjects = Subjects(self._map_subject), Subjects(self._slide_subject)
        state.events.map.connect(self.subjects.changed.emit)
        state.events.slide.connect(self._slide_changed)
        self.tools = ToolInHand(viewer)
        state.events.slide.connect(lambda: self.tools.put_down())
        self.fade = Fade(viewer)
        self.show_map: Callable[[PredictedMap], None] = controller.adopt  # the presenter stops following the view, too
        self._closing: list[Callable[[], None]] = [self.tools.close, self.fade.close]

    @property
    def map(self) -> PredictedMap | None:
        """The current map, None if nothing was predicted or opened."""
        return self.state.map

    @property
    def heatmap(self) -> HeatmapLayer | None:
        """The heatmap of the current gene of the map that is shown."""
        return self.maps.current

    @property
    def slide(self) -> Slide | None:
        """The chosen slide, None where none is open, or it is still being opened."""
        return self.state.slide

    @property
    def map_slide_layer(self) -> Layer | None:
        """The layer of the slide on which the map lies, None where that is not open."""
        return self.maps.slide_layer

    @property
    def what_is_left(self) -> str:
        """A note on a map in sight that is of another model or detail than is chosen; empty without one."""
        left = self.maps.left_in_sight
        return "" if left is None else left_sentence(left.made_with, self.state.model_name)

    def require_map(self) -> PredictedMap:
        """Return what is shown.

        Raises
        ------
        Nh2stError
            Where nothing is predicted yet.
        """
        if self.map is None or not self.map.count:
            raise Nh2stError(self.what_is_left or NO_MAP)
        return self.map

    def with_inputs(
        self, function: Callable[[PredictionInputs, Tell, Cancelled], T], *, decodes: bool = False
    ) -> Callable[[Tell, Cancelled], T]:
        """Make work of ``function(inputs, tell, cancelled)``, where `inputs` is the open slide with the open model.

        Call it on the GUI thread; what it returns runs in another one, as `Task` does.

        Parameters
        ----------
        function : callable
        decodes : bool
            Whether it decodes the model's answers as the map does, which a map of values alone cannot.

        Raises
        ------
        Nh2stError
            At once where no slide or model is chosen, or the map has values alone; from the work where the map that is
            shown is not of these.
        """
        if decodes and self.map is not None and self.map.values_only:
            raise Nh2stError(_VALUES_ONLY)
        if decodes and self.map is not None and self.map.correction:
            raise Nh2stError(CORRECTED)
        request, prediction_map = self.requests.whole_slide(), self.map

        def work(tell: Tell, cancelled: Cancelled) -> T:
            inputs = self.controller.inputs_for(request, cancelled)
            if prediction_map is not None and not same_lattice(prediction_map, inputs.map):
                raise Nh2stError(_OTHER)
            return function(inputs, tell, cancelled)

        return work

    def forget(self, gone: object, why: str) -> None:
        """End all work about a slide (its fingerprint) or a map that is gone, and drop its results."""
        for subjects in (self.subjects, self.slide_subjects):
            subjects.gone.emit(gone, why)

    def slide_name(self, fingerprint: str, path: object) -> str:
        """Return what a slide is called in the window; by its file where it is not open."""
        layer = layer_of_slide(self.viewer, fingerprint)
        return slide_stem(str(path)) if layer is None else str(layer.name)

    def _map_subject(self) -> Subject:
        if self.map is None:
            return self._slide_subject()
        fingerprint, path = str(self.map.slide.get("fingerprint")), self.map.slide.get("path", "")
        return Subject(fingerprint, self.map, self.slide_name(fingerprint, path))

    def _slide_subject(self) -> Subject:
        if self.slide is None:
            return Subject()
        return Subject(self.slide.fingerprint, None, self.slide_name(self.slide.fingerprint, self.slide.path))

    def _slide_changed(self) -> None:
        self.subjects.changed.emit()
        self.slide_subjects.changed.emit()

    def when_closing(self, call: Callable[[], None]) -> None:
        """Call a function when the dock is closed."""
        self._closing.append(call)

    def close(self) -> None:
        """Tell the sections that the dock is closed."""
        calls, self._closing = self._closing, []
        with ExitStack() as stack:  # an error in one does not leave out the others
            for call in reversed(calls):
                stack.callback(call)


def same_lattice(a: PredictedMap, b: PredictedMap) -> bool:
    """Tell whether two maps are of one slide, model and detail: their cells are the same places."""
    if a is b:
        return True
    return (
        a.slide.get("fingerprint") == b.slide.get("fingerprint")
        and (a.pitch, a.rows, a.columns) == (b.pitch, b.rows, b.columns)
        and a.provenance.get("model_hash") == b.provenance.get("model_hash")
    )
