"""A prediction in memory: hidden vectors at places and the decoder that turns them into genes.

NumPy only: looking at another gene needs neither the model nor torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import TileSet
from napari_nh2st.model.card import Card
from napari_nh2st.model.decoder import Decoder
from napari_nh2st.model.find_genes import find_genes

_ROUNDING = 1e-4  # hidden vectors are float16


def is_constant(low: float, high: float) -> bool:
    """Tell whether predicted values between these ends (in label units) differ by no more than rounding."""
    return high - low <= _ROUNDING * max(1.0, abs(low))


@dataclass(frozen=True)
class Heatmap:
    """One gene as an image on the lattice.

    Attributes
    ----------
    values : (rows, columns) float32
        NaN where nothing was predicted.
    origin : (2,) tuple
        Centre (x, y) of the cell [0, 0], level-0 pixels.
    cell : float
        Side of a cell in level-0 pixels.
    """

    values: npt.NDArray[np.float32]
    origin: tuple[float, float]
    cell: float


@dataclass(eq=False)
class Prediction:
    """Predicted expression at the places of one slide.

    Attributes
    ----------
    places : TileSet
        The n places; with `grid` indices where they lie on the lattice.
    hidden : (n, h) float16
        Hidden vectors, NaN rows where a place was not predicted.
    decoder : Decoder
    card : Card
        The card of the model that predicted; `card.genes` names the decoder's rows.
    slide : dict
        ``path``, ``fingerprint``, ``mpp``, ``mpp_source`` and ``shape`` (height, width) of level 0.
    provenance : dict
        Model hash, device, precision, versions and the command that repeats the run.
    """

    places: TileSet
    hidden: npt.NDArray[np.float16]
    decoder: Decoder
    card: Card
    slide: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def genes(self) -> list[str]:
        """Symbols of the panel, in the decoder's order."""
        return self.card.genes

    def gene_indices(self, genes: str | Iterable[str] | None = None) -> list[int]:
        """Rows of the decoder for these genes, by any of their names (all of them by default).

        Raises
        ------
        UnknownGene
            As `find_genes`.
        """
        if genes is None:
            return list(range(len(self.genes)))
        rows = {g: i for i, g in enumerate(self.genes)}
        return [rows[g] for g in find_genes(self.card, genes)]

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """True where one of the n places carries a prediction, (n,) bool."""
        finite: npt.NDArray[np.bool_] = np.asarray(np.isfinite(self.hidden).all(axis=1))
        return finite

    def gene(self, gene: str) -> npt.NDArray[np.float32]:
        """Expression of one gene at the n places, (n,) float32 in `card.unit`, NaN where not predicted."""
        return self.decoder(self.hidden, self.gene_indices([gene]))[:, 0]

    def matrix(self, genes: str | Iterable[str] | None = None) -> npt.NDArray[np.float32]:
        """Expression (n, G) float32 of these genes, or of the whole panel."""
        return self.decoder(self.hidden, self.gene_indices(genes))

    def only_done(self) -> Prediction:
        """Return the part that is predicted."""
        keep = self.done
        return Prediction(
            self.places.select(keep), self.hidden[keep], self.decoder, self.card, self.slide, self.provenance
        )

    def heatmap(self, gene: str) -> Heatmap:
        """Lay one gene out on the lattice, cropped to the rows and columns that occur.

        Raises
        ------
        ValueError
            If the places do not lie on a lattice, or there are none.
        """
        grid = self.places.grid
        if grid is None or not len(self):
            raise ValueError("a heatmap needs places on the lattice")
        first, last = grid.min(axis=0), grid.max(axis=0)
        values = np.full(tuple(last - first + 1), np.nan, dtype=np.float32)
        row, column = (grid - first).T
        values[row, column] = self.gene(gene)
        cell = self.places.pitch * self.places.scale
        x, y = self.places.centres[0] - (grid[0] - first)[::-1] * cell
        return Heatmap(values, (float(x), float(y)), cell)
