"""The layer of what the surroundings change: the prediction less the prediction without them. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.formats.limits import Limits
from napari_nh2st.viewer.kit.phrases import signed
from napari_nh2st.viewer.layers.map_layer import Later, Look, at_once
from napari_nh2st.viewer.layers.roles import Kind, MapRole, provenance_of, role_of
from napari_nh2st.viewer.layers.tile_values import TileValues
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_nh2st.geometry import IntArray

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

    def __init__(self, prediction_map: PredictedMap) -> None:
        self.map = prediction_map
        of = prediction_map.slide, prediction_map.card, prediction_map.decoder
        self.alone = PredictedMap(*of, scale=prediction_map.scale, pitch=prediction_map.pitch)

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
        out[~self.map.done.reshape(out.shape)] = np.nan  # a quick preview is no prediction
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


def blue_to_orange() -> Any:
    """Return the colormap of what may lie on both sides of 0."""
    from napari.utils import Colormap

    return Colormap(_COLOURS, name="blue to orange")


class EffectLayer(TileValues):
    """The layer of a ContextEffect."""

    def __init__(self, viewer: ViewerModel, effect: ContextEffect, later: Later = at_once) -> None:
        role = EffectRole(
            kind=Kind.EFFECT,
            fingerprint=effect.map.slide.get("fingerprint"),
            map=effect.map,
            effect=effect,
            title="context effect",
            provenance=provenance_of(effect.map, "predicted with surroundings less without"),
        )
        super().__init__(viewer, role, Look(blue_to_orange()), later)
        self.effect = effect

    def draw_gene(self, gene: str) -> None:
        """Draw a gene; a layer that was deleted stays away."""
        if not self.present or gene not in self.map.card.genes:
            return
        values = self.effect.values(gene)
        limit = symmetric_limit(values)
        label = f"{gene}, what the surroundings add\n{self.map.card.unit}"
        self.draw(values, Limits(-limit, limit), gene=gene, label=label)
        self.retitle(f"{gene} · context effect")
