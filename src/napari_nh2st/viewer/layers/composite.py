"""Up to three genes in one image, each in a colour of its own, with a legend on the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.formats.limits import Limits, limits_of
from napari_nh2st.viewer.layers.changes import Changes
from napari_nh2st.viewer.layers.map_layer import Later, Look, MapLayer, at_once
from napari_nh2st.viewer.layers.roles import Kind, Line, map_role
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

# Told apart by the common kinds of colour-blind eyes and seen on H&E (tests measure it); white only all together.
COLOURS: tuple[tuple[str, str], ...] = (("orange", "#ff5a00"), ("green", "#00e08a"), ("blue", "#0a1aff"))
_GROWN = 1.1  # limits follow when a tenth more is predicted, as those of a heatmap


def mix(
    values: Sequence[npt.NDArray[np.float32]], limits: Sequence[Limits], colours: Sequence[str]
) -> npt.NDArray[np.uint8]:
    """Mix genes into colours.

    Each gene goes from 0 at its lower limit to 1 at its upper one; one that is the same everywhere stays at 0. The
    colours are added with these as weights; the strongest gene says how opaque a cell is, so that tissue where all are
    low stays as it is.

    Parameters
    ----------
    values : sequence of (...) float32
        One array a gene, NaN where nothing is predicted.
    limits : sequence of Limits
    colours : sequence of str
        "#rrggbb".

    Returns
    -------
    (..., 4) uint8, red, green, blue and alpha, not premultiplied
    """
    strengths = []
    for each, ends in zip(values, limits, strict=True):
        reach = 0.0 if ends.note else 1 / (ends.high - ends.low)
        part = (each - np.float32(ends.low)) * np.float32(reach)
        strengths.append(np.nan_to_num(np.clip(part, 0, 1, out=part), copy=False))
    most = np.maximum.reduce(strengths)
    full = np.float32(255) / np.maximum(most, np.float32(1e-6))
    out = np.empty((*most.shape, 4), dtype=np.uint8)
    for channel in range(3):
        shares = [np.float32(_rgb(colour)[channel] / 255) for colour in colours]
        added = sum(part * share for part, share in zip(strengths, shares, strict=True) if share)
        out[..., channel] = np.minimum(added * full, 255)
    out[..., 3] = most * 255
    return out


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


class Composite(MapLayer):
    """The layer of a composite, kept in step with its map.

    Attributes
    ----------
    genes, colours : list of str
        What is mixed, in the same order.
    gene_limits : list of Limits
        Each gene's 1 to 99 percentile.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        prediction_map: PredictedMap,
        genes: Sequence[str],
        colours: Sequence[str],
        later: Later = at_once,
    ) -> None:
        self.genes, self.colours = list(genes), list(colours)
        what, title = "predicted expression of several genes", f"{' + '.join(genes)} · predicted"
        role = map_role(Kind.COMPOSITE, prediction_map, what, title=title, genes=self.genes)
        super().__init__(viewer, role, Look(bar=False), later)
        self.values = np.zeros((self.map.rows, self.map.columns, 4), dtype=np.uint8)
        self._changes = Changes(self.map)
        self._changes.take()
        self._predicted = [_predicted_values(self.map, gene) for gene in genes]
        self._fitted = 0
        self.gene_limits: list[Limits] = []
        self._fit()
        self.bring()

    def update(self, *, final: bool = False) -> bool:
        """Draw what has come since the last time, and return whether the limits have changed.

        Parameters
        ----------
        final : bool
            Nothing more is coming: the limits are those of all that is there.
        """
        if not self.present:
            return False
        cells = self._changes.take()
        for gene, values in zip(self.genes, self._predicted, strict=True):
            values.reshape(-1)[cells] = self.map.values(gene, cells)
        before = self.gene_limits
        if (final and self.map.count != self._fitted) or self.map.count > _GROWN * self._fitted:
            self._fit()
        elif len(cells):
            parts = [values.reshape(-1)[cells] for values in self._predicted]
            self.put(cells, mix(parts, self.gene_limits, self.colours))
            self.show_values()
        return self.gene_limits != before

    def _fit(self) -> None:
        """Fit the limits to what is predicted, and draw it all."""
        self._fitted = self.map.count
        self.gene_limits = [limits_of(values) for values in self._predicted]
        self.values[...] = mix(self._predicted, self.gene_limits, self.colours)
        self.show_values()
        self.describe(legend=self._lines())

    def _make(self, **common: Any) -> Layer:
        from napari.layers import Image

        return Image(self.values, rgb=True, opacity=self.look.opacity, **common)

    def _lines(self) -> tuple[Line, ...]:
        """Say what each gene's faintest and fullest colour stand for."""
        ends = zip(self.genes, self.gene_limits, self.colours, strict=True)
        genes = [(f"{gene}  {limits_words(limits)}", colour) for gene, limits, colour in ends]
        return ((f"predicted, {self.map.card.unit}", None), *genes)


def limits_words(limits: Limits) -> str:
    """Write what colours span."""
    return limits.note or f"{limits.low:z.2f} to {limits.high:z.2f}"


def _predicted_values(prediction_map: PredictedMap, gene: str) -> npt.NDArray[np.float32]:
    """Return a gene on the whole lattice, without a quick preview."""
    values = prediction_map.values(gene)
    values.reshape(-1)[~prediction_map.done] = np.nan
    return values
