"""The slides that a command names: files, patterns, folders, sheets of samples, and sheets of slides alone."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.sheet import REQUIRED, SHEETS, read_sheet
from napari_nh2st.reading import Row, Table, expanded, number, read_table
from napari_nh2st.slide_path import DICOM, ENDINGS, address_of

_COLUMNS = ("slide", "sample", "patient", "mpp", "regions")
_PATTERN = "*?["


@dataclass(frozen=True)
class ListedSlide:
    """A slide that was named.

    Attributes
    ----------
    path : Path
    mpp : float or None
        Micrometres per level-0 pixel, where the slide does not say it itself.
    sample, patient : str
        As a sheet says; empty without one.
    regions : Path or None
        Regions that were drawn on it: a file of `annotations.READERS`.
    """

    path: Path
    mpp: float | None = None
    sample: str = ""
    patient: str = ""
    regions: Path | None = None


def list_slides(words: Sequence[str | Path], mpp: float | None = None) -> list[ListedSlide]:
    """List the slides that words of a command mean.

    Parameters
    ----------
    words : sequence of str or Path
        Slides; patterns such as ``*.svs`` or ``**/*.svs``; folders, of which slides are taken, not those of folders in
        them; sheets. A sheet needs only the column ``slide``; ``sample``, ``patient``, ``mpp`` and ``regions`` are read
        if they are there. One that also has the columns of measurements is read as a sample sheet.
    mpp : float, optional
        Goes before that of a sheet.

    Raises
    ------
    SampleError
        If a sheet cannot be read, or a pattern fits nothing.
    """
    slides = [slide for word in words for slide in _meant_by(Path(word))]
    return slides if mpp is None else [replace(slide, mpp=mpp) for slide in slides]


def _meant_by(word: Path) -> Iterator[ListedSlide]:
    if word.suffix.lower() in SHEETS:
        yield from _of_sheet(word)
    elif word.is_dir() and (inside := _inside(word)):
        yield from map(ListedSlide, inside)
    elif address_of(word) is None and any(letter in str(word) for letter in _PATTERN) and not word.exists():
        paths = sorted(Path(p) for p in glob.glob(str(expanded(word)), recursive=True))  # noqa: PTH207 (absolute ones)
        if not paths:
            raise SampleError(f"nothing fits {word}: look at the pattern")
        yield from (ListedSlide(p) for p in paths if p.is_file())
    else:
        yield ListedSlide(word)


def _inside(folder: Path) -> list[Path]:
    """List the slides in a folder: files, folders that are one (OME-Zarr, DICOM), and one file of each DICOM slide."""
    from napari_nh2st.slides.companions import dicom_series

    entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    slides = {p for p in entries if _is_slide(p)}
    others = [p for p in entries if p not in slides]
    slides |= {files[0] for files in dicom_series(others).values()}
    slides |= {p for p in others if p.is_dir() and (p.suffix == ".zarr" or next(p.glob(DICOM), None))}
    return [p for p in entries if p in slides]


def _is_slide(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and path.suffix.lower() != DICOM[1:] and path.is_file()


def _of_sheet(path: Path) -> list[ListedSlide]:
    path = expanded(path)
    table = read_table(path, "the sheet of slides", SampleError, wanted=_COLUMNS)
    columns = [c.casefold() for c in table.columns]
    if "slide" not in columns or set(REQUIRED) <= set(columns):
        return [ListedSlide(s.slide, s.mpp, s.sample, s.patient) for s in read_sheet(path)]
    return [_row(row, columns, table, path) for row in table.rows]


def _row(row: Row, columns: list[str], table: Table, path: Path) -> ListedSlide:
    cells = dict(zip(columns, row.cells, strict=False))
    if not cells.get("slide"):
        raise SampleError(f"{path}, line {row.line}: it names no slide")
    try:
        text = cells.get("mpp", "")
        mpp = number(text, comma=table.delimiter != ",") if text else None
    except ValueError:
        raise SampleError(f"{path}, line {row.line}: mpp is a number (µm per pixel), not {text!r}") from None
    slide, drawn = _file(cells["slide"], path), cells.get("regions")
    regions = _file(drawn, path) if drawn else None
    return ListedSlide(slide, mpp, cells.get("sample", ""), cells.get("patient", ""), regions)


def _file(text: str, sheet: Path) -> Path:
    return Path(text) if address_of(text) else (sheet.parent / Path(text).expanduser()).absolute()
