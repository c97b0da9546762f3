"""Recognising a measurement by its path: its format, its section, and the file with the spots' positions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.hest import is_hest
from napari_nh2st.expression.readers import FORMATS
from napari_nh2st.expression.sample import Sample
from napari_nh2st.expression.spatialdata_store import section_name
from napari_nh2st.expression.transform_files import is_transform
from napari_nh2st.reading import read_head

_TABLES = (".tsv", ".tsv.gz", ".txt", ".txt.gz")
_PLACES = {"x_px", "y_px"}
_POSITION_COLUMNS = {"x", "y", "pixel_x", "pixel_y"}
_BESIDE = ("{}_selection", "{}-selection", "{}_spots", "{}_positions", "spot_data-selection-{}")
_OF_PROGRAMS = re.compile(r"outs|binned_outputs|segmented_outputs|square_\d+um")  # names of folders
WANTED = (
    "an assay's folder (outs of Visium, Visium HD, Xenium; MERSCOPE, CosMx, Slide-seq), a SpatialData store, an .h5ad "
    "file, a table of counts (.tsv, .tsv.gz), or one of spots (.csv: x_px, y_px)"
)


@dataclass(frozen=True)
class MeasurementFiles:
    """A measured section that can be read, and its files.

    Attributes
    ----------
    name : str
        Of the section, from the name of the file or folder.
    format : str
        A key of `FORMATS`.
    expression : Path
    spots : Path or None
        The file with the spots' positions; None where the format has none, or none lies beside the counts.
    transform : Path or None
        The file that says where the spots lie on the slide, if one was given with them.
    """

    name: str
    format: str
    expression: Path
    spots: Path | None = None
    transform: Path | None = None

    def complete(self) -> MeasurementFiles:
        """Return this, if nothing is missing.

        Raises
        ------
        SampleError
            If the file with the spots' positions is.
        """
        if FORMATS[self.format].needs_spots and self.spots is None:
            name = self.expression.name
            raise SampleError(f"{name} does not say where its spots lie: give the table of positions too")
        return self

    def on(self, slide: Path, mpp: float | None) -> Sample:
        """Return the sample of these files on a slide; its patient is not known."""
        return Sample(self.name, "", slide, self.expression, self.format, self.spots, mpp, transform=self.transform)


def detect(paths: Sequence[str | Path]) -> MeasurementFiles:
    """Recognise a file, a folder, or a table of counts together with one of positions.

    Positions lie beside the counts (``C5.tsv.gz``, ``C5_selection.tsv``) or are given with them. A transform
    (`transform_files`) is given with them.

    Raises
    ------
    SampleError
        If it is nothing that can be read.
    """
    files = [Path(p) for p in paths]
    for path in files:
        if not path.exists():
            raise SampleError(f"there is no {path}")
    transforms = [p for p in files if is_transform(p)] if len(files) > 1 else []
    if len(transforms) == 1:
        return replace(detect([p for p in files if p not in transforms]), transform=transforms[0])
    tables = [p for p in files if p.is_file() and p.name.lower().endswith(_TABLES)]
    if len(files) > 1 and not (len(files) == 2 and len(tables) == 2):
        raise SampleError(f"that is {len(files)} files: give one measurement, {WANTED}")
    if len(files) == 1 and (found := folder_format(files[0])) is not None:
        name = section_name if found[0] == "spatialdata" else _name_of_folder
        return MeasurementFiles(name(found[1]), *found)
    if tables:
        return _table(tables)
    (path,) = files
    if path.suffix.lower() == ".csv" and _PLACES.issubset(_header(path)):
        return MeasurementFiles(path.stem, "spots-csv", path)
    if path.suffix.lower() == ".h5ad":
        return MeasurementFiles(path.stem, "hest" if is_hest(path) else "h5ad", path)
    raise SampleError(f"{path.name} is not a measurement that can be read: give {WANTED}")


def folder_format(path: Path) -> tuple[str, Path] | None:
    """Recognise a folder by a path in or above it.

    Returns
    -------
    format, folder
        A key of `FORMATS`, and the folder itself; None where it is none.
    """
    for name, row in FORMATS.items():
        if row.folder_of is not None and (folder := row.folder_of(path)) is not None:
            return name, folder
    return None


def _name_of_folder(folder: Path) -> str:
    """Return the name of a section: of the first folder that a program did not name."""
    places = [folder.resolve(), *folder.resolve().parents]
    return next((p.name for p in places if not _OF_PROGRAMS.fullmatch(p.name)), folder.name)


def _table(tables: list[Path]) -> MeasurementFiles:
    positions = [p for p in tables if _POSITION_COLUMNS.issubset(_header(p))]
    counts = [p for p in tables if p not in positions]
    if len(tables) == 2 and not (positions and counts):
        raise SampleError("of two tables, one must hold the counts and the other the columns x, y, pixel_x, pixel_y")
    if not counts:
        name = positions[0].name
        raise SampleError(f"{name} holds the spots' positions: give the table of counts, or both files together")
    name = _stem(counts[0])
    return MeasurementFiles(name, "st-tsv", counts[0], positions[0] if positions else _beside(counts[0], name))


def _beside(counts: Path, name: str) -> Path | None:
    places = (counts.with_name(pattern.format(name) + end) for pattern in _BESIDE for end in _TABLES)
    return next((p for p in places if p.is_file()), None)


def _stem(path: Path) -> str:
    end = next(e for e in sorted(_TABLES, key=len, reverse=True) if path.name.lower().endswith(e))
    return path.name[: -len(end)]


def _header(path: Path) -> list[str]:
    return [name.casefold() for name in read_head(path, SampleError)]
