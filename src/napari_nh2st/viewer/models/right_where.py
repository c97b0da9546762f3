"""Which model is right where, at the spots of the slide's measurement: a table of genes and a layer. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_nh2st.analysis.models_at_spots import ModelsAtSpots, models_at_spots
from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.kit.long_work import Cancelled, LongWork, Tell
from napari_nh2st.viewer.layers.roles import Kind, SlideRole, change_role, role_of
from napari_nh2st.viewer.layers.spots import SpotsLayer
from napari_nh2st.viewer.measured.measurement import SlideMeasurement, compare_at_spots
from napari_nh2st.viewer.models.messages import (
    COMPARE_FIRST,
    NO_MEASUREMENT,
    NO_MODEL_HERE,
    NOT_SETTLED,
    lacking_words,
    right_words,
)
from napari_nh2st.viewer.models.nearer import UNKNOWN, nearer_colours, nearer_key
from napari_nh2st.viewer.models.selection import ModelMap, Selection
from napari_nh2st.viewer.predict.events import Request
from napari_nh2st.viewer.predict.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from napari_nh2st.analysis.measured import Comparison

_COVERED = (Kind.MEASURED, Kind.DIFFERENCE)


@dataclass(frozen=True, eq=False)
class RightWhere:
    """Several models at the spots of one measurement.

    Attributes
    ----------
    maps : tuple of ModelMap
        Of the models.
    measurement : SlideMeasurement
    spots : ModelsAtSpots
    table : DataFrame
        One row a gene.
    """

    maps: tuple[ModelMap, ...]
    measurement: SlideMeasurement
    spots: ModelsAtSpots
    table: pd.DataFrame

    def words(self, gene: str) -> str:
        """Say which model is right about a gene."""
        if gene not in self.table.index:
            lacking = [each.name for each in self.maps if gene not in each.map.card.genes]
            if lacking or not gene:
                return lacking_words(gene, lacking) if gene else ""
            return f"{gene} was not measured in {self.spots.section}."
        nearest, _ = self.spots.nearest(gene)
        names = self.spots.names
        pccs = list(self.table.loc[gene, list(names)].to_numpy(dtype=float))
        shares = [float((nearest == i).mean()) for i in range(len(names))]
        return right_words(gene, names, pccs, shares, len(self.spots))


class RightView(Protocol):
    """Shows which model is right where."""

    @property
    def right_work(self) -> LongWork:
        """Predicting at the measured spots."""

    def show_right_offer(self, reason_off: str) -> None:
        """Offer to predict at the measured spots, or say why not."""

    def show_right(self, right: RightWhere | None, sentence: str) -> None:
        """Show the table of genes and a sentence about the one in sight, or nothing."""

    def show_right_layer(self, reason_off: str, *, on: bool) -> None:
        """Offer the layer, or say why not; tick it where it is in sight."""


class RightPresenter:
    """Holds the ticked models against the measurement of the chosen slide."""

    def __init__(self, workspace: Workspace, selection: Selection, view: RightView) -> None:
        self._workspace, self._selection, self._view = workspace, selection, view
        self._by_slide: dict[str, RightWhere] = {}
        self.layer = SpotsLayer(workspace.viewer, Kind.NEARER)
        self._drawn: RightWhere | None = None
        state = workspace.state
        state.events.gene.connect(self._gene_changed)
        selection.changed.connect(self.update)
        workspace.subjects.gone.connect(self._forget)

    @property
    def right(self) -> RightWhere | None:
        """Which of the ticked models is right on the chosen slide, None where that was not asked."""
        kept, measurement = self._by_slide.get(self._selection.fingerprint), self._measurement
        if kept is None or kept.measurement is not measurement:
            return None
        return kept if [m.map for m in kept.maps] == [m.map for m in self._selection.chosen] else None

    @property
    def _measurement(self) -> SlideMeasurement | None:
        role = role_of(self._workspace.state.slide_layer)
        loaded = role.loaded if isinstance(role, SlideRole) else None
        return loaded if isinstance(loaded, SlideMeasurement) else None

    def _why_not(self) -> str:
        if self._selection.why_not:
            return self._selection.why_not
        measurement = self._measurement
        if measurement is None or not measurement.settled:
            return NO_MEASUREMENT if measurement is None else NOT_SETTLED
        homeless = [each.name for each in self._selection.chosen if each.map.made_with is None]
        return NO_MODEL_HERE.format(homeless[0]) if homeless else ""

    # what the person does

    def ask(self) -> None:
        """Predict at the measured spots with each ticked model."""
        maps, measurement = self._selection.chosen, self._measurement
        try:
            if self._why_not() or measurement is None:
                raise Nh2stError(self._why_not())
            whole = self._workspace.requests.whole_slide()
        except Nh2stError as error:
            self._view.right_work.say(str(error))
            return
        requests = [_request(whole, each) for each in maps]
        work = partial(self._predict, measurement, requests, [each.name for each in maps])
        fingerprint = self._selection.fingerprint

        def take(found: tuple[ModelsAtSpots, pd.DataFrame]) -> None:
            self._by_slide[fingerprint] = RightWhere(maps, measurement, *found)
            if self.layer.visible:
                self.toggle_layer(True)
            self.update()

        self._view.right_work.start("Predicting at the measured spots", work, take, self.update)

    def _predict(
        self,
        measurement: SlideMeasurement,
        requests: Sequence[Request],
        names: Sequence[str],
        tell: Tell,
        cancelled: Cancelled,
    ) -> tuple[ModelsAtSpots, pd.DataFrame]:
        """Predict at the spots with one model after the other. Not on the GUI thread."""
        workspace = self._workspace
        comparisons: list[Comparison] = []
        for i, request in enumerate(requests):
            inputs = workspace.controller.inputs_for(request, cancelled)

            def tell_all(done: int, total: int, i: int = i) -> None:
                tell(i * total + done, len(requests) * total)

            device = request.device
            comparisons.append(compare_at_spots(measurement, workspace.services, device, inputs, tell_all, cancelled))
        spots = models_at_spots(comparisons, names)
        return spots, spots.table()

    def toggle_layer(self, on: bool) -> None:
        """Show the spots in the colours of the nearer models instead of the prediction, or the prediction again."""
        right, state = self.right, self._workspace.state
        if not on:
            self.layer.hide()
            self._workspace.maps.instead.back()
        elif right is not None and state.slide_layer is not None and state.slide is not None:
            if not self.layer.present or self._drawn is not right:
                self._create(right)
            assert self.layer.layer is not None
            self.layer.layer.visible = True
            self._workspace.maps.instead.show(self.layer.layer, covered_by=_COVERED)
            self._colour()
        self._tell_layer()

    def _create(self, right: RightWhere) -> None:
        state = self._workspace.state
        assert state.slide is not None
        _, diameter = right.measurement.spots()
        mpp = float(state.slide.mpp or 1.0)
        self.layer.create(right.spots.centres, diameter, state.slide_layer, mpp, Kind.NEARER)
        self._drawn = right
        assert self.layer.layer is not None
        facts = self._workspace.services.describe(state.slide)
        provenance = right.measurement.provenance("which model is nearer to the measured value", facts, None)
        change_role(self.layer.layer, provenance=provenance | {"model": list(right.spots.names)})
        self.layer.layer.events.visible.connect(lambda event: self._tell_layer())

    def show_gene_of_table(self, gene: str) -> None:
        """Show the gene of a row that was clicked."""
        self._workspace.state.request_gene(gene)

    # what changes elsewhere

    def update(self) -> None:
        """Show what is known, and offer what can be done."""
        right = self.right
        self._view.show_right_offer(self._why_not())
        self._view.show_right(right, "" if right is None else right.words(self._workspace.state.gene))
        if self._drawn is not None and self._drawn is not right and self._drawn.measurement is not self._measurement:
            self.layer.remove()  # of another slide, or of a measurement that was removed
            self._drawn = None
        self._tell_layer()

    def _tell_layer(self) -> None:
        reason = self._why_not() or ("" if self.right is not None else COMPARE_FIRST)
        self._view.show_right_layer(reason, on=self.right is not None and self.layer.visible)

    def _gene_changed(self) -> None:
        self._colour()
        self.update()

    def _colour(self) -> None:
        """Give the spots the colours of the gene in sight."""
        right, gene = self._drawn, self._workspace.state.gene
        if right is None or not self.layer.present:
            return
        spots = right.spots
        if gene not in right.table.index:
            self.layer.colour(UNKNOWN, gene, f"{gene} · not compared", {})
            return
        nearest, margin = spots.nearest(gene)
        colours, full = nearer_colours(nearest, margin)
        column = spots.genes.index(gene)
        values = {"measured": spots.truth[:, column]}
        values |= {name: spots.predicted[i, :, column] for i, name in enumerate(spots.names)}
        values["nearer"] = np.array([*spots.names, "-"])[nearest]
        names = " or ".join(spots.names)
        self.layer.colour(colours, gene, f"{gene} · {names}, the nearer", values, nearer_key(gene, spots.names, full))

    def _forget(self, gone: object) -> None:
        """Drop what came of a map or a slide that is gone, with its layer."""
        for fingerprint, right in list(self._by_slide.items()):
            if any(gone in (each.map, each.map.slide.get("fingerprint")) for each in right.maps):
                if self._drawn is right:
                    self.layer.remove()
                    self._drawn = None
                del self._by_slide[fingerprint]
        self.update()


def _request(whole: Request, model_map: ModelMap) -> Request:
    """Return the request that fills a model's map."""
    made_with = model_map.map.made_with
    assert made_with is not None
    return replace(whole, model=made_with.model, pitch=made_with.pitch)
