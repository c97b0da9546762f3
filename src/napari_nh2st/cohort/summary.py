"""The summary of a predicted slide for the tables and the page of its cohort: plain values, kept as JSON."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.analysis.outlines import Parts, within
from napari_nh2st.analysis.regions import Moments
from napari_nh2st.engine.groups import GROUP
from napari_nh2st.errors import SlideError
from napari_nh2st.model.decoder import ValuesDecoder
from napari_nh2st.model.reference import UNUSUAL

if TYPE_CHECKING:
    from PIL.Image import Image

    from napari_nh2st.engine.place_session import PlaceSession
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.geometry import TileSet
    from napari_nh2st.model.reference import Reference
    from napari_nh2st.slides import Slide

PICTURED = 6  # genes whose maps are kept
_SQUARES = 32  # of 1,024 model pixels: where the tissue is compared with that of the training
_THUMBNAIL, _MAP = 160, 40  # pixels and cells of the longer side
_NONE = 255  # a cell without a value


def tissue_mm2(slide: Slide, places: TileSet) -> float:
    """Return the area of tissue under tiles, in mm²."""
    side = places.pitch * places.scale  # level-0 pixels: cells of the lattice touch, also where tiles overlap
    shares = slide.tissue().fraction_at(places.centres, side)
    return float(shares.sum() * (side * slide.require_mpp() / 1000) ** 2)


def share_unlike(session: PlaceSession, reference: Reference | None, places: TileSet) -> float | None:
    """Return the share of tissue that is unlike the training; None where nothing can be said.

    At most `_SQUARES` squares, spread evenly over the tissue, are looked at, and of a fine map the tiles that touch, so
    that little has to be encoded again where the cache has lost it.
    """
    if reference is None or not session.embeds or places.grid is None:
        return None
    apart = max(1, session.model.card.patch // places.pitch)
    coarse = places.select((places.grid % apart == 0).all(axis=1))
    if coarse.grid is None or not len(coarse):
        return None
    squares, owner = np.unique(coarse.grid // max(1, GROUP // places.pitch), axis=0, return_inverse=True)
    taken = np.linspace(0, len(squares) - 1, min(len(squares), _SQUARES)).round().astype(np.int64)
    novelty = reference.novelty(session.embed(coarse.select(np.isin(owner.ravel(), taken))))
    finite = novelty[np.isfinite(novelty)]
    return float((finite > UNUSUAL).mean()) if len(finite) else None


def gene_figures(prediction: Prediction, regions: Mapping[str, Parts]) -> dict[str, Any]:
    """Return mean and standard deviation of every gene over the predicted tiles, and over those of each region."""
    done = prediction.only_done()
    masks = {name: within(done.places.centres, parts) for name, parts in regions.items()}
    parts = {name: {"tiles": int(mask.sum()), **_moments(done, mask)} for name, mask in masks.items() if mask.any()}
    return {"genes": done.genes, "unit": done.card.unit, **_moments(done, None), "regions": parts}


def _moments(done: Prediction, mask: npt.NDArray[np.bool_] | None) -> dict[str, list[float | None]]:
    if isinstance(done.decoder, ValuesDecoder):  # no fewer numbers than genes: their covariance is never needed
        values = done.matrix().astype(np.float64) if mask is None else done.matrix()[mask].astype(np.float64)
        mean, spread = values.mean(axis=0), values.std(axis=0, ddof=min(1, len(values) - 1))
    else:
        mean, spread = Moments.of(done.hidden, mask).genes(done.decoder)
    return {"mean": _numbers(mean), "sd": _numbers(spread)}


def _numbers(values: npt.NDArray[np.floating]) -> list[float | None]:
    return [round(float(v), 6) if np.isfinite(v) else None for v in values]


def pictures(slide: Slide, prediction: Prediction, genes: Sequence[str]) -> dict[str, Any]:
    """Return a small picture of the slide (JPEG) and small maps of genes that lie over it."""
    done = prediction.only_done()
    return {"thumbnail": _thumbnail(slide), "maps": {gene: _map(slide, done, gene) for gene in genes}}


def _thumbnail(slide: Slide) -> str:
    from PIL import Image

    height, width = slide.shape
    step = max(1.0, max(height, width) / _THUMBNAIL)
    try:
        pixels = slide.read(0, 0, max(1, int(width / step)), max(1, int(height / step)), step)
    except SlideError:
        return ""
    return jpeg_text(Image.fromarray(pixels))


def jpeg_text(picture: Image) -> str:
    """Return a picture as JPEG in base64."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=75)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _map(slide: Slide, done: Prediction, gene: str) -> dict[str, Any]:
    """Return a gene's map in few cells: means of the tiles in each, as bytes between `low` and `high`.

    `place` is its left, top, width and height, as shares of the slide's.
    """
    grid, pitch = done.places.grid, done.places.pitch
    assert grid is not None
    height, width = slide.shape
    tiles = max(1, math.ceil(max(height, width) / (pitch * done.places.scale) / _MAP))  # of a cell's side
    (rows, columns), step = grid.max(axis=0) // tiles + 1, tiles * pitch * done.places.scale
    cell = grid[:, 0] // tiles * columns + grid[:, 1] // tiles
    shift = (done.card.patch - pitch) / 2 * done.places.scale  # tiles may overlap
    place = [shift / width, shift / height, columns * step / width, rows * step / height]
    values = done.gene(gene)
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    sums, counts = (np.bincount(cell, weights=w, minlength=rows * columns) for w in (values, np.ones(len(values))))
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    scaled = np.clip((means - low) / max(high - low, 1e-9) * (_NONE - 1), 0, _NONE - 1).round()
    data = np.where(counts > 0, scaled, _NONE).astype(np.uint8).tobytes()
    return {
        "rows": int(rows),
        "columns": int(columns),
        "place": [round(float(share), 5) for share in place],
        "low": round(low, 5),
        "high": round(high, 5),
        "cells": base64.b64encode(data).decode("ascii"),
    }
