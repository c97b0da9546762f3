"""Inputs of a prediction: one slide, model, detail, tissue and device, kept open for the next question."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from napari_nh2st.engine.options import never
from napari_nh2st.errors import Cancelled as Stopped
from napari_nh2st.geometry import Box, TileSet
from napari_nh2st.slides.artefacts import LIMIT, CleanTissue
from napari_nh2st.viewer.predict.events import Arrived, Request
from napari_nh2st.viewer.predict.region import Region
from napari_nh2st.viewer.state.predicted_map import PredictedMap, Preview
from napari_nh2st.viewer.state.services import Services

Cancelled = Callable[[], bool]
_BY_FIELDS = "field by field"
_LOOKING_S = 0.4  # seconds after which a person hears how far it is
_COUNTED = 200_000  # tiles that are counted one by one: a tenth of a second


@dataclass(eq=False)
class PredictionInputs:
    """An open slide with an open model, and the map that they fill.

    Attributes
    ----------
    tissue : TissueMask or None
        As the user edited it; None is the slide's own.
    map : PredictedMap
    session : Session
        Keeps what is encoded at hand.
    tissue_tiles : int
        About how many tiles of the whole slide show tissue.
    seconds, encoded : float, int
        How long it took to predict tiles that were not at hand, and how many those were.
    """

    services: Services
    slide: Any
    model: Any
    tissue: Any
    map: PredictedMap
    session: Any
    tissue_tiles: int
    seconds: float = 0.0
    encoded: int = 0

    @property
    def pace(self) -> float | None:
        """Seconds for a tile that has to be encoded, None before there was one."""
        return self.seconds / self.encoded if self.encoded else None

    @property
    def box(self) -> Box:
        """The whole slide, level-0 pixels."""
        height, width = self.slide.shape
        return Box(0, 0, width, height)

    def tiles(self, region: Region) -> TileSet:
        """Return the tiles of a region that show tissue."""
        found = self.services.lattice_for(
            self.slide, self.model.card, region=region.box, pitch=self.map.pitch, tissue=self.tissue
        )
        return region.select(found)

    def missing(self, places: TileSet) -> TileSet:
        """Return those of the places that were never tried."""
        return places.select(np.flatnonzero(self.map.missing(self.map.cells(places))))

    def predict(
        self, places: TileSet, cancelled: Cancelled, focus: tuple[float, float] | None = None
    ) -> Iterator[Arrived]:
        """Predict places, those nearest to `focus` (level-0 pixels) first where one is given."""
        since = time.monotonic()
        for chunk in self.session.stream(places, focus=focus, cancelled=cancelled):
            if chunk.encoded:
                self.encoded += chunk.encoded
                self.seconds += time.monotonic() - since
            yield Arrived(self.map.cells(places.select(chunk.indices)), chunk.hidden)
            since = time.monotonic()

    def preview(self, places: TileSet, chosen: Any, owner: Any, cancelled: Cancelled) -> Preview:
        """Look quickly at the chosen ones of some places; each place is shown as its owner among them."""
        hidden = self.session.preview(places.select(chosen), cancelled=cancelled)
        return Preview(self.map.cells(places), owner, hidden)


def edited_tissue(request: Request, cancelled: Cancelled = never) -> tuple[Any, str | None]:
    """Return the tissue mask as the user edited it and what tells it from others; None where it is the slide's own.

    A view does not wait for the overviews of a slide without levels: its tissue is found field by field. What artefacts
    cover is taken away where that was asked for.

    Raises
    ------
    Cancelled
        While artefacts are looked for.
    """
    tissue, key = _edited(request)
    if not request.skip_artefacts:
        return tissue, key
    whole = request.slide.tissue() if tissue is None else tissue
    return CleanTissue(whole, request.slide.artefacts(cancelled=cancelled), LIMIT), f"{key or ''} without artefacts"


def _edited(request: Request) -> tuple[Any, str | None]:
    if request.tissue is None:
        by_fields = request.follow and not request.slide.tissue_at_hand
        return (request.slide.tissue_fields(), _BY_FIELDS) if by_fields else (None, None)
    own = request.slide.tissue()
    if np.array_equal(request.tissue, own.mask):
        return None, None
    edited = replace(own, mask=request.tissue)  # the pixels of the mask stay where they were
    return edited, hashlib.blake2b(request.tissue.tobytes()).hexdigest()


def look_over(slide: Any, cancelled: Cancelled) -> Iterator[float]:
    """Find the tissue of a whole slide; yield now and then which share of its tiles were looked at.

    Raises
    ------
    Cancelled
        What was looked at stays in the cache.
    """
    most = 1
    while not slide.tissue_at_hand:
        told: dict[str, tuple[int, int]] = {"at": (0, 0)}
        try:
            slide.tissue(tell=partial(_note, told), cancelled=partial(_over, time.monotonic() + _LOOKING_S, cancelled))
        except Stopped:
            if cancelled():
                raise
            done, total = told["at"]
            most = max(most, total)
            yield 1 - (total - done) / most


def _note(told: dict[str, tuple[int, int]], done: int, total: int) -> None:
    told["at"] = done, total


def _over(until: float, cancelled: Cancelled) -> bool:
    return cancelled() or time.monotonic() > until


def count_tissue_tiles(services: Services, slide: Any, card: Any, pitch: int, tissue: Any) -> int:
    """Count the tiles with tissue of a whole slide; where they are very many, judge from those of coarse detail.

    Where the whole was not looked at yet, all tiles count.
    """
    height, width = slide.shape
    all_tiles = height * width / (card.scale_on(slide.require_mpp()) * pitch) ** 2
    if not slide.tissue_at_hand:
        return max(1, round(float(all_tiles)))
    counted = pitch if all_tiles <= _COUNTED else card.patch
    tiles = services.lattice_for(slide, card, pitch=counted, tissue=tissue)
    return max(1, round(len(tiles) * (counted / pitch) ** 2))
