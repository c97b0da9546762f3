"""Tissue found field by field, for a view of a slide whose overviews have yet to be made.

The mask of a whole slide judges all of it by one measure of its glass, and needs all of its pixels. A field is judged
by its own surroundings: nearly the same, at once. What is predicted with it is a view's own map, and never mixed with
what is predicted with the mask.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import Box
from napari_nh2st.slides.find_tissue import coarseness, mask_step, tissue_in
from napari_nh2st.slides.locks import give_lock
from napari_nh2st.slides.tissue import FloatArray, TissueMask

if TYPE_CHECKING:
    from napari_nh2st.slides.slide import Slide

FIELD, MARGIN = 128, 40
"""Pixels of the mask, of about 8 um: the side of a field, and what is looked at around it."""

Field = tuple[int, int]


class TissueFields:
    """The share of tissue at a place, from the mask of its field. Safe from any thread.

    Parameters
    ----------
    slide : Slide
    """

    _lock: threading.Lock

    def __init__(self, slide: Slide) -> None:
        self._slide, self._step = slide, mask_step(slide.shape, slide.mpp)
        self._masks: dict[Field, tuple[TissueMask, npt.NDArray[np.float64]]] = {}
        give_lock(self)

    def fraction_at(self, centres: npt.ArrayLike, side: float) -> FloatArray:
        """Return the share of tissue in a square around each place, as `TissueMask.fraction_at` does.

        The squares are smaller than the margin of a field.

        Raises
        ------
        SlideError
            If the slide was closed, or can no longer be read.
        """
        places = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
        out = np.zeros(len(places))
        height, width = self._slide.shape
        inside = ((places >= 0) & (places < (width, height))).all(axis=1)
        fields = np.floor(places / (FIELD * self._step)).astype(np.int64)
        for column, row in np.unique(fields[inside], axis=0):
            own = inside & (fields == (column, row)).all(axis=1)
            mask, corner = self._mask((int(row), int(column)))
            out[own] = mask.fraction_at(places[own] - corner, side)
        return out

    def _mask(self, field: Field) -> tuple[TissueMask, npt.NDArray[np.float64]]:
        """Return the mask around a field, and its corner (x, y) in level-0 pixels."""
        with self._lock:
            found = self._masks.get(field)
        if found is None:
            found = self._find(field)
            with self._lock:
                self._masks[field] = found
        return found

    def _find(self, field: Field) -> tuple[TissueMask, npt.NDArray[np.float64]]:
        limits = [int(np.ceil(side / self._step)) for side in self._slide.shape]
        top, left = (max(k * FIELD - MARGIN, 0) for k in field)
        bottom, right = (min((k + 1) * FIELD + MARGIN, limit) for k, limit in zip(field, limits, strict=True))
        step, mpp = self._step, self._slide.mpp
        self._slide.prepare(step, Box(left * step, top * step, right * step, bottom * step))
        view = self._slide.read(left, top, right - left, bottom - top, step)
        coarse = coarseness(step, mpp)
        return TissueMask(tissue_in(view, coarse), (step, step)), np.array([left * step, top * step])
