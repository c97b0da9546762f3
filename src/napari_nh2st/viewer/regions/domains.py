"""Domains: the tissue divided by what it looks like and what is predicted for it, with the genes of each. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from napari_nh2st.errors import Cancelled as Stopped
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import IntArray
from napari_nh2st.viewer.kit.long_work import Cancelled, LongWork, Tell
from napari_nh2st.viewer.layers.domains import DomainsLayer, image_of
from napari_nh2st.viewer.layers.label_colours import prepare_labels
from napari_nh2st.viewer.predict.inputs import PredictionInputs
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.regions.messages import FIND_TIP, SLIDE_CLOSED, domains_words
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    import pandas as pd

    from napari_nh2st.analysis.domains import Domains
    from napari_nh2st.engine.prediction import Prediction

RESOLUTIONS = (0.1, 0.2, 0.4, 0.8, 1.6)  # of leiden, from few domains to many
OpenInputs = Callable[[Tell, Cancelled], PredictionInputs]
Outcome = tuple["Prediction", IntArray, "Domains", str]  # with the cells, and why the image was not used


class DomainsView(Protocol):
    """Shows what the presenter decides."""

    @property
    def work(self) -> LongWork:
        """Finding domains and their genes."""

    @property
    def fineness(self) -> int:
        """The place of the slider: an index of `RESOLUTIONS`."""

    @property
    def domain(self) -> int:
        """The domain whose genes the table shows, from 1 on."""

    def show_button(self, tip: str, *, on: bool) -> None:
        """Offer to find domains, or say why not."""

    def show_sentence(self, text: str) -> None:
        """Say what was found."""

    def list_domains(self, shares: list[float]) -> None:
        """List domains by their shares of the tissue, none where the list is empty."""

    def show_markers(self, genes: pd.DataFrame | None, saved: pd.DataFrame | None, title: str = "") -> None:
        """Show the genes of the chosen domain; `saved` holds those of all."""


class DomainsPresenter:
    """Clusters what is predicted, draws it, and looks for the genes that set each domain apart."""

    def __init__(self, workspace: Workspace, view: DomainsView) -> None:
        self._workspace, self._view = workspace, view
        self._map: PredictedMap | None = None  # what the domains are of
        self._markers: pd.DataFrame | None = None
        self.layer: DomainsLayer | None = None
        workspace.state.map_chosen.connect(self._map_chosen)
        workspace.state.events.drawings.connect(self.show_state)

    def find(self) -> None:
        """Cluster what is predicted, draw it, and look for the genes of each domain."""
        try:
            prediction_map = self._workspace.require_map()
        except Nh2stError as error:
            self._view.show_sentence(str(error))
            return
        self.clear()
        self._map = prediction_map
        work = partial(_find, prediction_map, self._inputs(), RESOLUTIONS[self._view.fineness])
        self._view.show_button(FIND_TIP, on=False)
        self._view.work.start("Looking for domains", work, self._show, self.show_state)

    def _inputs(self) -> OpenInputs | str:
        """Return what opens slide and model in a thread, or why that cannot be."""
        if self._workspace.map_slide_layer is None:
            return SLIDE_CLOSED
        try:
            return self._workspace.with_inputs(lambda inputs, tell, cancelled: inputs)
        except Nh2stError as error:
            return str(error)

    def _show(self, outcome: Outcome) -> None:
        prediction, cells, domains, why_not = outcome
        prediction_map = self._map
        if prediction_map is None or prediction_map is not self._workspace.map:  # another slide is chosen by now
            return
        if self.layer is None or self.layer.map is not prediction_map:
            self.layer = DomainsLayer(self._workspace.viewer, prediction_map)
        self.layer.show(image_of(prediction_map, cells, domains))
        self._show_heatmap(False)
        self._view.show_sentence(domains_words(domains, why_not))
        self._view.list_domains([float(share) for share in domains.shares])
        if domains.count > 1:
            self._view.show_button(FIND_TIP, on=False)
            work = partial(_markers, prediction, domains)
            self._view.work.start("Looking for their genes", work, self._show_markers, self.show_state)

    def _show_markers(self, markers: pd.DataFrame) -> None:
        if self._map is self._workspace.map:
            self._markers = markers
            self._show_table()

    def choose_domain(self) -> None:
        """Show the genes of the domain that was chosen, and the domains instead of the prediction."""
        self._show_table()
        if self.layer is not None and self.layer.present:
            self.layer.bring()
        self._show_heatmap(False)

    def _show_table(self) -> None:
        markers = self._markers
        if markers is None or self._map is None:
            return
        mine = markers[markers["domain"] == self._view.domain].set_index("gene")
        title = f"domains of {self._map.card.name}"
        self._view.show_markers(mine[["difference", "score", "adjusted p"]], markers, title)

    def show_gene(self, gene: str) -> None:
        """Show the gene instead of the domains: one on top of the other says nothing."""
        self._workspace.state.request_gene(gene)
        if self.layer is not None:
            self.layer.hide()
        self._show_heatmap(True)

    def _show_heatmap(self, on: bool) -> None:
        heatmap = self._workspace.heatmap
        if heatmap is not None and heatmap.layer is not None and heatmap.present:
            heatmap.layer.visible = on

    def _map_chosen(self) -> None:
        if self._map is not None and self._map is not self._workspace.map:
            self._view.work.cancel()
            self._map = None
            self.clear()
        self.show_state()

    def clear(self) -> None:
        """Take what was found away; the layer stays as it is."""
        self._markers = None
        self._view.show_sentence("")
        self._view.list_domains([])
        self._view.show_markers(None, None)
        self.show_state()

    def show_state(self) -> None:
        """Offer to find domains, or say why not."""
        predicted = self._workspace.map is not None and self._workspace.map.count > 0
        self._view.show_button(FIND_TIP if predicted else NO_MAP, on=predicted and not self._view.work.running)


def _find(
    prediction_map: PredictedMap, inputs: OpenInputs | str, resolution: float, tell: Tell, cancelled: Cancelled
) -> Outcome:
    """Find domains; without slide or model by the predictions alone. Not on the GUI thread."""
    from napari_nh2st.analysis.domains import find_domains

    why_not, embed = (inputs, None) if isinstance(inputs, str) else ("", None)
    if not isinstance(inputs, str):
        try:
            session = inputs(tell, cancelled).session
            embed = partial(session.embed, cancelled=cancelled)
        except Stopped:
            raise
        except Nh2stError as error:
            why_not = str(error)
    prediction = prediction_map.prediction().only_done()  # a copy: what arrives meanwhile does not disturb
    domains = find_domains(prediction, embed, resolution=resolution, tell=tell, cancelled=cancelled)
    prepare_labels(domains.labels.dtype)
    return prediction, prediction_map.cells(prediction.places), domains, why_not


def _markers(prediction: Prediction, domains: Domains, tell: Tell, cancelled: Cancelled) -> pd.DataFrame:
    from napari_nh2st.analysis.domains import markers

    return markers(prediction, domains, tell=tell, cancelled=cancelled)
