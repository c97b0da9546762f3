"""A prediction in memory: hidden vectors at places and the decoder that turns them into genes.

NumPy only: looking at another gene needs neither the model nor torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.card import Card
from napari_nh2st.model.decoder import Decoder, ValuesDecoder
from napari_nh2st.model.find_genes import find_genes
from napari_nh2st.model.intervals import LEVEL, Intervals, activity_of
from napari_nh2st.slide_path import slide_stem

_ROUNDING = 1e-4  # hidden vectors are float16


def is_constant(low: float, high: float) -> bool:
    """Tell whether predicted values between these ends (in label units) differ by no more than rounding."""
    return high - low <= _ROUNDING * max(1.0, abs(low))


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        rows, columns = self.values.shape
        return f"Heatmap({rows} x {columns} cells of {self.cell:g} level-0 px)"

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The image's (left, right, bottom, top) in level-0 pixels, y down: `extent` of matplotlib's `imshow`."""
        rows, columns = self.values.shape
        left, top = self.origin[0] - self.cell / 2, self.origin[1] - self.cell / 2
        return left, left + columns * self.cell, top + rows * self.cell, top

    @property
    def transform(self) -> npt.NDArray[np.float64]:
        """The matrix (3, 3) that turns (column, row, 1) into (x, y, 1) in level-0 pixels.

        As with pixels of a slide, cell [r, c] covers columns [c, c + 1) and rows [r, r + 1): its centre is at
        (c + 0.5, r + 0.5).
        """
        left, _, _, top = self.extent
        return np.array([[self.cell, 0, left], [0, self.cell, top], [0, 0, 1]])


@dataclass(eq=False, repr=False)
class Prediction:
    """Predicted expression at the places of one slide.

    Attributes
    ----------
    places : TileSet
        The n places; with `grid` indices where they lie on the lattice.
    hidden : (n, h) float16
        Hidden vectors, NaN rows where a place was not predicted. Of a file of values, the values themselves, float32.
    decoder : Decoder
    card : Card
        The card of the model that predicted; `card.genes` names the decoder's rows.
    slide : dict
        ``path``, ``fingerprint``, ``mpp``, ``mpp_source`` and ``shape`` (height, width) of level 0.
    provenance : dict
        Model hash, device, precision, versions and the command that repeats the run.
    activity : (n,) float32 or None
        See `model.intervals`; kept where genes were left out, from which it follows.
    """

    places: TileSet
    hidden: npt.NDArray[np.floating[Any]]
    decoder: Decoder
    card: Card
    slide: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    activity: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.places)

    def __repr__(self) -> str:
        name = slide_stem(str(self.slide.get("path") or "")) or "no slide"
        done, genes = int(self.done.sum()), len(self.genes)
        values = f"{genes:,} genes in {self.card.unit}"
        return f"Prediction({name!r}, {done:,} of {len(self):,} places, {values}, model {self.card.name!r})"

    def __getitem__(self, genes: str | Iterable[str]) -> npt.NDArray[np.float32]:
        """Expression at the n places: of one gene (n,), of several (n, G); NaN where not predicted."""
        return self.gene(genes) if isinstance(genes, str) else self.matrix(genes)

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

    @property
    def outputs(self) -> list[str]:
        """Names of what is predicted beside the genes, such as the library size; see `output`."""
        return [] if isinstance(self.decoder, ValuesDecoder) else list(self.card.outputs)

    def output(self, name: str) -> npt.NDArray[np.float32]:
        """Return what is predicted beside the genes, (n,) float32 in ``card.outputs[name].unit``; NaN where nothing is.

        Raises
        ------
        Nh2stError
            If the model has no such output, or this is a file of genes' values without hidden vectors.
        """
        if name not in self.outputs:
            there = ", ".join(self.outputs) or "nothing beside its genes"
            raise Nh2stError(f"there is no output {name!r}: {self.card.name} predicts {there}")
        readout = self.card.outputs[name]
        weight = np.asarray(readout.weight, dtype=np.float32)
        values: npt.NDArray[np.float32] = self.hidden.astype(np.float32) @ weight + np.float32(readout.bias)
        return values

    def half_width(self, genes: str | Iterable[str], level: float = LEVEL) -> npt.NDArray[np.float32]:
        """Half-width of the interval round the prediction that claims to hold this share of measured values.

        Parameters
        ----------
        genes : str or iterable of str
        level : float
            0.8, 0.9 or 0.95.

        Returns
        -------
        (n,) float32 for one gene, (n, G) for several
            In `card.unit`; NaN where not predicted.

        Raises
        ------
        Nh2stError
            If the model has no intervals, or none of this level.
        """
        rows = self.gene_indices([genes] if isinstance(genes, str) else genes)
        intervals, activity = self._intervals()
        try:
            widths = intervals.half_widths(rows, activity, level)
        except ValueError as error:
            raise Nh2stError(str(error)) from error
        return widths[:, 0] if isinstance(genes, str) else widths

    def informative(self, gene: str, level: float = LEVEL) -> npt.NDArray[np.bool_]:
        """Tell where a gene's interval is narrower than the gene's spread over the training spots, (n,).

        Raises
        ------
        Nh2stError
            As `half_width`.
        """
        width = self.half_width(gene, level)
        narrower: npt.NDArray[np.bool_] = width < self._intervals()[0].spread(self.gene_indices([gene]), level)
        return narrower

    def _intervals(self) -> tuple[Intervals, npt.NDArray[np.float32]]:
        intervals, why = self.card.intervals, self.card.why_no_intervals
        if intervals is None or (why and self.activity is None):
            raise Nh2stError(why)
        if self.activity is not None:
            return intervals, self.activity
        return intervals, activity_of(self.hidden, self.decoder, self.card)

    def at(self, points: npt.ArrayLike, genes: str | Iterable[str] | None = None) -> npt.NDArray[np.float32]:
        """Expression at points: the value of the tile that holds each, NaN where there is none.

        Parameters
        ----------
        points : (m, 2) array
            (x, y) in level-0 pixels.
        genes : str or iterable of str, optional
            The whole panel by default.

        Returns
        -------
        (m,) float32 for one gene, (m, G) for several
        """
        index = self.places.holding(points)
        hidden = self.hidden[index] if len(self) else np.empty((len(index), self.hidden.shape[1]), np.float16)
        hidden[index < 0] = np.nan
        values = self.decoder(hidden, self.gene_indices(genes))
        return values[:, 0] if isinstance(genes, str) else values

    def only_done(self) -> Self:
        """Return the part that is predicted."""
        return self.select(self.done)

    def select(self, keep: npt.NDArray[Any]) -> Self:
        """Return the part at some places: a mask (n,), or indices."""
        activity = None if self.activity is None else self.activity[keep]
        return replace(self, places=self.places.select(keep), hidden=self.hidden[keep], activity=activity)

    def only_genes(self, genes: Sequence[str]) -> Self:
        """Return the part with these genes of the panel, by their symbols, in this order."""
        if list(genes) == self.genes:
            return self
        decoder = self.decoder.only(self.gene_indices(genes))
        activity = self.activity
        if activity is None and not self.card.why_no_intervals:
            activity = activity_of(self.hidden, self.decoder, self.card)
        return replace(self, card=self.card.only(genes), decoder=decoder, activity=activity)

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
