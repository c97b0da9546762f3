"""Up to three genes in one image, each in a colour of its own, with a legend on the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.formats.limits import Limits, limits_of
from napari_nh2st.geometry import IntArray
from napari_nh2st.viewer.layers.changes import Changes
from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.legend import Lines, give_legend
from napari_nh2st.viewer.layers.roles import KEY, Kind, map_role
from napari_nh2st.viewer.layers.stacking import place
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

# Told apart by the common kinds of colour-blind eyes and seen on H&E (tests measure it); white only all together.
COLOURS: tuple[tuple[str, str], ...] = (("orange", "#ff5a00"), ("green", "#00e08a"), ("blue", "#0a1aff"))
_WRITING = 0.35  # of white: dark blue could not be read on the legend's dark ground
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


def composite_name(genes: Sequence[str], shown: PredictedMap) -> str:
    """Name a composite so that it cannot be taken for a measurement."""
    return f"{' + '.join(genes)}, predicted ({shown.card.name}{', fine' if shown.fine else ''})"


class Composite:
    """The layer of a composite, kept in step with its map.

    The user may rename, move, hide or delete the layer at any time; a deleted one stays away.

    Attributes
    ----------
    genes, colours : list of str
        What is mixed, in the same order.
    limits : list of Limits
        Each gene's 1 to 99 percentile.
    """

    def __init__(
        self, viewer: ViewerModel, shown: PredictedMap, genes: Sequence[str], colours: Sequence[str], slide_layer: Any
    ) -> None:
        from napari.layers import Image

        self.viewer, self.map = viewer, shown
        self.genes, self.colours = list(genes), list(colours)
        self._changes = Changes(shown)
        self._changes.take()
        self._values = [_known(shown, gene) for gene in genes]
        self._fitted = 0
        self.limits: list[Limits] = []
        self.layer: Image = Image(
            np.zeros((shown.rows, shown.columns, 4), dtype=np.uint8),
            rgb=True,
            name=composite_name(genes, shown),
            opacity=0.8,
            metadata={KEY: map_role(Kind.COMPOSITE, shown, "predicted expression of several genes", genes=self.genes)},
            **map_frame(shown.cell, shown.origin, float(shown.slide["mpp"]), slide_layer),
        )
        self._fit()
        place(viewer, self.layer)
        give_legend(viewer, self.layer, self._lines())

    @property
    def present(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer in self.viewer.layers

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
        for gene, values in zip(self.genes, self._values, strict=True):
            values.reshape(-1)[cells] = self.map.values(gene, cells)
        before = self.limits
        if (final and self.map.count != self._fitted) or self.map.count > _GROWN * self._fitted:
            self._fit()
        elif len(cells):
            self._draw(cells)
        if self.limits != before:
            give_legend(self.viewer, self.layer, self._lines())
        return self.limits != before

    def remove(self) -> None:
        """Take the layer away."""
        if self.present:
            self.viewer.layers.remove(self.layer)

    def _fit(self) -> None:
        """Fit the limits to what is predicted, and draw it all."""
        self._fitted = self.map.count
        self.limits = [limits_of(values) for values in self._values]
        self.layer.data[...] = mix(self._values, self.limits, self.colours)
        self._refresh()

    def _draw(self, cells: IntArray) -> None:
        parts = [values.reshape(-1)[cells] for values in self._values]
        self.layer.data.reshape(-1, 4)[cells] = mix(parts, self.limits, self.colours)
        self._refresh()

    def _refresh(self) -> None:
        self.layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _lines(self) -> Lines:
        """Say what each gene's faintest and fullest colour stand for."""
        ends = zip(self.genes, self.limits, self.colours, strict=True)
        genes = [(f"■ {gene}  {limits_words(limits)}", _lighter(colour)) for gene, limits, colour in ends]
        return [(f"predicted, {self.map.card.unit}", None), *genes]


def _lighter(colour: str) -> str:
    return "#" + "".join(f"{round(part + _WRITING * (255 - part)):02x}" for part in _rgb(colour))


def limits_words(limits: Limits) -> str:
    """Write what colours span."""
    return limits.note or f"{limits.low:.2f} to {limits.high:.2f}"


def _known(shown: PredictedMap, gene: str) -> npt.NDArray[np.float32]:
    """Return a gene on the whole lattice, without a quick look."""
    values = shown.values(gene)
    values.reshape(-1)[~shown.done] = np.nan
    return values
