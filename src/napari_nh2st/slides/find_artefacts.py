"""Find the artefacts of a slide, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_nh2st.errors import Cancelled
from napari_nh2st.slides.artefact_rules import FINE_UM, PER, REACH, RULES, Norms, View, depth, pooled, sharpness
from napari_nh2st.slides.artefacts import ARTEFACT_UM, KINDS, ArtefactMap, Labels
from napari_nh2st.slides.find_tissue import is_fluorescence
from napari_nh2st.slides.tissue import Mask, TissueMask

if TYPE_CHECKING:
    from napari_nh2st.slides.slide import Slide

BLOCK = 256
"""Pixels of the map that are read at once: 2 mm, a thousand pixels at 2 um."""
WIDE, AROUND = 1024, 128
"""Pixels of the map that the rules look at together, and those that they see around: 1 mm."""
NEAR = 20
"""An artefact further from tissue than so many pixels is none of the tissue's."""
COARSEST_UM = 2.5
"""Of a slide with larger pixels nobody can say what is in focus."""
_MANY = 500_000  # pixels of tissue by which the slide's own measures are taken


def find_artefacts(
    slide: Slide, tissue: TissueMask, tell: Callable[[int, int], object], cancelled: Callable[[], bool]
) -> ArtefactMap:
    """Find the artefacts of a slide whose pixel size is known.

    Parameters
    ----------
    slide : Slide
    tissue : TissueMask
        The slide's own.
    tell : callable
        Told (done, total) in blocks.
    cancelled : callable
        Asked before each block.

    Raises
    ------
    Cancelled
    MppNeeded
    SlideError
        As `Slide.read`.
    """
    mpp = slide.require_mpp()
    step = ARTEFACT_UM / mpp
    shape = tuple(int(np.ceil(side / step)) for side in slide.shape)
    ground = _on_grid(tissue, (shape[0], shape[1]), step)
    kinds = tuple(kind.name for kind in KINDS if kind.name != "blur" or mpp <= COARSEST_UM)
    remark = "" if "blur" in kinds else f"pixels of {mpp:g} um are too coarse to tell what is out of focus"
    light = np.full((*ground.shape, 3), 255, np.uint8)
    sharp = np.zeros(ground.shape, np.float16)
    blocks = [at for at in _blocks(ground.shape, BLOCK) if ground[_around(at, ground.shape, REACH)].any()]
    for done, at in enumerate(blocks):
        if cancelled():
            raise Cancelled("stopped")
        tell(done, len(blocks))
        light[at], sharp[at] = _look(slide, at, ground.shape)
    labels = np.zeros(ground.shape, np.uint8)
    if is_fluorescence(light):
        return ArtefactMap(labels, step, int(ground.sum()), (), "fluorescence: the rules are for stained tissue")
    if ground.any():
        norms = _norms(light, sharp, ground)
        for at in _blocks(ground.shape, WIDE):
            if cancelled():
                raise Cancelled("stopped")
            seen = _around(at, ground.shape, AROUND)
            if ground[seen].any():
                found = _label(
                    View(light[seen].astype(np.float32), sharp[seen].astype(np.float32), ground[seen], norms), kinds
                )
                labels[at] = found[_within(at, seen)]
    tell(len(blocks), len(blocks))
    return ArtefactMap(labels, step, int(np.count_nonzero(ground | (labels > 0))), kinds, remark)


def _look(
    slide: Slide, at: tuple[slice, slice], shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return light and sharpness of a block."""
    seen = _around(at, shape, REACH)
    (top, bottom), (left, right) = ((s.start * PER, s.stop * PER) for s in seen)
    pixels = slide.read(left, top, right - left, bottom - top, FINE_UM / slide.require_mpp())
    own = _within(at, seen)
    mean = pooled(pixels.astype(np.float32))
    return np.rint(mean[own]).astype(np.uint8), sharpness(pixels)[own]


def _norms(light: npt.NDArray[np.uint8], sharp: npt.NDArray[np.float16], ground: Mask) -> Norms:
    places = np.flatnonzero(ground)
    places = places[:: 1 + len(places) // _MANY]
    own = light.reshape(-1, 3)[places][None].astype(np.float32)
    deep = depth(own)
    middle, upper = np.percentile(deep, (50, 75))
    density = -np.log10((own + 1) / 256).mean(axis=2)
    sharpest = float(np.median(sharp.ravel()[places].astype(np.float32)))
    return Norms(sharpest, float(middle), float(upper), float(np.median(density)))


def _label(view: View, kinds: tuple[str, ...]) -> Labels:
    """Label artefacts on tissue and close to it; where two meet, the first of `KINDS` counts."""
    labels = np.zeros(view.tissue.shape, np.uint8)
    for k, kind in enumerate(KINDS, 1):
        if kind.name in kinds:
            labels[RULES[kind.name](view) & (labels == 0)] = k
    if labels.any():
        labels[ndimage.distance_transform_edt(~view.tissue) > NEAR] = 0
    return labels


def _on_grid(tissue: TissueMask, shape: tuple[int, int], step: float) -> Mask:
    """Return the tissue on the map's grid."""
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * step / s).astype(np.int64), side - 1)
        for n, s, side in zip(shape, tissue.steps, tissue.mask.shape, strict=True)
    )
    return np.asarray(tissue.mask[rows][:, columns])


def _blocks(shape: tuple[int, ...], side: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield slice(top, min(top + side, shape[0])), slice(left, min(left + side, shape[1]))


def _around(at: tuple[slice, slice], shape: tuple[int, ...], reach: int) -> tuple[slice, slice]:
    rows, columns = (slice(max(s.start - reach, 0), min(s.stop + reach, n)) for s, n in zip(at, shape, strict=True))
    return rows, columns


def _within(at: tuple[slice, slice], seen: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = (slice(a.start - s.start, a.stop - s.start) for a, s in zip(at, seen, strict=True))
    return rows, columns
