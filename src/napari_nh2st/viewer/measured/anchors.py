"""Measured spots correct the map, and where to measure next. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from napari_nh2st.analysis.anchors import Anchors, Correction, correct
from napari_nh2st.analysis.measured import Comparison, corrected
from napari_nh2st.analysis.where_next import Proposal, most_telling_anchors, where_next, write_proposal
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import FloatArray, IntArray, TileSet
from napari_nh2st.viewer.kit.long_work import Cancelled, LongWork, Tell
from napari_nh2st.viewer.kit.phrases import count
from napari_nh2st.viewer.layers.roles import Kind, change_role, fingerprint_of
from napari_nh2st.viewer.layers.spots import SpotsLayer
from napari_nh2st.viewer.measured.messages import (
    ALL_USED,
    NO_MAP_TO_CORRECT,
    NO_REGION,
    OTHER_MODEL,
    OTHER_UNIT_TO_CORRECT,
    agreement_sentence,
)
from napari_nh2st.viewer.predict.region import drawn_region
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.state.predicted_map import PredictedMap

_RING_UM = 100.0  # across: a spot of Spatial Transcriptomics

Which = Literal["all", "regions", "most telling"]


@dataclass(eq=False)
class CorrectedMap:
    """The map of a slide as spots correct it.

    Attributes
    ----------
    base, map : PredictedMap
        The prediction itself, and corrected.
    compared : Comparison
        Of which the spots are.
    rest : Comparison or None
        The spots that did not correct it, scored; None before that, and where there are none.
    scored : bool
    """

    base: PredictedMap
    map: PredictedMap
    correction: Correction
    compared: Comparison
    rest: Comparison | None = None
    scored: bool = False


class AnchorsView(Protocol):
    """Shows what the presenter decides."""

    @property
    def work(self) -> LongWork:
        """Correcting and proposing."""

    def show_correction(self, offered: bool, why_not: str, sentence: str) -> None:
        """Offer to correct the map, or say why not; and say what the correction of now is worth."""

    def show_corrected(self, words: str, on: bool) -> None:
        """Offer to show the corrected map (by its name) or the prediction itself; an empty name offers nothing."""

    def show_proposal(self, why_not: str, sentence: str) -> None:
        """Offer to propose places, or say why not; the sentence is empty where none are drawn."""


class AnchorsPresenter:
    """Keeps the corrected map of each slide beside its prediction.

    Parameters
    ----------
    compared : callable
        Returns the comparison of the chosen slide with the chosen model, if there is one.
    changed : callable
        Called when other spots are to be shown.
    """

    def __init__(
        self,
        workspace: Workspace,
        view: AnchorsView,
        compared: Callable[[], Comparison | None],
        changed: Callable[[], None],
    ) -> None:
        self._workspace, self._view, self._compared, self._changed = workspace, view, compared, changed
        self._by_slide: dict[str, CorrectedMap] = {}  # by the slide's fingerprint
        self._proposals: dict[str, Proposal] = {}
        self.rings = SpotsLayer(workspace.viewer, Kind.ANCHORS)
        self.places = SpotsLayer(workspace.viewer, Kind.NEXT)
        self._ringed: CorrectedMap | None = None
        self._placed: Proposal | None = None
        workspace.state.map_chosen.connect(self._map_chosen)
        workspace.state.events.jobs_ended.connect(lambda: self.update())  # something is there by now
        workspace.slide_subjects.gone.connect(self._gone)
        workspace.subjects.gone.connect(self._gone)

    @property
    def made(self) -> CorrectedMap | None:
        """The corrected map of the chosen slide, of the comparison of now."""
        made = self._by_slide.get(self._fingerprint)
        return made if made is not None and made.compared is self._compared() else None

    @property
    def on(self) -> bool:
        """True if a corrected map is in sight."""
        return self.made is not None and self._workspace.map is self.made.map

    @property
    def shown(self) -> Comparison | None:
        """The comparison to show: of the map in sight, at the spots that did not correct it; None where there are none.

        Until they are scored, that of the prediction itself.
        """
        made = self.made
        return made.rest if made is not None and made.scored and self.on else self._compared()

    @property
    def proposal(self) -> Proposal | None:
        """The places that are proposed on the chosen slide."""
        return self._proposals.get(self._fingerprint)

    @property
    def _fingerprint(self) -> str:
        slide = self._workspace.slide
        return "" if slide is None else slide.fingerprint

    # what the person does

    def correct(self, which: Which, number: int) -> None:
        """Correct the map with all spots, with those in the drawn regions, or with so many that tell most."""
        compared, base = self._compared(), self._base()
        if compared is None or base is None or self._why_not():
            return
        assert compared.spots is not None
        assert compared.at is not None
        spots, at = compared.spots, compared.at
        try:
            rows = self._in_regions(spots) if which == "regions" else np.arange(len(spots))
        except Nh2stError as error:
            self._view.work.say(str(error))
            return

        def work(tell: Tell, cancelled: Cancelled) -> CorrectedMap:
            prediction = base.prediction()
            chosen = rows if which != "most telling" else most_telling_anchors(prediction, at, min(number, len(spots)))
            correction = correct(prediction, _at(at, chosen), spots.select(chosen))
            return CorrectedMap(base, PredictedMap.of(correction.apply(prediction)), correction, compared)

        self._view.work.start("Correcting the map", work, self._corrected, self.update)
        self.update()

    def toggle(self, on: bool) -> None:
        """Show the corrected map, or the prediction itself."""
        made = self.made
        if made is None:
            return
        if not on:
            self._workspace.show_map(made.base)
            return
        missing = np.flatnonzero(made.base.done & ~made.map.done)
        if len(missing):
            self._go_on(made, missing)
        self._workspace.show_map(made.map)

    def propose(self, number: int) -> None:
        """Give numbers to the places at which to measure next."""
        shown = self._workspace.map
        if shown is None or not shown.count:
            return
        fingerprint = self._fingerprint

        def work(tell: Tell, cancelled: Cancelled) -> Proposal:
            prediction = shown.prediction()
            return where_next(prediction, min(number, len(prediction)))

        def keep(proposal: Proposal) -> None:
            self._proposals[fingerprint] = proposal
            self.update()

        self._view.work.start("Looking for places", work, keep, self.update)

    def put_away(self) -> None:
        """Take the proposed places away."""
        self._proposals.pop(self._fingerprint, None)
        self.update()

    def save(self, path: str) -> None:
        """Write the proposed places as a table, with squares for QuPath beside it."""
        proposal = self.proposal
        if proposal is None or not path:
            return
        table = Path(path).with_suffix(".csv")

        def work(tell: Tell, cancelled: Cancelled) -> None:
            write_proposal(proposal, table, table.with_suffix(".geojson"))

        def done(nothing: None) -> None:
            self._view.work.say(f"Saved {table.name} and {table.with_suffix('.geojson').name}.")

        self._view.work.start("Saving the places", work, done)

    # what follows

    def _corrected(self, made: CorrectedMap) -> None:
        before = self._by_slide.get(self._fingerprint)
        self._by_slide[self._fingerprint] = made
        if before is not None:
            self._remove(before.map)
        self._workspace.show_map(made.map)
        self._score(made)

    def _remove(self, old: PredictedMap) -> None:
        """Take the layer of an earlier correction away."""
        for heatmap in list(self._workspace.maps):
            if heatmap.map is old:
                heatmap.remove()
        self._workspace.maps.drop(old)

    def _score(self, made: CorrectedMap) -> None:
        def keep(rest: Comparison | None) -> None:
            made.rest, made.scored = rest, True
            self._changed()

        self._view.work.start(
            "Scoring the other spots", lambda tell, cancelled: corrected(made.compared, made.correction), keep
        )

    def _go_on(self, made: CorrectedMap, missing: IntArray) -> None:
        """Correct what was predicted since."""
        cells = made.base

        def work(tell: Tell, cancelled: Cancelled) -> Prediction:
            facts = cells.decoder, cells.card, cells.slide, cells.provenance
            return made.correction.apply(Prediction(cells.tiles(missing), cells.hidden_of(missing), *facts))

        def add(prediction: Prediction) -> None:
            made.map.add(missing, prediction.hidden)
            self._workspace.maps.write(made.map, missing)

        self._view.work.start("Correcting what was predicted since", work, add, self.update)

    def _in_regions(self, spots: Anchors) -> IntArray:
        """Return the positions of the spots in the shapes that are drawn on the slide; in selected ones, if any are.

        Raises
        ------
        Nh2stError
            If none is drawn there.
        """
        from napari.layers import Shapes

        slide_layer = self._workspace.state.slide_layer
        drawn = [
            layer
            for layer in self._workspace.viewer.layers
            if isinstance(layer, Shapes) and layer.visible and fingerprint_of(layer) in (None, self._fingerprint)
        ]
        if slide_layer is None or not any(len(layer.data) for layer in drawn):
            raise Nh2stError(NO_REGION)
        places = TileSet.at(spots.centres, scale=1.0, pitch=1)
        inside = np.zeros(len(spots), dtype=bool)
        for layer in drawn:
            if len(layer.data):
                chosen = drawn_region(layer, slide_layer).select(places).centres
                inside |= (spots.centres[:, None] == chosen).all(axis=2).any(axis=1)
        return np.flatnonzero(inside)

    def _base(self) -> PredictedMap | None:
        """Return the prediction that is to be corrected: that in sight, or the one that the corrected map is of."""
        made, shown = self.made, self._workspace.map
        if made is not None and shown is made.map:
            return made.base
        return shown if shown is not None and shown.count else None

    def _why_not(self) -> str:
        """Say why the map cannot be corrected; empty where it can."""
        compared, base = self._compared(), self._base()
        if compared is None or compared.spots is None or compared.at is None:
            return NO_MAP_TO_CORRECT
        if not compared.same_unit:
            return OTHER_UNIT_TO_CORRECT
        if base is None:
            return NO_MAP_TO_CORRECT
        of_base, of_spots = (facts.get("model_hash") for facts in (base.provenance, compared.at.provenance))
        return "" if of_base == of_spots and not base.correction else OTHER_MODEL

    def _map_chosen(self, shown: object = None) -> None:
        self.update()
        self._changed()

    def _gone(self, gone: object, why: str) -> None:
        for fingerprint, made in list(self._by_slide.items()):
            if gone in (fingerprint, made.base, made.map):
                del self._by_slide[fingerprint]
        if isinstance(gone, str):
            self._proposals.pop(gone, None)
        self.update()

    # what is shown

    def update(self) -> None:
        """Show what can be done now, and what was made."""
        made, why_not = self.made, self._why_not()
        compared = self._compared()
        said = "" if made is None else agreement_sentence(made.correction.agreement, len(made.correction.anchors))
        if made is not None and made.scored and made.rest is None:
            said = f"{said} {ALL_USED}"
        self._view.show_correction(compared is not None, why_not, said)
        self._view.show_corrected("" if made is None else made.map.correction, self.on)
        shown = self._workspace.map
        proposal = self.proposal
        said = "" if proposal is None else f"{count(len(proposal), 'place')} numbered, the most telling first."
        self._view.show_proposal("" if shown is not None and shown.count else NO_MAP, said)
        self._draw_rings(made if self.on else None)
        self._draw_places(proposal)

    def _draw_rings(self, made: CorrectedMap | None) -> None:
        if made is self._ringed and (made is None or self.rings.present):
            return
        self._ringed = made
        self.rings.remove()
        if made is None or self._workspace.state.slide_layer is None:
            return
        anchors = made.correction.anchors
        title = count(len(anchors), "anchor spot")
        self._draw(self.rings, anchors.centres, title, "white rings: spots that correct the map")

    def _draw_places(self, proposal: Proposal | None) -> None:
        if proposal is self._placed:
            return
        self._placed = proposal
        self.places.remove()
        if proposal is None or self._workspace.state.slide_layer is None:
            return
        key = "numbers: where to measure next, the most telling first"
        table = {str(name): column.tolist() for name, column in proposal.table().reset_index().items()}
        self._draw(self.places, proposal.places.centres, "where to measure next", key, table)

    def _draw(
        self, layer: SpotsLayer, centres: FloatArray, title: str, key: str, table: dict[str, Any] | None = None
    ) -> None:
        slide_layer, slide = self._workspace.state.slide_layer, self._workspace.slide
        mpp = float((slide and slide.mpp) or 1.0)
        layer.create(centres, _RING_UM / mpp, slide_layer, mpp, title, numbered=table is not None)
        layer.colour("transparent", "", title, table or {}, ((key, None),))
        assert layer.layer is not None
        change_role(layer.layer, provenance={"what": title, "key": key})


def _at(prediction: Prediction, rows: IntArray) -> Prediction:
    return replace(prediction, places=prediction.places.select(rows), hidden=prediction.hidden[rows])
