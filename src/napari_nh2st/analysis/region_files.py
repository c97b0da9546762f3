"""Regions and domains with their genes as files: GeoJSON with measurements for QuPath, or a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.analysis.outlines import within
from napari_nh2st.analysis.regions import mask_table
from napari_nh2st.annotations import Annotation, write_annotations
from napari_nh2st.annotations.cells import outlines_of_tiles
from napari_nh2st.atomic import finished_file
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.reading import written_frame

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".geojson", ".csv")


def write_regions(
    prediction: Prediction, annotations: Sequence[Annotation], path: str | Path, genes: Sequence[str] | None = None
) -> Path:
    """Write regions with the genes that are predicted in them.

    Parameters
    ----------
    prediction : Prediction
    annotations : sequence of Annotation
        Those of one title are one region, and become one object.
    path : path
        Ends in one of `SUFFIXES`. GeoJSON has the outlines, with each gene's mean, standard deviation between tiles and
        mean elsewhere as measurements; a region without a predicted tile has the number of its tiles alone. CSV has the
        table of `region_table`.
    genes : sequence of str, optional
        The whole panel by default.

    Raises
    ------
    Nh2stError
        If the file's ending is another one.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise Nh2stError(f"{path.name}: end the name in {' or '.join(SUFFIXES)}")
    done = prediction.only_done()
    if genes is not None:
        done = done.only_genes(genes)
    regions = _by_title(annotations)
    table = mask_table(done, {a.title: within(done.places.centres, a.polygons) for a in regions})
    if path.suffix.lower() == ".geojson":
        return write_annotations(path, regions, _measurements(regions, table), _record(done))
    return write_table(table, path)


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table of `mask_table` as CSV."""
    with finished_file(path) as draft:
        written_frame(table).to_csv(draft, index=False)
    return path


def domain_annotations(
    prediction: Prediction, labels: npt.NDArray[Any], colours: Mapping[int, str] | None = None
) -> list[Annotation]:
    """Return domains as regions of a class each.

    Parameters
    ----------
    prediction : Prediction
        On the lattice.
    labels : (n,) int
        The domain of each of its n places, 0 for none.
    colours : mapping, optional
        "#rrggbb" by domain.
    """
    names = (int(n) for n in np.unique(labels) if n)
    return [
        Annotation(
            outlines_of_tiles(prediction.places.select(np.asarray(labels) == n)),
            kind=f"Domain {n}",
            colour=None if colours is None else colours.get(n),
        )
        for n in names
    ]


def _by_title(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Return one annotation a title, those without one by their number."""
    regions: dict[str, Annotation] = {}
    taken = {a.title for a in annotations}
    free = (f"region {n}" for n in range(1, len(annotations) + len(taken) + 1) if f"region {n}" not in taken)
    for a in annotations:
        title = a.title or next(free)
        first = regions.get(title, Annotation([], title if not a.title else a.name, a.kind, a.colour, a.locked))
        polygons = [*first.polygons, *a.polygons]
        regions[title] = Annotation(polygons, first.name, first.kind, first.colour, first.locked)
    return list(regions.values())


def _measurements(regions: Sequence[Annotation], table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the numbers of each region, with names that QuPath's tables sort by gene."""
    numbers: dict[str, dict[str, float]] = {a.title: {"predicted tiles": 0.0} for a in regions}
    columns = ("region", "gene", "n_tiles", "mean", "sd", "mean_elsewhere")
    for region, gene, tiles, *values in zip(*(table[column].tolist() for column in columns), strict=True):
        numbers[region]["predicted tiles"] = float(tiles)
        numbers[region] |= {
            f"{gene}: {what}": v for what, v in zip(("mean", "SD", "mean elsewhere"), values, strict=True)
        }
    return numbers


def _record(prediction: Prediction) -> dict[str, Any]:
    """Return where the numbers come from."""
    card = prediction.card
    facts = {"content": "predicted expression, not a measurement", "unit": card.unit, "model": card.name}
    return {**facts, "slide": prediction.slide, **prediction.provenance}
