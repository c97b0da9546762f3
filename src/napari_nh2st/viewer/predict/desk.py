"""What the sections of the dock share: what is open, chosen and shown, and a way to work off the GUI thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.card import Card
from napari_nh2st.viewer.kit.background import Background, Cancelled, Tell, Work
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer, Style
from napari_nh2st.viewer.layers.open_slides import OpenSlides
from napari_nh2st.viewer.predict.controller import Controller
from napari_nh2st.viewer.predict.events import Request
from napari_nh2st.viewer.predict.inputs import Ground
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.services import Services

GroundWork = Callable[[Ground, Tell, Cancelled], Any]

NO_MAP = "Predict first: there is nothing on this slide yet."
_OTHER = (
    "this heatmap was opened from a file, and was made from another slide, model or detail than those chosen above: "
    "choose those that it was made with"
)


class Desk(QObject):
    """Where the sections find each other. The dock sets its attributes; sections read them and hear its signals.

    Attributes
    ----------
    viewer : Viewer
    background : Background
    services : Services
    controller : Controller
    style : Style
        How the main heatmap is coloured.
    slide_layer : Layer or None
        The chosen slide's layer; its Slide is `slide`.
    model : str or None
        Name or folder of the chosen model, `card` its card.
    map : PredictedMap or None
        What is shown and explored; it may come from a file.
    heatmap : HeatmapLayer or None
        The layer of the current gene of that map.
    heatmaps : dict
        Those of all maps that were shown, by the map's `id`.
    open_slides : OpenSlides
        Which of them is in sight.
    gene : str
        The gene that is chosen, empty where there is none.
    pinned : list of str
        Genes that the user pinned, the first one first; whether or not the model predicts them.
    """

    slide_changed = Signal()  # another slide, or another pixel size
    model_changed = Signal()
    map_changed = Signal()  # another map is shown, or none
    filled = Signal()  # the map that is shown has more predictions, or fewer; as often as the window draws
    settled = Signal()  # a job has ended: the map rests
    gene_changed = Signal(str)
    pinned_changed = Signal()
    restyled = Signal()  # colours or limits of the main heatmap

    def __init__(self, viewer: Any, background: Background, services: Services, controller: Controller) -> None:
        super().__init__()
        self.viewer, self.background, self.services, self.controller = viewer, background, services, controller
        self.style = Style()
        self.slide_layer: Any = None
        self.model: str | None = None
        self.card: Card | None = None
        self.heatmap: HeatmapLayer | None = None
        self.heatmaps: dict[int, HeatmapLayer] = {}
        self.open_slides = OpenSlides(viewer)
        self.gene = ""
        self.pinned: list[str] = []
        # Set by the dock: what would be predicted now (it raises what is missing), and where a sentence is said.
        self.request: Callable[[], Request] = _unset
        self.say: Callable[[str], None] = _unset
        self.complain: Callable[[Exception | str], None] = _unset
        self.choose_gene: Callable[[str], None] = _unset
        self._closing: list[Callable[[], None]] = []

    @property
    def slide(self) -> Any:
        """The chosen Slide, None where none is open, or it is still being opened."""
        return frames.slide_of(self.slide_layer)

    @property
    def map(self) -> PredictedMap | None:
        """What is shown, None where nothing was predicted or opened."""
        return None if self.heatmap is None else self.heatmap.map

    @property
    def map_slide_layer(self) -> Any:
        """The layer of the slide on which the map lies, None where that is not open."""
        return None if self.map is None else frames.layer_of_slide(self.viewer, self.map.slide.get("fingerprint"))

    def require_map(self) -> PredictedMap:
        """Return what is shown.

        Raises
        ------
        Nh2stError
            Where nothing is predicted yet.
        """
        if self.map is None or not self.map.count:
            raise Nh2stError(NO_MAP)
        return self.map

    def with_ground(self, function: GroundWork) -> Work:
        """Make work of ``function(ground, tell, cancelled)``, where `ground` is the open slide with the open model.

        Call it on the GUI thread; what it returns runs in another one, as `Task` does.

        Raises
        ------
        Nh2stError
            At once where no slide or model is chosen; from the work where the map that is shown is not of these.
        """
        request, shown = self.request(), self.map

        def work(tell: Tell, cancelled: Cancelled) -> Any:
            ground = self.controller.ground_for(request, cancelled)
            if shown is not None and not same_lattice(shown, ground.map):
                raise Nh2stError(_OTHER)
            return function(ground, tell, cancelled)

        return work

    def when_closing(self, call: Callable[[], None]) -> None:
        """Call a function when the dock is closed."""
        self._closing.append(call)

    def close(self) -> None:
        """Tell the sections that the dock is closed."""
        calls, self._closing = self._closing, []
        for call in calls:
            call()


def same_lattice(a: PredictedMap, b: PredictedMap) -> bool:
    """Tell whether two maps are of one slide, model and detail: their cells are the same places."""
    if a is b:
        return True
    return (
        a.slide.get("fingerprint") == b.slide.get("fingerprint")
        and (a.pitch, a.rows, a.columns) == (b.pitch, b.rows, b.columns)
        and a.provenance.get("model_hash") == b.provenance.get("model_hash")
    )


def _unset(*_: Any) -> Any:
    raise RuntimeError("the dock has not set this yet")
