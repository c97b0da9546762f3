"""A measurement beside its prediction: what is loaded, compared and drawn for the chosen slide and model. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy.typing as npt

from napari_nh2st.analysis.measured import Comparison, Frame
from napari_nh2st.errors import Nh2stError
from napari_nh2st.expression.detect import MeasurementFiles
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.long_work import LongWork
from napari_nh2st.viewer.layers.roles import Kind, change_role
from napari_nh2st.viewer.layers.spots import NOT_MEASURED, SpotsLayer, difference_colours, measured_colours
from napari_nh2st.viewer.measured.measurement import MadeWith, SlideMeasurement, compare_at_spots, read_measurement
from napari_nh2st.viewer.measured.messages import (
    ASK_FRAME,
    ASK_SPOTS,
    DIFFERENCE_TIP,
    DROP_HERE,
    NO_SLIDE,
    OTHER_UNIT,
    not_measured,
)
from napari_nh2st.viewer.predict.messages import NO_MODEL, NO_MPP
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.state.dock_state import first_gene

if TYPE_CHECKING:
    from napari.layers import Image

UNIT = "ln(1 + counts per 10,000)"


@dataclass(frozen=True)
class Offer:
    """Actions that are possible now.

    Attributes
    ----------
    hint : str
        What to do next; empty where nothing is to be said.
    why_not_load : str
        Why nothing can be loaded; empty where it can.
    remove, positions, compare : bool
        Whether there is something to remove, a file of positions to choose, a comparison to make.
    """

    hint: str
    why_not_load: str
    remove: bool
    positions: bool
    compare: bool


@dataclass(frozen=True, eq=False)
class GeneDots:
    """A dot a spot for one gene: measured and predicted values, each (n,)."""

    measured: npt.ArrayLike
    predicted: npt.ArrayLike
    title: str
    same_unit: bool


class MeasuredView(Protocol):
    """Shows what the presenter decides."""

    @property
    def work(self) -> LongWork:
        """Reading and comparing."""

    @property
    def in_sight(self) -> bool:
        """True if a person sees the section: nothing is compared behind their back."""

    def show_offer(self, offer: Offer) -> None:
        """Offer what can be done now."""

    def show_frame(self, doubt: str, frame: Frame | None) -> None:
        """Ask how the spots lie; None asks nothing."""

    def show_result(self, comparison: Comparison | None) -> None:
        """Show the figures of a comparison, or none."""

    def show_table(self, comparison: Comparison | None) -> None:
        """Show the table of genes of another comparison, or none."""

    def show_gene(self, note: str, dots: GeneDots | None) -> None:
        """Show one gene."""

    def show_layers(self, spots: bool, difference: bool) -> None:
        """Tick the layers that are in sight."""

    def show_difference_offer(self, tip: str, *, on: bool) -> None:
        """Offer the layer of differences."""

    def colour_soon(self) -> None:
        """Call `colour` within a moment; asking again until then changes nothing."""


class MeasuredPresenter:
    """Keeps a measurement for each slide, compares it with the chosen model and draws its spots.

    Attributes
    ----------
    spots, difference, rings : SpotsLayer
        What was measured, predicted less measured, and the spots while their frame is in doubt.
    want_spots, want_difference : bool
        Whether the person wants these layers.
    """

    def __init__(self, workspace: Workspace, view: MeasuredView) -> None:
        self._workspace, self._view = workspace, view
        self._by_slide: dict[str, SlideMeasurement] = {}  # by the slide's fingerprint
        self._fingerprint: str | None = None
        self._without_positions: MeasurementFiles | None = None  # counts whose positions are being asked for
        self._doing: dict[str, object] = {}  # what the work on a slide is for: a reading, or a comparison with a model
        self._drawn: Comparison | None = None
        self._drawing = False
        self._heatmap: Image | None = None
        self._following, self._hearing, self._events = Connections(), Connections(), Connections()
        self.want_spots, self.want_difference = True, False
        self.spots = SpotsLayer(workspace.viewer, Kind.MEASURED)
        self.difference = SpotsLayer(workspace.viewer, Kind.DIFFERENCE)
        self.rings = SpotsLayer(workspace.viewer, Kind.RINGS)
        self._events.add(workspace.viewer.layers.events.removed, self._tick_layers)
        state = workspace.state
        state.events.slide.connect(self.slide_changed)
        state.events.model.connect(self.update)
        state.map_chosen.connect(self._follow_heatmap)
        state.events.gene.connect(self._gene_changed)
        state.style.when_restyled(view.colour_soon)
        state.events.limits.connect(view.colour_soon)
        workspace.when_closing(self._close)

    @property
    def measurement(self) -> SlideMeasurement | None:
        """The measurement of the chosen slide."""
        slide = self._workspace.slide
        return None if slide is None else self._by_slide.get(slide.fingerprint)

    @property
    def comparison(self) -> Comparison | None:
        """The measurement of the chosen slide with the chosen model, None where that was not made."""
        measurement = self.measurement
        if measurement is None or measurement.made_with != self._made_with():
            return None
        return measurement.comparison

    @property
    def gene(self) -> str:
        """The gene in sight."""
        comparison = self.comparison
        return self._workspace.state.gene or (first_gene(comparison.card) if comparison is not None else "")

    # what the person does

    def open(self, paths: Sequence[str]) -> None:
        """Load a measurement of the chosen slide: a file, a folder, or counts with positions."""
        slide = self._workspace.slide
        self._without_positions = None
        if slide is None:
            self._view.work.say(NO_SLIDE)
        else:
            self._doing[slide.fingerprint] = read_measurement
            read = partial(read_measurement, paths, slide)
            self._view.work.start("Reading the measurement", read, partial(self._opened, slide.fingerprint))
        self._show()

    def _opened(self, fingerprint: str, outcome: MeasurementFiles | SlideMeasurement) -> None:
        if isinstance(outcome, MeasurementFiles):
            self._without_positions = outcome
        else:
            self._by_slide[fingerprint] = outcome
        self.update()

    @property
    def without_positions(self) -> MeasurementFiles | None:
        """Counts whose positions are being asked for."""
        return self._without_positions

    def give_positions(self, path: str) -> None:
        """Load the counts that wait for their positions."""
        if self._without_positions is not None:
            self.open([str(self._without_positions.expression), path])

    def move(self, frame: Frame) -> None:
        """Lay the spots elsewhere, while that is in doubt."""
        measurement = self.measurement
        if measurement is not None and not measurement.settled:
            measurement.frame = frame
            self.rings.move(*measurement.spots())

    def use(self) -> None:
        """Take the spots as they lie now."""
        if self.measurement is not None:
            self.measurement.use()
            self.update()

    def remove(self) -> None:
        """Put the measurement of this slide and its layers away."""
        self._without_positions = None
        if self._workspace.slide is not None:
            self._by_slide.pop(self._workspace.slide.fingerprint, None)
        if self._view.work.running:
            self._view.work.cancel()
        else:
            self._view.work.say("")
        self.update()

    def toggle_spots(self, on: bool) -> None:
        """Show or hide the measured spots."""
        self.want_spots = on
        self._toggle(self.spots, on)

    def toggle_difference(self, on: bool) -> None:
        """Show or hide predicted less measured."""
        self.want_difference = on
        self._toggle(self.difference, on)

    def _toggle(self, layer: SpotsLayer, on: bool) -> None:
        if layer.layer is not None and layer.present:
            layer.layer.visible = on
        elif on:
            self._draw()

    def show_gene_of_table(self, gene: str) -> None:
        """Show the gene of a row that was clicked."""
        self._workspace.state.request_gene(gene)

    # what changes elsewhere

    def slide_changed(self) -> None:
        """Show the measurement of another slide, or of this one in pixels of another size."""
        slide = self._workspace.slide
        fingerprint = None if slide is None else slide.fingerprint
        if fingerprint != self._fingerprint:
            self._fingerprint, self._without_positions = fingerprint, None
        elif slide is not None:
            for layer in (self.spots, self.difference, self.rings):
                layer.align(self._workspace.state.slide_layer, self._mpp())
        self.update()

    def update(self) -> None:
        """Show what is known of the chosen slide and model, and compare where that is to be done and in sight."""
        self._show()
        doing = self._doing.get(self._fingerprint or "")
        busy = self._view.work.running and doing in (read_measurement, (self.measurement, self._made_with()))
        if self._view.in_sight and self._missing() == "" and not busy:
            self.compare()

    def _gene_changed(self) -> None:
        self._follow_heatmap()
        self._show_gene()

    def _follow_heatmap(self) -> None:
        """Hear from the heatmap in sight when its colours change; it may be another layer by now."""
        layer = self._heatmap_layer()
        if layer is not self._heatmap:
            self._following.close()
            self._heatmap = layer
            if layer is not None:
                for name in ("contrast_limits", "colormap", "gamma"):
                    self._following.add(getattr(layer.events, name), self._colour_soon)
        self._view.colour_soon()

    def _colour_soon(self, event: object = None) -> None:
        self._view.colour_soon()

    def _close(self) -> None:
        for connections in (self._following, self._hearing, self._events):
            connections.close()

    # comparing

    def _made_with(self) -> MadeWith | None:
        """Tell the chosen model and pixel size from others; None where one is not known."""
        state = self._workspace.state
        if not state.ready or state.model_name is None or state.slide is None or state.slide.mpp is None:
            return None
        return state.model_name, self._workspace.services.stamp(state.model_name), state.slide.mpp

    def _mpp(self) -> float:
        slide = self._workspace.slide
        return float((slide and slide.mpp) or 1.0)

    def _missing(self) -> str | None:
        """Say what a comparison waits for; an empty text where nothing is missing, None where there is none to make."""
        measurement, slide = self.measurement, self._workspace.slide
        if measurement is None or slide is None or not measurement.settled or self.comparison is not None:
            return None
        if slide.mpp is None:
            return NO_MPP
        return NO_MODEL if self._made_with() is None else ""

    def compare(self) -> None:
        """Predict at the measured spots with the chosen model, and score each gene."""
        measurement, made_with = self.measurement, self._made_with()
        if measurement is None or made_with is None:
            return
        try:
            device = self._workspace.requests.whole_slide().device
            compare = partial(compare_at_spots, measurement, self._workspace.services, device)
            work = self._workspace.with_inputs(compare)
        except Nh2stError as error:
            self._view.work.say(str(error))
            return

        def keep(comparison: Comparison) -> None:
            measurement.comparison, measurement.made_with = comparison, made_with

        self._doing[self._fingerprint or ""] = measurement, made_with
        self._view.work.start("Predicting at the measured spots", work, keep, self._show)
        self._show()

    # what is shown

    def _show(self) -> None:
        measurement, missing = self.measurement, self._missing()
        self._tell_slide(measurement)
        asked = "" if self._without_positions is None else ASK_SPOTS.format(self._without_positions.expression.name)
        self._view.show_offer(
            Offer(
                hint=asked or missing or ("" if measurement is not None else DROP_HERE),
                why_not_load="" if self._workspace.slide is not None else NO_SLIDE,
                remove=measurement is not None or self._without_positions is not None,
                positions=self._without_positions is not None,
                compare=missing == "" and not self._view.work.running,
            )
        )
        self._show_frame(measurement if measurement is not None and not measurement.settled else None)
        self._view.show_result(self.comparison)
        if self._drawn is not self.comparison:
            self._redraw(self.comparison)

    def _tell_slide(self, measurement: SlideMeasurement | None) -> None:
        """Leave with the slide's layer how its measurement is read: the fine-tune dock takes it from there."""
        layer, slide = self._workspace.state.slide_layer, self._workspace.slide
        if slide is not None and layer is not None:
            settled = measurement is not None and measurement.settled
            change_role(layer, measurement=measurement.sample(slide) if settled and measurement else None)

    def _show_frame(self, measurement: SlideMeasurement | None) -> None:
        if measurement is None:
            self._view.show_frame("", None)
            self.rings.remove()
            return
        self._view.show_frame(f"{measurement.doubt} {ASK_FRAME}", measurement.frame)
        if not self.rings.present:
            title = "measured spots to align"
            self.rings.create(*measurement.spots(), self._workspace.state.slide_layer, self._mpp(), title)

    def _redraw(self, comparison: Comparison | None) -> None:
        """Draw another comparison, or none."""
        self._drawn, self._drawing = comparison, True
        self._hearing.close()
        self.spots.remove()
        self.difference.remove()
        self._drawing = False
        self._view.show_table(comparison)
        if comparison is None:
            self._view.show_gene("", None)
            return
        self._follow_heatmap()
        self._draw()
        self._show_gene()

    def _draw(self) -> None:
        """Bring out the layers that are wanted and not there."""
        comparison, measurement, state = self.comparison, self.measurement, self._workspace.state
        if comparison is None or measurement is None or state.slide_layer is None or state.slide is None:
            return
        facts = self._workspace.services.describe(state.slide)
        _, diameter = measurement.spots()
        for layer, wanted, what in (
            (self.spots, self.want_spots, "measured expression"),
            (self.difference, self.want_difference, "predicted less measured expression"),
        ):
            if wanted and not layer.present:
                layer.create(comparison.scored.centres, diameter, state.slide_layer, self._mpp(), layer.kind)
                assert layer.layer is not None
                change_role(layer.layer, provenance=measurement.provenance(what, facts, state.model_name))
                self._hearing.add(layer.layer.events.visible, self._tick_layers)
        self.colour()

    def _tick_layers(self, event: object = None) -> None:
        """Tick what is in sight: layers are hidden and deleted in the layer list too."""
        if self._drawn is not None and not self._drawing:
            self.want_spots, self.want_difference = self.spots.visible, self.difference.visible
            self._view.show_layers(self.want_spots, self.want_difference)

    def _show_gene(self) -> None:
        comparison, gene = self.comparison, self.gene
        if comparison is None:
            return
        values = comparison.values(gene)
        if values is None:
            self._view.show_gene(not_measured(comparison, gene) if gene else "", None)
        else:
            figures = comparison.figures["genes"][gene]
            title = f"{gene}: PCC {figures['pcc']:z.3f} ({figures['low']:z.3f} to {figures['high']:z.3f})"
            self._view.show_gene("", GeneDots(*values, title, comparison.same_unit))
        self.colour()

    def colour(self) -> None:
        """Give the spots the colours of the gene in sight."""
        comparison, gene = self.comparison, self.gene
        if comparison is None:
            return
        values, tip = comparison.values(gene), DIFFERENCE_TIP
        if values is None:
            title = f"{gene} · not measured"
            self.spots.colour(NOT_MEASURED, gene, title, {})
            self.difference.colour("transparent", gene, title, {})
        else:
            truth, predicted = values
            features = {"measured": truth, "predicted": predicted}
            colours = measured_colours(truth, self._on_its_scale(comparison, gene), self._workspace.state.style)
            self.spots.colour(colours, gene, f"{gene} · measured", features)
            if comparison.same_unit:
                colours, limit = difference_colours(predicted - truth)
                title = f"{gene} · predicted - measured"
                self.difference.colour(colours, gene, title, features | {"difference": predicted - truth})
                tip += f". The colours reach to {limit:z.2f} on both sides, {comparison.card.unit}"
        self._view.show_difference_offer(tip if comparison.same_unit else OTHER_UNIT, on=comparison.same_unit)

    def _heatmap_layer(self) -> Image | None:
        heatmap = self._workspace.heatmap
        return heatmap.layer if heatmap is not None and heatmap.present else None

    def _on_its_scale(self, comparison: Comparison, gene: str) -> Image | None:
        """Return the heatmap on whose limits the measured spots are drawn; None where it shows something else."""
        heatmap = self._workspace.heatmap
        if (
            heatmap is None
            or not comparison.same_unit
            or heatmap.map.card.unit != comparison.card.unit
            or heatmap.gene != gene
            or not heatmap.map.count
        ):
            return None
        return self._heatmap_layer()
