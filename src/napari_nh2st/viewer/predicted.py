"""Everything predicted so far for one slide with one model: a slide-wide lattice that fills up."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.geometry import Box, IntArray, TileSet
from napari_nh2st.model.card import Card
from napari_nh2st.model.decoder import Decoder


class PredictedMap:
    """Hidden vectors on the lattice of a slide, NaN where nothing was predicted yet.

    One array covers the whole slide, so that panning, predicting again and a second region fill the same
    heatmap. A cell is named by its flat index, ``row * columns + column``.

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
    ) -> None:
        self.slide, self.card, self.decoder = slide, card, decoder
        self.provenance = provenance or {}
        height, width = slide["shape"]
        self.places = TileSet.lattice(Box(0, 0, width, height), scale=scale, pitch=pitch, patch=card.patch)
        if not len(self.places) or self.places.grid is None:
            raise ValueError("the slide is smaller than one tile of this model")
        self.rows, self.columns = (int(n) for n in self.places.grid.max(axis=0) + 1)
        self.hidden = np.full((len(self.places), decoder.weight.shape[1]), np.nan, dtype=np.float16)

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
        )
        made.add(made.cells(places), prediction.hidden)
        return made

    @property
    def cell(self) -> float:
        """Side of a cell, level-0 pixels."""
        return self.places.pitch * self.places.scale

    @property
    def origin(self) -> tuple[float, float]:
        """Centre (x, y) of the first cell, level-0 pixels."""
        x, y = self.places.centres[0]
        return float(x), float(y)

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """Which cells carry a prediction, (rows * columns,)."""
        finite: npt.NDArray[np.bool_] = np.isfinite(self.hidden[:, 0])  # a row is there whole or not at all
        return finite

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

    def add(self, cells: IntArray, hidden: npt.NDArray[Any]) -> None:
        """Fill cells with hidden vectors (k, h)."""
        self.hidden[cells] = hidden

    def values(self, gene: str, cells: IntArray | None = None) -> npt.NDArray[np.float32]:
        """Decode one gene: (rows, columns), or (k,) for some cells. Never runs the model.

        Raises
        ------
        KeyError
            If the model does not predict the gene.
        """
        if gene not in self.card.genes:
            raise KeyError(f"{self.card.name} does not predict {gene}")
        row = [self.card.genes.index(gene)]
        if cells is not None:
            return self.decoder(self.hidden[cells], row)[:, 0]
        out = np.full(len(self.hidden), np.nan, dtype=np.float32)
        done = np.flatnonzero(self.done)
        out[done] = self.decoder(self.hidden[done], row)[:, 0]
        return out.reshape(self.rows, self.columns)

    def prediction(self) -> Prediction:
        """Return what is done, as every exporter takes it."""
        keep = self.done
        places = self.places.select(keep)
        return Prediction(places, self.hidden[keep], self.decoder, self.card, self.slide, self.provenance)
