"""Bins, cells and beads pooled to places: the raw counts of all units in a square, added up.

A model answers for a square of tissue, far larger than a bin of Visium HD or a cell. Measured values are compared with
what it answers only if they are of the same square.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.counts import SAYS
from napari_nh2st.expression.frame import FRAME

if TYPE_CHECKING:
    import anndata as ad
    import scipy.sparse as sp

PLACE_UM = 112.0
"""Side of a place in micrometres where a sheet says none: a tile of 112 pixels of 1 um."""

MPP, BIN_UM, UNIT = "mpp", "bin_um", "unit"
"""In uns, as far as a file says it: micrometres per pixel of the positions; the side of a bin in micrometres; what is
pooled, or an empty text for spots that are taken as they are."""
GUESS = "mpp_guess"
"""In uns, where a file does not say it: micrometres per pixel as they usually are, and a sentence that says why."""

POOLED = "pooled"  # in obs: number of units at a place
_FEWEST = 5  # cells or beads
_COVERED = 0.5  # part of a place that bins must cover
_MOST_PLACES = 5_000_000


@dataclass(frozen=True, eq=False)
class Places:
    """Pooled counts.

    Attributes
    ----------
    counts : (places, genes) CSR
        Sums of the units' counts.
    lattice : (places, 2) int64
        Row and column of each place, in the order of rows, then columns.
    centres : (places, 2) float64
        (x, y) in pixels.
    units : (places,) int64
        Number of units at each place.
    """

    counts: sp.csr_matrix
    lattice: npt.NDArray[np.int64]
    centres: npt.NDArray[np.float64]
    units: npt.NDArray[np.int64]


def pool(counts: sp.csr_matrix, positions: npt.NDArray[np.float64], side: float) -> Places:
    """Add up the counts of all units in each square of a lattice that begins at the pixel (0, 0).

    Parameters
    ----------
    counts : (units, genes) CSR
    positions : (units, 2) float64
        (x, y) in pixels. A unit on a line between two squares belongs to the right or the lower one.
    side : float
        Of a square, in pixels.

    Returns
    -------
    Places
        Those with a unit at least. The order of the units changes nothing.
    """
    import scipy.sparse as sp

    row, column = np.floor(positions[:, ::-1] / side).astype(np.int64).T
    left, wide = (column.min(), np.ptp(column) + 1) if len(column) else (0, 1)
    found, place = np.unique(row * wide + (column - left), return_inverse=True)  # a number each sorts faster than two
    lattice = np.stack([found // wide, found % wide + left], axis=1)
    units = np.bincount(place, minlength=len(lattice))
    ones = np.ones(len(place), dtype=counts.dtype)
    belongs = sp.csr_matrix((ones, (place, np.arange(len(place)))), shape=(len(lattice), len(place)))
    summed = sp.csr_matrix(belongs @ counts)
    summed.sort_indices()
    centres: npt.NDArray[np.float64] = (lattice[:, ::-1] + 0.5) * np.float64(side)
    return Places(summed, lattice, centres, units)


def pooled(data: ad.AnnData, unit: str, um: float, mpp: float | None) -> ad.AnnData:
    """Return a section whose units are pooled to places.

    Parameters
    ----------
    data : AnnData
        Counts in X, CSR; ``obsm["spatial"]`` in pixels of the file's own image; ``uns["mpp"]`` and ``uns["bin_um"]``
        where the file has them.
    unit : str
        What is pooled, in the plural: bins, cells, beads.
    um : float
        Side of a place, micrometres.
    mpp : float or None
        Micrometres per such pixel, where somebody said it; the file's own word goes first, a guess (`GUESS`) last.

    Returns
    -------
    AnnData
        ``obs``: ``array_row``, ``array_col``, ``pooled`` (number of units); ``obsm["spatial"]`` centres of the places;
        ``uns["pooled"]``: ``unit``, ``um``, ``sure`` (the file told the pixel size), ``guessed`` (nobody did), and the
        numbers of ``units``, ``places`` and ``left_out`` places.

    Raises
    ------
    SampleError
        If nobody says how large a pixel is, or all places are left out.
    """
    import anndata as ad

    told, bin_um = data.uns.pop(MPP, None), data.uns.pop(BIN_UM, None)
    guess, why = data.uns.pop(GUESS, (None, ""))
    guessed = told is None and mpp is None and guess is not None
    size = next((s for s in (told, mpp, guess) if s is not None), None)
    if size is None:
        raise SampleError(f"its {unit} are pooled to places of {um:g} µm: give the slide's µm per pixel (column mpp)")
    side = um / size
    fewest = _FEWEST if bin_um is None else max(1, ceil(_COVERED * (um / bin_um) ** 2))
    if bin_um is not None and um < bin_um:
        raise SampleError(f"places of {um:g} µm are smaller than its bins of {bin_um:g} µm: give a larger pool")
    positions = np.asarray(data.obsm["spatial"], dtype=np.float64)
    if np.prod(np.floor(np.ptp(positions, axis=0) / side) + 1) > _MOST_PLACES * fewest:
        raise SampleError(f"its {unit} span far more than a slide: are their positions in pixels of the slide?")
    places = pool(data.X, positions, side)
    kept = places.units >= fewest
    left_out, n = int((~kept).sum()), int(kept.sum())
    if not n:
        raise SampleError(
            f"no place of {um:g} µm holds {fewest:,} {unit} (the most: {places.units.max(initial=0):,}): is the pixel "
            "size right?"
        )
    out = ad.AnnData(places.counts[kept], var=data.var.copy())
    rows, columns = places.lattice[kept].T
    out.obs_names = [f"r{row:04d}_c{column:04d}" for row, column in zip(rows, columns, strict=True)]
    out.obs["array_row"], out.obs["array_col"], out.obs[POOLED] = rows, columns, places.units[kept]
    out.obsm["spatial"] = places.centres[kept]
    facts: dict[str, Any] = {"unit": unit, "um": float(um), "sure": told is not None, "guessed": guessed}
    out.uns = {**data.uns, "pooled": facts | {"units": data.n_obs, "places": n, "left_out": left_out}}
    out.uns[FRAME] = {**out.uns.get(FRAME, {}), "spot_diameter": side}
    says = f"its {data.n_obs:,} {unit} are pooled to {n:,} places of {um:g} µm"
    rest = f"; {left_out:,} places with fewer than {fewest:,} {unit} are left out" if left_out else ""
    out.uns[SAYS] = [*out.uns.get(SAYS, []), *([why] if guessed else []), says + rest]
    return out
