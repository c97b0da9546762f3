"""Drawn regions as what is to be predicted: the tiles whose centres lie in them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.analysis.outlines import Parts, within
from napari_nh2st.analysis.regions import mask_table
from napari_nh2st.engine.places import tissue_places
from napari_nh2st.errors import NoTissue
from napari_nh2st.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from napari_nh2st.analysis.regions import Mask
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.geometry import FloatArray, TileSet
    from napari_nh2st.model.card import Card
    from napari_nh2st.slides import Ground, Slide

_NAMED = 5  # regions whose names stand in a file's provenance


@dataclass(frozen=True, eq=False)
class DrawnRegions:
    """Regions that a prediction keeps to.

    Attributes
    ----------
    polygons : dict of str to Parts
        By name; level-0 pixels.
    """

    polygons: dict[str, Parts]

    @property
    def box(self) -> Box:
        """The box around all of them, level-0 pixels."""
        corners = np.concatenate([outline for parts in self.polygons.values() for outline, *_ in parts])
        (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
        return Box(float(x0), float(y0), float(x1), float(y1))

    @property
    def words(self) -> str:
        """Their names and a checksum of their outlines, for a file's provenance."""
        rings = (ring for parts in self.polygons.values() for polygon in parts for ring in polygon)
        checksum = 0
        for ring in rings:
            checksum = zlib.crc32(np.asarray(ring, dtype="<f8").tobytes(), checksum)
        names = list(self.polygons)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"{', '.join(names[:_NAMED])}{more} ({checksum:08x})"

    def contain(self, centres: FloatArray) -> Mask:
        """Return a mask of the places (n, 2) that lie in one of them."""
        return within(centres, [part for parts in self.polygons.values() for part in parts])

    def table(self, prediction: Prediction, genes: Sequence[str] | None = None) -> pd.DataFrame:
        """Describe every gene, or some, in every region, as `region_table` does."""
        done = prediction.only_done()
        done = done if genes is None else done.only_genes(genes)
        return mask_table(done, {name: within(done.places.centres, parts) for name, parts in self.polygons.items()})

    def places(self, slide: Slide, card: Card, pitch: int | None, tissue: Ground | None = None) -> TileSet:
        """Choose places as `tissue_places` does, with their centres in one of the regions.

        Raises
        ------
        NoTissue
            If there is none.
        """
        try:
            places = tissue_places(slide, card, self.box, pitch, tissue)
        except NoTissue:
            raise NoTissue(f"{slide.path}: there is no tissue in these regions; were they drawn on it?") from None
        places = places.select(self.contain(places.centres))
        if not len(places):
            raise NoTissue(f"{slide.path}: no tile of tissue has its centre in these regions; draw them larger")
        return places
