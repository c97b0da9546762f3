"""Micrometres per pixel of a folder of CosMx: told by its positions in pixels and in millimetres, or guessed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.expression.positions import numbers_of, read_headed

if TYPE_CHECKING:
    import pandas as pd

LATER = 0.12028
"""Micrometres of a pixel of the instruments that are sold (CosMx-ReadMe): fields of 4,256 x 4,256 pixels, 0.51 mm."""
FIRST = 0.18
"""Of the prototype of He et al. 2022 (public lung sections): fields of 5,472 x 3,648 pixels, 0.985 mm wide."""
POSITIONS = "fov_positions_file"
_WIDEST = 4256  # pixels of a field of the later instruments
_PLAUSIBLE = 0.01, 10.0
_STRAY = 0.01  # of the span of the fields: a field may lie so far off the line of all


def told_pixel(path: Path) -> float | None:
    """Return micrometres per pixel by a table that has the fields' positions in pixels and in millimetres.

    The slope of millimetres over pixels, by least squares over both axes; where each begins does not matter, nor
    whether one of them counts the other way.

    Parameters
    ----------
    path : Path
        Columns x_global_px, y_global_px, x_global_mm, y_global_mm, as AtoMx writes them; before, without the latter.

    Returns
    -------
    float or None
        None where it does not say both, has fewer than two places, or its numbers do not lie on a line.

    Raises
    ------
    SampleError
        If it cannot be read.
    """
    table = read_headed(path)
    there = {str(column).strip().casefold(): column for column in table.columns}
    pixels, um = [], []
    for axis in "xy":
        names = [there.get(f"{axis}_global_{unit}") for unit in ("px", "mm")]
        if None in names or table.empty:
            return None
        both = numbers_of(table, [name for name in names if name is not None], path.name)
        both = both[np.isfinite(both).all(axis=1)]
        if not len(both):
            return None
        px, mm = (both - both.mean(axis=0)).T
        pixels.append(px)
        um.append(1000 * mm * (-1 if px @ mm < 0 else 1))
    return _slope(np.concatenate(pixels), np.concatenate(um))


def _slope(px: npt.NDArray[np.float64], um: npt.NDArray[np.float64]) -> float | None:
    if not px.any():
        return None
    slope = float(px @ um / (px @ px))
    on_line = np.abs(um - slope * px).max() <= _STRAY * np.ptp(um)
    return slope if on_line and _PLAUSIBLE[0] < slope < _PLAUSIBLE[1] else None


def guessed_pixel(cells: pd.DataFrame) -> tuple[float, str]:
    """Guess micrometres per pixel by how wide the fields are in which the cells lie; return it, and say why.

    Parameters
    ----------
    cells : DataFrame
        Perhaps with columns CenterX_local_px and CenterY_local_px.
    """
    local = [c for c in cells.columns if str(c).strip().casefold() in ("centerx_local_px", "centery_local_px")]
    numbers = [cells[c].to_numpy(dtype=np.float64) for c in local if cells[c].dtype.kind in "iuf"]
    widest = max((float(np.fmax.reduce(n, initial=0)) for n in numbers), default=0.0)
    if widest > _WIDEST:
        why = f"its fields are wider than {_WIDEST:,} pixels, as those of CosMx's first instruments"
        return FIRST, f"{why}: {FIRST} µm per pixel are taken"
    why = "its files do not say how large a pixel is"
    return LATER, f"{why}: {LATER} µm are taken, as of the CosMx that is sold"
