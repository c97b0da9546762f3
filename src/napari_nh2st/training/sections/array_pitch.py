"""The array on which spots were printed: how far apart its spots lie, and how far apart they should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    import anndata as ad

FloatArray = npt.NDArray[np.float64]

# Micrometres between neighbouring spots.
VISIUM_UM, ST_UM = 100.0, 200.0

_FEWEST = 12  # spots; fewer say too little of their grid
_ST_SIDE = 40  # no array of Spatial Transcriptomics has more rows or columns: they have 33 x 35
_LOOSE = 0.2  # of the pitch: spots that lie further from their grid are on none
_HEX_RATIO = 3**-0.5  # between the steps of a column and of a row, as Space Ranger numbers them
_NEAR_RATIO = 0.15
_SIX_ALIKE, _INNER = 1.2, 0.3  # distances to six neighbours, and the part of the spots that has six
_VISIUM_SPOT = (0.45, 0.75)  # of the pitch: recorded diameters stand for 55 to 65 um


@dataclass(frozen=True)
class ArrayPitch:
    """The pitch of an array, as it lies on the slide and as it was printed.

    Attributes
    ----------
    pixels : float
        Between neighbouring spots, level-0 pixels; 0 where there are too few spots.
    platform : str
        "Visium" or "Spatial Transcriptomics"; empty where it is not known.
    um : float
        Micrometres between neighbouring spots of that platform; 0 where it is not known.
    sure : bool
        Whether file or grid leave no doubt about the platform.
    mirrored : bool
        Whether columns and rows run mirrored on the slide.
    """

    pixels: float
    platform: str = ""
    um: float = 0.0
    sure: bool = False
    mirrored: bool = False


def spacing_of(centres: FloatArray) -> float:
    """Return the median distance of spots (n, 2) to their two nearest; 0 where there is one spot."""
    if len(centres) < 2:
        return 0.0
    return float(np.median(cKDTree(centres).query(centres, min(3, len(centres)))[0][:, 1:]))


def array_pitch(data: ad.AnnData, kind: str, scale: float = 1.0) -> ArrayPitch:
    """Find the array of a section.

    Parameters
    ----------
    data : AnnData
        From `read_expression`: ``obsm["spatial"]`` in level-0 pixels, ``uns["frame"]``, and ``obs["array_row"]``,
        ``obs["array_col"]`` where the format has them.
    kind : str
        The section's format, a key of ``expression.FORMATS``.
    scale : float
        Level-0 pixels per pixel of the image on which the spots were placed.
    """
    centres = np.asarray(data.obsm["spatial"], dtype=np.float64)
    spacing = spacing_of(centres)
    if len(centres) < _FEWEST or not spacing:
        return ArrayPitch(spacing)
    diameter = scale * float(_frame(data).get("spot_diameter") or 0.0)
    steps = _steps(data, centres)
    if steps is None:
        pitch = _hexagonal(centres)
        return ArrayPitch(spacing) if pitch is None else _visium(pitch, kind, diameter)
    column, row = (float(np.linalg.norm(steps[:, axis])) for axis in (0, 1))
    if pooled := data.uns.get("nh2st", {}).get("pooled"):  # our own lattice, in pixels whose size perhaps the file told
        known = pooled["sure"] or pooled.get("guessed", False)
        by = "" if pooled["sure"] else ", whose own pixel size is a guess,"
        named = (f"pooled {pooled['unit']}{by}", pooled["um"], bool(pooled["sure"])) if known else ()
        return ArrayPitch((column * row) ** 0.5, *named)
    mirrored = bool(np.linalg.det(steps) < 0)
    if abs(column / row / _HEX_RATIO - 1) < _NEAR_RATIO:
        return _visium(2 * column, kind, diameter, mirrored)
    mirrored = mirrored and kind != "h5ad"  # there, people number rows and columns as they like
    if abs(column / row - 1) > _NEAR_RATIO:
        return ArrayPitch(spacing, mirrored=mirrored)
    pitch = (column * row) ** 0.5
    if kind != "st-tsv":
        return ArrayPitch(pitch, mirrored=mirrored)
    side = max(data.obs[name].max() for name in ("array_row", "array_col"))
    return ArrayPitch(pitch, "Spatial Transcriptomics", ST_UM, bool(side <= _ST_SIDE), mirrored)


def _visium(pitch: float, kind: str, diameter: float, mirrored: bool = False) -> ArrayPitch:
    low, high = _VISIUM_SPOT
    sure = kind == "visium" or low <= diameter / pitch <= high
    return ArrayPitch(pitch, "Visium", VISIUM_UM, sure, mirrored)


def _frame(data: ad.AnnData) -> Mapping[str, Any]:
    frame: Mapping[str, Any] = data.uns.get("frame", {})
    return frame


def strays(data: ad.AnnData) -> FloatArray:
    """Return how far each spot lies from where its row and column on the array put it, (k,) pixels.

    Empty where the array is not known, or several arrays lie on the slide.
    """
    fit = _fitted(data, np.asarray(data.obsm["spatial"], dtype=np.float64))
    if fit is None or len(np.unique(fit.array, axis=0)) < len(fit.array):
        return np.zeros(0)
    away: FloatArray = np.linalg.norm(fit.array @ fit.steps.T - fit.places, axis=1)
    return away


def _steps(data: ad.AnnData, centres: FloatArray) -> FloatArray | None:
    """Fit pixels to rows and columns: (2, 2), the steps (x, y) of a column and of a row; None where they fit badly."""
    fit = _fitted(data, centres)
    if fit is None:
        return None
    away = np.sqrt(((fit.array @ fit.steps.T - fit.places) ** 2).sum(axis=1).mean())
    return None if away > _LOOSE * abs(np.linalg.det(fit.steps)) ** 0.5 else fit.steps


class _Fitted(NamedTuple):
    """Columns and rows on the array, places (x, y) on the slide, both round their means, and the steps between them."""

    array: FloatArray
    places: FloatArray
    steps: FloatArray


def _fitted(data: ad.AnnData, centres: FloatArray) -> _Fitted | None:
    if not {"array_row", "array_col"} <= set(data.obs.columns):
        return None
    array = data.obs[["array_col", "array_row"]].to_numpy(dtype=np.float64)
    known = np.isfinite(array).all(axis=1)
    if known.sum() < _FEWEST:
        return None
    array = array[known] - array[known].mean(axis=0)
    if np.linalg.cond(array) > 100:
        return None
    places = centres[known] - centres[known].mean(axis=0)
    return _Fitted(array, places, np.linalg.lstsq(array, places, rcond=None)[0].T)


def _hexagonal(centres: FloatArray) -> float | None:
    """Return the pitch of a hexagonal grid, None where the spots lie on another one or on none."""
    distance = cKDTree(centres).query(centres, 7)[0][:, 1:]
    if (distance[:, 0] <= 0).any():
        return None
    inner = distance[:, 5] < _SIX_ALIKE * distance[:, 0]
    if inner.mean() < _INNER:
        return None
    return float(np.median(distance[inner]))
