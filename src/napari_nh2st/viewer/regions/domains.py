"""Domains: the tissue divided by what it looks like and what is predicted for it, with the genes of each. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import Cancelled as Stopped
from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.kit.long_work import Cancelled, LongWork, Tell
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.layers.domains import DomainsLayer, domain_annotations_of, image_of
from napari_nh2st.viewer.layers.label_colours import prepare_labels
from napari_nh2st.viewer.layers.roles import Kind, MapRole, role_of
from napari_nh2st.viewer.predict.inputs import PredictionInputs
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.regions.messages import (
    FIND_TIP,
    NO_DOMAINS,
    NO_EMBEDDINGS,
    OF_BEFORE,
    SLIDE_CLOSED,
    domains_words,
)
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Labels

    from napari_nh2st.analysis.domains import Domains
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.formats.shapes import Outlines

RESOLUTIONS = (0.1, 0.2, 0.4, 0.8, 1.6)  # of leiden, from few domains to many
OpenInputs = Callable[[Tell, Cancelled], PredictionInputs]
DomainsImage = npt.NDArray[np.integer[Any]]  # (rows, columns) of the lattice
Outcome = tuple["Prediction", DomainsImage, "Domains", str]  # at the end why the slide's image was not used


@dataclass(eq=False)
class Found:
    """The domains of a map.

    Attributes
    ----------
    sentence : str
        About how they were found.
    markers : DataFrame or None
        The genes of all of them, None until they are known.
    """

    layer: DomainsLayer
    domains: Domains
    sentence: str
    markers: pd.DataFrame | None = None


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
        self._by_map: dict[PredictedMap, Found] = {}
        self._listed: Found | None = None
        workspace.state.map_chosen.connect(self._map_chosen)
        workspace.state.events.drawings.connect(self.show_state)
        workspace.subjects.gone.connect(self._forget)

    @property
    def found(self) -> Found | None:
        """The domains of the map that is shown, None where none were found."""
        prediction_map = self._workspace.map
        return None if prediction_map is None else self._by_map.get(prediction_map)

    @property
    def layer(self) -> DomainsLayer | None:
        """The layer of these domains."""
        return None if self.found is None else self.found.layer

    def find(self) -> None:
        """Cluster what is predicted, draw it, and look for the genes of each domain."""
        try:
            prediction_map = self._workspace.require_map()
        except Nh2stError as error:
            self._view.show_sentence(str(error))
            return
        self.clear()
        self._view.show_sentence("")
        work = partial(_find, prediction_map, self._inputs(), RESOLUTIONS[self._view.fineness])
        self._view.show_button(FIND_TIP, on=False)
        self._view.work.start("Looking for domains", work, partial(self._show, prediction_map), self.show_state)

    def save(self, path: str) -> None:
        """Write all domains with their genes, as the file's ending says."""
        if self.layer is None:
            self._view.show_sentence(NO_DOMAINS)
            return
        self._workspace.save_folder.saved(path)
        self._workspace.background.call(
            *(_write, self.layer.map, self.layer.values, path),
            then=lambda written: self._view.show_sentence(f"Saved {written}"),
            failed=lambda error: self._view.show_sentence(f"Could not save: {error_words(error)}"),
        )

    def _inputs(self) -> OpenInputs | str:
        """Return what opens slide and model in a thread, or why that cannot be."""
        if self._workspace.map_slide_layer is None:
            return SLIDE_CLOSED
        try:
            return self._workspace.with_inputs(lambda inputs, tell, cancelled: inputs)
        except Nh2stError as error:
            return str(error)

    def _show(self, prediction_map: PredictedMap, outcome: Outcome) -> None:
        prediction, image, domains, why_not = outcome
        before = self._by_map.get(prediction_map)
        workspace = self._workspace
        layer = before.layer if before else DomainsLayer(workspace.viewer, prediction_map, workspace.maps.pace.later)
        found = self._by_map[prediction_map] = Found(layer, domains, domains_words(domains, why_not))
        layer.show(image)
        self._show_heatmap(False)
        self._listed = found
        self._list(found)
        if domains.count > 1:
            self._view.show_button(FIND_TIP, on=False)
            self._look_for_genes(found, partial(_markers, prediction, domains))

    def _look_for_genes(self, found: Found, work: Callable[[Tell, Cancelled], pd.DataFrame]) -> None:
        self._view.work.start("Looking for their genes", work, partial(self._show_markers, found), self.show_state)

    def begin(self) -> None:
        """Show nothing, or what a closed dock has drawn on the map that is shown."""
        self.clear()
        self._take_over()

    def _take_over(self) -> None:
        """List the domains that a closed dock has drawn, and look for their genes."""
        from napari_nh2st.analysis.domains import Domains

        workspace, prediction_map = self._workspace, self._workspace.map
        left = self._left()
        if prediction_map is None or left is None:
            return
        layer = DomainsLayer(workspace.viewer, prediction_map, workspace.maps.pace.later)
        layer.adopt(left)
        labels = layer.values.reshape(-1)[np.flatnonzero(prediction_map.done)].astype(np.uint16)
        found = Found(layer, Domains(labels, len(labels)), OF_BEFORE)
        if not found.domains.count:
            return
        self._by_map[prediction_map] = self._listed = found
        self._list(found)
        if found.domains.count > 1:
            self._look_for_genes(found, partial(_markers_of_image, prediction_map, layer.values))

    def _left(self) -> Labels | None:
        """Return the layer of domains that a closed dock has drawn on the map that is shown."""
        for layer in self._workspace.viewer.layers:
            role = role_of(layer)
            if isinstance(role, MapRole) and role.left and (role.kind, role.map) == (Kind.DOMAINS, self._workspace.map):
                return layer
        return None

    def _list(self, found: Found) -> None:
        self._view.show_sentence(found.sentence)
        self._view.list_domains([float(share) for share in found.domains.shares])

    def _show_markers(self, found: Found, markers: pd.DataFrame) -> None:
        found.markers = markers
        self._show_table()

    def choose_domain(self) -> None:
        """Show the genes of the domain that was chosen, and the domains instead of the prediction."""
        self._show_table()
        if self.layer is not None and self.layer.present:
            self.layer.bring()
        self._show_heatmap(False)

    def _show_table(self) -> None:
        found = self.found
        if found is None or found.markers is None:
            return
        markers = found.markers
        mine = markers[markers["domain"] == self._view.domain].set_index("gene")
        title = f"domains of {found.layer.map.card.name}"
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
            if not on:
                self._workspace.maps.instead.remember(heatmap.layer)

    def _map_chosen(self) -> None:
        """Show what was found on another map; its layer is as it was left."""
        if self.found is not self._listed:
            self.clear()
            if self.found is not None:
                self._list(self.found)
                self._show_table()
            self._listed = self.found
        elif self.found is None:
            self._view.show_sentence("")
            self._take_over()
        self.show_state()

    def _forget(self, gone: object) -> None:
        self._by_map = {of: found for of, found in self._by_map.items() if of is not gone}
        self._map_chosen()

    def clear(self) -> None:
        """Take what was found away; the layer stays as it is."""
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
            why_not = "" if session.embeds else NO_EMBEDDINGS
            embed = partial(session.embed, cancelled=cancelled) if session.embeds else None
        except Stopped:
            raise
        except Nh2stError as error:
            why_not = str(error)
    prediction = prediction_map.prediction().only_done()  # a copy: what arrives meanwhile does not disturb
    domains = find_domains(prediction, embed, resolution=resolution, tell=tell, cancelled=cancelled)
    image = image_of(prediction_map, prediction_map.cells(prediction.places), domains)
    prepare_labels(image.dtype)
    return prediction, image, domains, why_not


