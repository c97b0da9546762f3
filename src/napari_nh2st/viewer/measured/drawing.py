"""The spots of a comparison on the slide: measured ones, their difference from the prediction, their colours. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.analysis.measured import Comparison
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.layers.roles import Kind, change_role
from napari_nh2st.viewer.layers.spots import (
    NOT_MEASURED,
    SAME_COLOURS,
    SpotsLayer,
    difference_colours,
    difference_key,
    measured_colours,
    measured_key,
)
from napari_nh2st.viewer.measured.measurement import SlideMeasurement
from napari_nh2st.viewer.measured.messages import DIFFERENCE_TIP, OTHER_UNIT, not_measured
from napari_nh2st.viewer.measured.spot_table import spot_table
from napari_nh2st.viewer.measured.view import GeneDots, MeasuredView
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.state.dock_state import first_gene

if TYPE_CHECKING:
    from napari.layers import Image


class SpotDrawing:
    """Draws one comparison for the gene in sight, in step with the heatmap's colours.

    Attributes
    ----------
    spots, difference : SpotsLayer
        What was measured, and predicted less measured.
    want_spots, want_difference : bool
        Whether the person wants these layers.
    """

    def __init__(self, workspace: Workspace, view: MeasuredView) -> None:
        self._workspace, self._view = workspace, view
        self._comparison: Comparison | None = None
        self._measurement: SlideMeasurement | None = None
        self._drawing = False
        self._heatmap: Image | None = None
        self._following, self._hearing, self._events = Connections(), Connections(), Connections()
        self.want_spots, self.want_difference = True, False
        self._displaced = False  # the difference took the place of the measured spots
        self.spots = SpotsLayer(workspace.viewer, Kind.MEASURED)
        self.difference = SpotsLayer(workspace.viewer, Kind.DIFFERENCE)
        self._events.add(workspace.viewer.layers.events.removed, self._tick_layers)
        state = workspace.state
        state.map_chosen.connect(self._follow_heatmap)
        state.events.gene.connect(self._gene_changed)
        state.style.when_restyled(view.colour_soon)
        state.events.limits.connect(view.colour_soon)
        workspace.when_closing(self._close)

    @property
    def gene(self) -> str:
        """The gene in sight."""
        comparison = self._comparison
        return self._workspace.state.gene or (first_gene(comparison.card) if comparison is not None else "")

    def show(self, comparison: Comparison | None, measurement: SlideMeasurement | None) -> None:
        """Draw another comparison, or none."""
        if comparison is self._comparison:
            return
        self._comparison, self._measurement, self._drawing = comparison, measurement, True
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

    def align(self) -> None:
        """Follow the slide's layer, whose pixels have got another size."""
        slide_layer, slide = self._workspace.state.slide_layer, self._workspace.slide
        if slide_layer is not None and slide is not None:
            for layer in (self.spots, self.difference):
                layer.align(slide_layer, float(slide.mpp or 1.0))

    def toggle_spots(self, on: bool) -> None:
        """Show or hide the measured spots; they and the difference lie on the same places: only one can be seen."""
        self._displaced = False
        if on and self.want_difference:
            self._show_difference(False)
        self._show_spots(on)

    def toggle_difference(self, on: bool) -> None:
        """Show or hide predicted less measured, in the place of the measured spots."""
        if on:
            self._displaced = self.want_spots
            self._show_spots(False)
        self._show_difference(on)
        if not on and self._displaced:
            self._show_spots(True)

    def _show_spots(self, on: bool) -> None:
        self.want_spots = on
        self._toggle(self.spots, on)
        self._view.show_layers(self.want_spots, self.want_difference)

    def _show_difference(self, on: bool) -> None:
        self.want_difference = on
        self._toggle(self.difference, on)
        self._view.show_layers(self.want_spots, self.want_difference)

    def _toggle(self, layer: SpotsLayer, on: bool) -> None:
        if layer.layer is not None and layer.present:
            layer.layer.visible = on
        elif on:
            self._draw()

    def _gene_changed(self) -> None:
        self._follow_heatmap()
        self._show_gene()

    def _follow_heatmap(self) -> None:
        """Hear from the heatmap in sight when its colours change; it may be another layer by now."""
        layer = self._heatmap_layer()
        if layer != self._heatmap:
            self._following.close()
            self._heatmap = layer
            if layer is not None:
                for name in ("contrast_limits", "colormap", "gamma", "visible"):
                    self._following.add(getattr(layer.events, name), self._colour_soon)
        self._view.colour_soon()

    def _colour_soon(self, event: object = None) -> None:
        self._view.colour_soon()

    def _close(self) -> None:
        for connections in (self._following, self._hearing, self._events):
            connections.close()

    def _draw(self) -> None:
        """Bring out the layers that are wanted and not there."""
        comparison, measurement, state = self._comparison, self._measurement, self._workspace.state
        if comparison is None or measurement is None or state.slide_layer is None or state.slide is None:
            return
        facts = self._workspace.services.describe(state.slide)
        (_, diameter), mpp = measurement.spots(), float(state.slide.mpp or 1.0)
        for layer, wanted, what in (
            (self.spots, self.want_spots, "measured expression"),
            (self.difference, self.want_difference, "predicted less measured expression"),
        ):
            if wanted and not layer.present:
                layer.create(comparison.scored.centres, diameter, state.slide_layer, mpp, layer.kind)
                assert layer.layer is not None
                provenance = measurement.provenance(what, facts, state.model_name)
                card = comparison.card
                change_role(layer.layer, provenance=provenance, unit=card.unit, measured_unit=card.target.unit)
                layer.layer.metadata.update(spot_table(comparison))
                self._hearing.add(layer.layer.events.visible, self._tick_layers)
        self.colour()

    def _tick_layers(self, event: object = None) -> None:
        """Tick what is in sight: layers are hidden and deleted in the layer list too."""
        if self._comparison is not None and not self._drawing:
            self.want_spots, self.want_difference = self.spots.visible, self.difference.visible
            self._view.show_layers(self.want_spots, self.want_difference)

    def _show_gene(self) -> None:
        comparison, gene = self._comparison, self.gene
        if comparison is None:
            return
        values = comparison.values(gene)
        if values is None:
            self._view.show_gene(not_measured(comparison, gene) if gene else "", None)
        else:
            figures = comparison.figures["genes"][gene]
            title = f"{gene}: PCC {figures['pcc']:z.2f} ({figures['low']:z.2f} to {figures['high']:z.2f})"
            self._view.show_gene("", GeneDots(*values, title, comparison.card.target.unit, comparison.same_unit))
        self.colour()

    def colour(self) -> None:
        """Give the spots the colours of the gene in sight."""
        comparison, gene = self._comparison, self.gene
        if comparison is None:
            return
        values, tip = comparison.values(gene), DIFFERENCE_TIP
        if values is None:
            title = f"{gene} · not measured"
            self.spots.colour(NOT_MEASURED, gene, title, {})
            self.difference.colour("transparent", gene, title, {})
        else:
            (truth, predicted), unit = values, comparison.card.target.unit
            features = {"measured": truth, "predicted": predicted}
            heatmap, style = self._on_its_scale(comparison, gene), self._workspace.state.style
            colours = measured_colours(truth, heatmap, style)
            beside_bar = heatmap is not None and heatmap.visible
            key = SAME_COLOURS if beside_bar else measured_key(gene, truth, unit, heatmap, style)
            self.spots.colour(colours, gene, f"{gene} · measured", features, key)
            if comparison.same_unit:
                colours, limit = difference_colours(predicted - truth)
                title = f"{gene} · difference"
                features = features | {"difference": predicted - truth}
                self.difference.colour(colours, gene, title, features, difference_key(gene, limit, unit))
                tip += f". Full colour from {limit:z.2f} {comparison.card.unit}"
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
