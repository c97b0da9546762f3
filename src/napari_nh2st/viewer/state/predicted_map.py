"""Everything predicted so far for one slide with one model at one detail: a slide-wide lattice that fills up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.analysis.anchors import KEY as ANCHORS
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.engine.store import DAMAGED, EMPTY, PREDICTED
from napari_nh2st.geometry import Box, IntArray, TileSet
from napari_nh2st.model.card import Card
from napari_nh2st.model.decoder import Decoder
from napari_nh2st.model.intervals import activity_of

BLOCK = 32  # cells per side of what is allocated, and dropped, at once

Index = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Preview:
    """A quick look: a few places stand for the cells around them. Never counted, never exported.

    Attributes
    ----------
    cells : (n,) int64
        Flat indices of the cells that it covers.
    owner : (n,) int64
        Which row of `hidden` stands for each of them.
    hidden : (m, h) float16
    """

    cells: IntArray
    owner: IntArray
    hidden: npt.NDArray[np.float16]


@dataclass(frozen=True)
class MadeWith:
    """Everything that tells a map from others, so that another dock can go on with it.

    Attributes
    ----------
    model : str
        Name or folder, as it was chosen.
    stamp : int
        Of the model's weights.
    pitch : int or None
        As it was asked for; None is the model's own, coarse.
    more : tuple
        What else tells it from other maps of its slide.
    """

    model: str
    stamp: int
    pitch: int | None
    more: tuple[object, ...]


class PredictedMap:
    """Hidden vectors on the lattice of a slide.

    One map covers the whole slide, so that panning, predicting again and a second region fill the same heatmap.
    A cell is named by its flat index, ``row * columns + column``. Memory is taken where something is predicted
    and nowhere else: at fine detail a slide has millions of cells.

    Parameters
    ----------
    slide : dict
        ``path``, ``fingerprint``, ``mpp``, ``mpp_source`` and ``shape`` (height, width) of level 0.
    card, decoder : Card, Decoder
        Of the model that predicts.
    scale : float
        Level-0 pixels per model pixel.
    pitch : int
        Distance between cells, model pixels.
    provenance : dict
        Goes into every file that is exported.
    values_only : bool
        Hidden vectors are the values of the genes, float32, as a file of values has them: no model continues them.
    """

    def __init__(
        self,
        slide: dict[str, Any],
        card: Card,
        decoder: Decoder,
        *,
        scale: float,
        pitch: int,
        provenance: dict[str, Any] | None = None,
        values_only: bool = False,
    ) -> None:
        self.values_only = values_only
        self.slide, self.card, self.decoder = slide, card, decoder
        self.provenance = provenance or {}
        self.scale, self.pitch = scale, pitch
        # as TileSet.lattice has it, without laying out millions of tiles
        self.rows, self.columns = (max(0, int(np.ceil((v / scale - card.patch / 2) / pitch))) for v in slide["shape"])
        if not self.rows * self.columns:
            raise ValueError("the slide is smaller than one tile of this model")
        self._state = np.zeros((self.rows, self.columns), dtype=np.uint8)
        self._blocks: OrderedDict[Index, npt.NDArray[np.floating[Any]]] = OrderedDict()  # the last seen come last
        self.count = 0
        self.made_with: MadeWith | None = None  # not known of one from a file
        self.opened_from: Path | None = None
        self.preview: Preview | None = None

    @classmethod
    def of(cls, prediction: Prediction) -> PredictedMap:
        """Lay a stored prediction out on its slide's lattice.

        Raises
        ------
        ValueError
            If its places do not lie on the lattice.
        """
        places = prediction.places
        if places.grid is None:
            raise ValueError("this prediction was made at given spots, not on a lattice: no heatmap")
        made = cls(
            prediction.slide,
            prediction.card,
            prediction.decoder,
            scale=places.scale,
            pitch=places.pitch,
            provenance=prediction.provenance,
            values_only=prediction.hidden.dtype == np.float32,
        )
        made.add(made.cells(places), prediction.hidden)
        return made

    @property
    def fine(self) -> bool:
        """True if cells are smaller than the tiles that the model looks at."""
        return self.pitch < self.card.patch

    @property
    def correction(self) -> str:
        """The correction of this map, in words; empty where it is as the model predicts it."""
        count = self.provenance.get(ANCHORS, {}).get("count")
        return f"corrected with {count} spots" if count else ""

    @property
    def cell(self) -> float:
        """Side of a cell, level-0 pixels."""
        return self.pitch * self.scale

    @property
    def origin(self) -> tuple[float, float]:
        """Centre (x, y) of the first cell, level-0 pixels."""
        first = self.card.patch / 2 * self.scale
        return first, first

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """Mask of the predicted cells, (rows * columns,)."""
        found: npt.NDArray[np.bool_] = (self._state == PREDICTED).ravel()
        return found

    @property
    def nbytes(self) -> int:
        """Memory that the hidden vectors take."""
        return len(self._blocks) * BLOCK * BLOCK * self.bytes_per_cell

    @property
    def bytes_per_cell(self) -> int:
        """Memory of one hidden vector."""
        return self._type.itemsize * self.decoder.width

    @property
    def _type(self) -> np.dtype[Any]:
        return np.dtype(np.float32 if self.values_only else np.float16)

    def tiles(self, cells: IntArray | None = None) -> TileSet:
        """Return the places of some cells, of all of them by default."""
        flat = np.arange(self._state.size) if cells is None else cells
        grid = np.stack(np.divmod(flat, self.columns), axis=1)
        centres = (grid[:, ::-1].astype(np.float64) * float(self.pitch) + self.card.patch / 2) * self.scale
        return TileSet(centres, self.scale, self.pitch, grid)

    def cells(self, places: TileSet) -> IntArray:
        """Return the flat index of each of these places of the same lattice.

        Raises
        ------
        ValueError
            If a place lies outside the lattice.
        """
        if places.grid is None or (len(places) and (places.grid >= (self.rows, self.columns)).any()):
            raise ValueError("these places do not lie on the slide's lattice")
        flat: IntArray = places.grid[:, 0] * self.columns + places.grid[:, 1]
        return flat

    def missing(self, cells: IntArray) -> npt.NDArray[np.bool_]:
        """Tell which cells were never tried. Where the file is damaged, trying again would not help."""
        empty: npt.NDArray[np.bool_] = self._state.ravel()[cells] == EMPTY
        return empty

    def add(self, cells: IntArray, hidden: npt.NDArray[Any]) -> None:
        """Fill cells with hidden vectors (k, h), NaN where the file is damaged."""
        state = self._state.reshape(-1)
        good = np.isfinite(hidden[:, 0])  # a row is there whole or not at all
        self.count += int(good.sum()) - int((state[cells] == PREDICTED).sum())
        state[cells] = np.where(good, PREDICTED, DAMAGED)
        for index, inside, mine in self._by_block(cells):
            self._block(index)[inside] = hidden[mine]

    def seen(self, box: Box) -> None:
        """Remember that this part (level-0 pixels) is being looked at: it is dropped last."""
        side, corner = self.cell * BLOCK, self.origin[0] - self.cell / 2
        rows, columns = (
            range(int((low - corner) // side), int((high - corner) // side) + 1)
            for low, high in ((box.y0, box.y1), (box.x0, box.x1))
        )
        for index in [index for index in self._blocks if index[0] in rows and index[1] in columns]:
            self._blocks.move_to_end(index)

    def shrink(self, nbytes: int) -> IntArray:
        """Drop what was seen longest ago until no more than `nbytes` are taken; return the cells that are empty now."""
        dropped = [np.empty(0, dtype=np.int64)]
        while self._blocks and self.nbytes > nbytes:
            index, _ = self._blocks.popitem(last=False)
            area = self._area(index)
            row, column = np.nonzero(self._state[area] == PREDICTED)
            self._state[area] = EMPTY
            self.count -= len(row)
            dropped.append((row + area[0].start) * self.columns + column + area[1].start)
        return np.concatenate(dropped)

    def hidden_of(self, cells: IntArray) -> npt.NDArray[np.floating[Any]]:
        """Return the hidden vectors (k, h) of cells, NaN where nothing is predicted."""
        out = np.full((len(cells), self.decoder.width), np.nan, dtype=self._type)
        for index, inside, mine in self._by_block(cells):
            block = self._blocks.get(index)  # asked once: it may be dropped meanwhile, and a thread may be reading
            if block is not None:
                out[mine] = block[inside]
        out[self._state.ravel()[cells] != PREDICTED] = np.nan
        return out

    def values(self, gene: str, cells: IntArray | None = None) -> npt.NDArray[np.float32]:
        """Decode one gene: (rows, columns), or (k,) for some cells. Never runs the model.

        The whole map includes the preview where nothing better is known; some cells alone do not.

        Raises
        ------
        KeyError
            If the model does not predict the gene.
        """
        if gene not in self.card.genes:
            raise KeyError(f"{self.card.name} does not predict {gene}")
        row = self.card.genes.index(gene)
        if cells is not None:
            return self.decoder(self.hidden_of(cells), [row])[:, 0]
        out = np.full((self.rows, self.columns), np.nan, dtype=np.float32)
        if self.preview is not None:
            shown = self.missing(self.preview.cells)
            looks = self.decoder(self.preview.hidden, [row])[:, 0]
            out.reshape(-1)[self.preview.cells[shown]] = looks[self.preview.owner[shown]]
        for index, block in self._blocks.items():
            area = self._area(index)
            state = self._state[area]
            part = self.decoder.of_finite(block, row).reshape(BLOCK, BLOCK)[: state.shape[0], : state.shape[1]]
            np.copyto(out[area], part, where=state == PREDICTED)
        return out

    def activity(self, cells: IntArray) -> npt.NDArray[np.float32]:
        """Return the activity (k,) of cells, from which half-widths follow (`model.intervals`)."""
        return activity_of(self.hidden_of(cells), self.decoder, self.card)

    def half_width(self, gene: str, cells: IntArray) -> npt.NDArray[np.float32] | None:
        """Return the half-widths (k,) of a gene's intervals; None where there are none."""
        if self.card.intervals is None or self.card.why_no_intervals:
            return None
        return self.card.intervals.half_widths([self.card.genes.index(gene)], self.activity(cells))[:, 0]

    def prediction(self) -> Prediction:
        """Return what is done, as every exporter takes it."""
        cells = np.flatnonzero(self.done)
        return Prediction(
            self.tiles(cells), self.hidden_of(cells), self.decoder, self.card, self.slide, self.provenance
        )

    def _by_block(self, cells: IntArray) -> Iterator[tuple[Index, IntArray, IntArray]]:
        """Yield (block, positions in the block, positions in `cells`)."""
        if not len(cells):
            return
        row, column = np.divmod(cells, self.columns)
        across = -(-self.columns // BLOCK)
        owner = row // BLOCK * across + column // BLOCK
        order = np.argsort(owner, kind="stable")
        for mine in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1):
            r, c = divmod(int(owner[mine[0]]), across)
            yield (r, c), row[mine] % BLOCK * BLOCK + column[mine] % BLOCK, mine

    def _block(self, index: Index) -> npt.NDArray[np.floating[Any]]:
        if index not in self._blocks:
            self._blocks[index] = np.zeros((BLOCK * BLOCK, self.decoder.width), dtype=self._type)
        self._blocks.move_to_end(index)
        return self._blocks[index]

    def _area(self, index: Index) -> tuple[slice, slice]:
        row, column = index[0] * BLOCK, index[1] * BLOCK
        return slice(row, min(row + BLOCK, self.rows)), slice(column, min(column + BLOCK, self.columns))
