"""Regions in a report: their areas, and the chosen genes in each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.analysis.outlines import Parts, outlines_of, within
from napari_nh2st.analysis.regions import mask_table
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.table import slide_mpp
from napari_nh2st.report.content import Section, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.geometry import FloatArray


def read_regions(path: str | Path, slide: str | Path | None = None) -> dict[str, Parts]:
    """Read regions from a file that QuPath (GeoJSON), ASAP (XML) or NDP.view (NDPA) wrote; `slide` places the last.

    Raises
    ------
    Nh2stError
        If it has no polygon, or something else.
    """
    regions = outlines_of(Path(path), slide)
    if not regions:
        raise Nh2stError(f"{path} holds no region")
    return regions


def region_section(prediction: Prediction, regions: dict[str, Parts], genes: Sequence[str]) -> Section:
    """Describe the chosen genes in every region."""
    masks = {name: within(prediction.places.centres, parts) for name, parts in regions.items()}
    described = mask_table(prediction, masks)
    described = described[described["gene"].isin(list(genes))]
    rows: list[tuple[str, ...]] = []
    for region, gene, tiles, mean, sd, elsewhere in described[
        ["region", "gene", "n_tiles", "mean", "sd", "mean_elsewhere"]
    ].itertuples(index=False):
        figures = (mean, sd, elsewhere, mean - elsewhere)
        area = f"{_area(regions[region], slide_mpp(prediction)):.3g}"
        rows.append((region, gene, area, f"{tiles:,}", *(f"{v:z.2f}" if np.isfinite(v) else "" for v in figures)))
    columns = ("Region", "Gene", "mm²", "Tiles", "Mean", "SD", "Mean elsewhere", "Difference")
    empty = [name for name, mask in masks.items() if not mask.any()]
    words = [f"No predicted tile in {', '.join(empty)}."] if empty else []
    notes = [
        f"Mean and standard deviation over the predicted tiles of a region, in {prediction.card.unit}. "
        "Elsewhere: all predicted tiles outside it."
    ]
    return Section("Regions", paragraphs=words, table=Table(columns, rows, names=2) if rows else None, notes=notes)


def _area(parts: Parts, mpp: float) -> float:
    """Return the area of a region, mm²; holes are left out."""
    return sum(_pixels(outline) - sum(map(_pixels, holes)) for outline, *holes in parts) * mpp**2 * 1e-6


def _pixels(ring: FloatArray) -> float:
    x, y = ring.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2  # Gauss's area formula
