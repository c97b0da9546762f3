"""The layer of what the surroundings change: the prediction less the prediction without them. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.viewer.kit.phrases import signed
from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.heatmap import CORNER, HEATMAP_LOOK
from napari_nh2st.viewer.layers.roles import KEY, Kind, MapRole, change_role, gene_of, provenance_of, role_of
from napari_nh2st.viewer.layers.stacking import place
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_nh2st.geometry import IntArray

UNIT_OVERLAY = "nh2st_effect_unit"
# Blue lowers, orange raises: told apart by colour-blind eyes, and neither is a colour of the stain.
LOWER, NEITHER, RAISE = "#1f5fae", "#f7f7f7", "#d9730d"
_COLOURS = ("#08306b", LOWER, "#9ecae1", NEITHER, "#fdc77a", RAISE, "#7f3b08")
_FLAT = 1e-4  # less than this is the rounding of hidden vectors


class ContextEffect:
    """The hidden vectors of a map's cells, predicted as if there were no tissue round them.

    Attributes
    ----------
    map : PredictedMap
        As it is predicted, with surroundings.
    alone : PredictedMap
        The same lattice without them; filled for fewer cells, as a rule.
    """

    def __init__(self, shown: PredictedMap) -> None:
        self.map = shown
        self.alone = PredictedMap(shown.slide, shown.card, shown.decoder, scale=shown.scale, pitch=shown.pitch)

    @property
    def missing(self) -> IntArray:
        """Cells that are predicted, and not yet without their surroundings."""
        done = np.flatnonzero(self.map.done)
        return done[self.alone.missing(done)]

    def values(self, gene: str, cells: IntArray | None = None) -> npt.NDArray[np.float32]:
        """Return what the surroundings add to a gene: (rows, columns), or (k,); NaN where that is not computed.

        Raises
        ------
        KeyError
            If the model does not predict the gene.
        """
        if cells is not None:
            return self.map.values(gene, cells) - self.alone.values(gene, cells)
        out = self.map.values(gene) - self.alone.values(gene)
        out[~self.map.done.reshape(out.shape)] = np.nan  # a quick look is no prediction
        return out

    def words(self, gene: str, cell: IntArray) -> str:
        """Say what the surroundings of one cell add, empty where that is not computed."""
        value = float(self.values(gene, cell)[0])
        return "" if np.isnan(value) else f"{signed(value)} from its surroundings"


@dataclass(frozen=True, eq=False, kw_only=True)
class EffectRole(MapRole):
    """The context effect of a map."""

    effect: ContextEffect


def effect_of(layer: Any) -> ContextEffect | None:
    """Return the ContextEffect behind a layer, if it shows one."""
    role = role_of(layer)
    return role.effect if isinstance(role, EffectRole) else None


def symmetric_limit(values: npt.NDArray[Any]) -> float:
    """Return how far the colours reach on both sides of 0: the 99th percentile of how large the values are."""
    sizes = np.abs(values[np.isfinite(values)])
    limit = float(np.percentile(sizes, 99)) if sizes.size else 0.0
    if limit <= _FLAT:  # a few cells differ from all the others
        limit = float(sizes.max(initial=0.0))
    return limit if limit > _FLAT else 0.5


class EffectLayer:
    """The one Image layer of a ContextEffect; the user may rename, move, hide or delete it at any time."""

    def __init__(self, viewer: ViewerModel, effect: ContextEffect) -> None:
        self.effect = effect
        self.layer: Image | None = None
        self.gene = ""
        self._viewer = viewer
        self._name = ""
        self._limit = 0.0
        viewer.layers.events.removed.connect(self._label)

    @property
    def visible(self) -> bool:
        """Whether the layer is there and not hidden."""
        return self.present and self.layer is not None and bool(self.layer.visible)

    @property
    def present(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    def show(self, gene: str, slide_layer: Layer | None) -> None:
        """Draw a gene and bring the layer out, back if it was deleted."""
        if not self.present:
            self._create(slide_layer)
        assert self.layer is not None
        self.layer.visible = True
        self.draw(gene)

    def draw(self, gene: str) -> None:
        """Draw a gene; a layer that was deleted stays away."""
        if self.layer is None or not self.present or gene not in self.effect.map.card.genes:
            return
        values = self.effect.values(gene)
        self.layer.data[...] = values
        by_hand = gene == self.gene and not np.allclose(self.layer.contrast_limits, (-self._limit, self._limit))
        self.gene = gene
        change_role(self.layer, gene=gene)
        if not by_hand:
            self._limit = symmetric_limit(values)
            ends = max(self._limit, float(np.nanmax(np.abs(values), initial=0.0)))
            with self.layer.events.contrast_limits.blocker():  # else the colour bar is laid out twice
                self.layer.contrast_limits_range = (-ends, ends)
            self.layer.contrast_limits = (-self._limit, self._limit)
        if self.layer.name == self._name:  # else the user gave it a name: it stays
            self.layer.name = self._wanted_name()
            self._name = self.layer.name
        self.layer.refresh(extent=False, thumbnail=False, highlight=False)
        self._label()

    def hide(self) -> None:
        """Put the layer out of sight."""
        if self.layer is not None and self.present:
            self.layer.visible = False

    def _create(self, slide_layer: Layer | None) -> None:
        from napari.layers import Image
        from napari.utils import Colormap

        shown = self.effect.map
        self._name = self._wanted_name()
        self.layer = Image(
            np.full((shown.rows, shown.columns), np.nan, dtype=np.float32),
            name=self._name,
            contrast_limits=(-0.5, 0.5),
            metadata={KEY: self._role()},
            **{**HEATMAP_LOOK, "colormap": Colormap(_COLOURS, name="blue to orange"), "opacity": 0.8},
            **map_frame(shown.cell, shown.origin, float(shown.slide["mpp"]), slide_layer),
        )
        self.gene = ""
        place(self._viewer, self.layer)
        self._name = self.layer.name  # napari numbers a name that is taken
        self.layer.colorbar.position = CORNER
        self.layer.colorbar.visible = True
        self.layer.events.visible.connect(self._label)

    def _role(self) -> EffectRole:
        shown = self.effect.map
        return EffectRole(
            kind=Kind.EFFECT,
            fingerprint=shown.slide.get("fingerprint"),
            map=shown,
            effect=self.effect,
            provenance=provenance_of(shown, "predicted with surroundings less without"),
        )

    def _wanted_name(self) -> str:
        return f"{self.gene or 'gene'}, context effect ({self.effect.map.card.name})"

    def _label(self, event: Any = None) -> None:
        """Write the gene in sight and the unit beside the colour bar."""
        from napari.components.overlays import TextOverlay

        overlays = self._viewer.canvas.overlays
        shown = [layer for layer in self._viewer.layers if layer.visible and effect_of(layer) is not None]
        if UNIT_OVERLAY not in overlays:
            overlays[UNIT_OVERLAY] = TextOverlay(position=CORNER, box=True, font_size=9)
        if shown:
            effect = effect_of(shown[-1])
            assert effect is not None
            said = f"{gene_of(shown[-1])}, what the surroundings add\n{effect.map.card.unit}"
            overlays[UNIT_OVERLAY].text = said
        overlays[UNIT_OVERLAY].visible = bool(shown)