def _write(prediction_map: PredictedMap, image: DomainsImage, path: str) -> Path:
    """Write domains with the genes that are predicted in them. Not on the GUI thread."""
    from napari_nh2st.analysis.region_files import write_regions

    return write_regions(*domain_annotations_of(prediction_map, image), path)


def domains_on_slide(workspace: Workspace) -> Callable[[], Outlines]:
    """Return what works out the outlines of the domains of the map that is shown; call that in a thread."""
    kinds = ((layer, role_of(layer)) for layer in reversed(workspace.viewer.layers))
    for layer, role in kinds:
        if isinstance(role, MapRole) and (role.kind, role.map) == (Kind.DOMAINS, workspace.map):
            return partial(_outlines, role.map, np.asarray(layer.data))
    return dict


def _outlines(prediction_map: PredictedMap, image: DomainsImage) -> Outlines:
    return {a.title: a.polygons for a in domain_annotations_of(prediction_map, image)[1]}


def _markers(prediction: Prediction, domains: Domains, tell: Tell, cancelled: Cancelled) -> pd.DataFrame:
    from napari_nh2st.analysis.domains import markers

    return markers(prediction, domains, tell=tell, cancelled=cancelled)


def _markers_of_image(
    prediction_map: PredictedMap, image: DomainsImage, tell: Tell, cancelled: Cancelled
) -> pd.DataFrame:
    """Compare the domains of an image. Not on the GUI thread."""
    from napari_nh2st.analysis.domains import Domains

    prediction = prediction_map.prediction().only_done()
    labels = image.reshape(-1)[prediction_map.cells(prediction.places)].astype(np.uint16)
    return _markers(prediction, Domains(labels, len(labels)), tell, cancelled)
