"""The sample sheet: one line per measured section."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.atomic import finished_file
from napari_nh2st.errors import SampleError, one_line
from napari_nh2st.expression.columns import fold
from napari_nh2st.expression.patients import nobody
from napari_nh2st.expression.readers import FORMATS
from napari_nh2st.expression.sample import Sample
from napari_nh2st.expression.transform import Transform
from napari_nh2st.expression.transform_files import inline, inlined, read_transform
from napari_nh2st.reading import DELIMITERS, Row, Table, exists, expanded, number, read_table, written_cell
from napari_nh2st.slide_path import address_of, slide_file

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("sample", "patient", "slide", "expression", "format", "spots", "mpp", "scale", "x", "y", "transform", "pool")
REQUIRED = ("sample", "patient", "slide", "expression", "format")
# Endings of sheets; those of Excel are told how to save them.
SHEETS = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".xlsm", ".ods")
_NUMBERS = ("mpp", "scale", "x", "y", "pool")
_ABSENT = {"na", "n/a", "nan", "none", "null", "-"}  # as R, pandas and people write that there is nothing
# What people call the column mpp, folded: their slide's pixel size must not be passed over.
_PIXEL_SIZES = {"mmp", "mpps", "mppum", "mppx", "pixelsize", "pixelsizeum", "umperpx", "umperpixel", "micronsperpixel"}
_TOLD = 10  # problems of a sheet that are told; more of them have the same cause


def read_sheet(path: str | Path) -> list[Sample]:
    """Read a sample sheet whose paths are relative to it: columns separated by commas, semicolons or tabs.

    Returns
    -------
    list of Sample
        In the order of the sheet.

    Raises
    ------
    SampleError
        Naming every problem of the sheet at once: missing columns or files, unknown formats, repeated names.
    """
    path = expanded(path)
    return _samples(read_table(path, "the sample sheet", SampleError, wanted=COLUMNS), path, path.parent)


def samples_of(sheet: str | Path | pd.DataFrame | Iterable[Sample]) -> list[Sample]:
    """Return the sections of a sheet, however it is given.

    Parameters
    ----------
    sheet : path, DataFrame or iterable of Sample
        A DataFrame has the columns of a sheet; its paths are relative to the working folder.

    Raises
    ------
    SampleError
        As `read_sheet`; and if it is none of these.
    """
    if isinstance(sheet, (str, Path)):
        return read_sheet(sheet)
    import pandas as pd

    if isinstance(sheet, pd.DataFrame):
        cells = sheet.astype(object).where(sheet.notna(), "").to_numpy().tolist()
        rows = [Row(line, [str(cell).strip() for cell in row]) for line, row in enumerate(cells, 1)]
        return _samples(Table([str(name) for name in sheet.columns], rows, ","), "the DataFrame", Path.cwd())
    samples = list(sheet) if isinstance(sheet, Iterable) else [sheet]
    wrong = [s for s in samples if not isinstance(s, Sample)]
    if wrong:
        got = f"{type(wrong[0]).__name__} {one_line(repr(wrong[0]), 80)}"
        raise SampleError(f"a sheet is a path, a DataFrame or a list of Sample, not {got}")
    return samples


def _samples(table: Table, path: str | Path, folder: Path) -> list[Sample]:
    """Make samples of a table that is called `path`; its paths are relative to a folder."""
    columns = [c.casefold() for c in table.columns]
    lacking = [c for c in REQUIRED if c not in columns]
    if lacking:
        if (apart := _separated_by(table)) is not None:
            raise SampleError(f"{path} is separated by {apart}: save it with commas")
        there = f" (there: {one_line(', '.join(table.columns), 200)})" if table.columns else ""
        raise SampleError(f"{path} lacks the column {', '.join(lacking)}{there}; a sheet has {', '.join(COLUMNS)}")
    twice = [c for c in COLUMNS if columns.count(c) > 1]
    if twice:
        raise SampleError(f"{path} names the column {', '.join(twice)} twice: remove one of the two")
    if not table.rows:
        raise SampleError(f"{path} names no sample")
    if "mpp" not in columns and (other := next((c for c in table.columns if fold(c) in _PIXEL_SIZES), None)):
        raise SampleError(
            f"{path}: the column {one_line(other, 60)} is not read: name it mpp (µm per pixel), or remove it"
        )
    problems: list[str] = []
    samples = [_sample(row, columns, table, folder, problems) for row in table.rows]
    problems += _repeated(samples, table.rows)
    if problems:
        more = len(problems) - _TOLD
        told = problems[:_TOLD] + ([f"and {more} more problems"] if more > 0 else [])
        raise SampleError(f"{path}: " + "; ".join(told))
    return samples


def _separated_by(table: Table) -> str | None:
    """Name what stands between the names of the columns where it is nothing that tables are read with."""
    if len(table.columns) != 1:
        return None
    names = re.split(r"[^\w]+", table.columns[0].casefold())
    marks = re.findall(r"\w([^\w]+)\w", table.columns[0])
    if len(set(names) & set(COLUMNS)) < 2 or not marks:
        return None
    mark = Counter(marks).most_common(1)[0][0]
    return {" ": "spaces", ":": "colons", "/": "slashes"}.get(mark.strip() or " ", f"“{one_line(mark, 5)}”")


def _mixed(row: Row, columns: Sequence[str], table: Table) -> str:
    """Say that a row is separated by other marks than the names of the columns; empty where it is not."""
    if any(row.cells[1:]) or len(columns) < 2:
        return ""
    others = {d: row.cells[0].count(d) for d in DELIMITERS if d != table.delimiter}
    mark, times = max(others.items(), key=lambda item: item[1])
    if times < len(REQUIRED) - 1:
        return ""
    names = DELIMITERS[table.delimiter]
    return f"it is separated by {DELIMITERS[mark]}, the line of names by {names}: save the sheet with commas"


def _repeated(samples: Sequence[Sample], rows: Sequence[Row]) -> list[str]:
    times = Counter(s.sample for s in samples if s.sample)
    lines: dict[str, list[int]] = {}
    for sample, row in zip(samples, rows, strict=True):
        if times[sample.sample] > 1:
            lines.setdefault(sample.sample, []).append(row.line)
    return [
        f"sample {one_line(name, 80)} is listed {_times(len(of))} (lines {', '.join(map(str, of[:5]))}): "
        "give each section a name of its own"
        for name, of in lines.items()
    ]


def _times(n: int) -> str:
    return "twice" if n == 2 else f"{n} times"


def _sample(row: Row, columns: Sequence[str], table: Table, folder: Path, problems: list[str]) -> Sample:
    said: list[str] = []
    cells = dict(zip(columns, row.cells, strict=False)) | dict.fromkeys(columns[len(row.cells) :], "")
    if any(row.cells[len(columns) :]):
        said.append(
            f"it has {len(row.cells)} cells, the line of names has {len(columns)}: put quotes around a cell with "
            f"{'a comma' if table.delimiter == ',' else 'such a mark'} in it"
        )
    split = [c for c in COLUMNS if "\n" in cells.get(c, "") or "\r" in cells.get(c, "")]
    if split:
        said.append(f"{', '.join(split)} goes on over several lines: a quote is not closed")
    if mixed := _mixed(row, columns, table):
        if not any(mixed in problem for problem in problems):
            problems.append(f"line {row.line}: {mixed}")
        return Sample(cells["sample"], "", folder, folder, "", None)
    files = {c: _file(cells.get(c, ""), folder) for c in ("slide", "expression", "spots")}
    empty = [c for c in REQUIRED if not cells[c]]
    address = files["slide"] if address_of(cells.get("slide", "")) else None  # nobody asks another machine here
    if not said:
        said += [
            f"there is no {one_line(f, 300)}"
            for f in dict.fromkeys(files.values())
            if f and f != address and not exists(slide_file(f))
        ]
        said += [f"it leaves {', '.join(empty)} empty"] if empty else []
    kind = cells["format"].casefold()
    if kind and kind not in FORMATS:
        said.append(f"unknown format {one_line(kind, 60)!r} (known: {', '.join(FORMATS)})")
    if kind in FORMATS and FORMATS[kind].needs_spots and files["spots"] is None:
        said.append(f"the format {kind} needs a file in the column spots")
    if (patient := cells["patient"]) and nobody(patient):
        said.append(f"patient {one_line(patient, 60)!r} names nobody: write whose tissue it is")
    transform = _transform(cells.get("transform", ""), folder, said)
    numbers = {c: _number(c, cells.get(c, ""), table.delimiter, said) for c in _NUMBERS}
    if numbers["scale"] is not None and numbers["scale"] <= 0:
        said.append("scale must be more than 0")
    if numbers["pool"] is not None and numbers["pool"] <= 0:
        said.append("pool, the side of a place in µm, must be more than 0")
    problems += [f"line {row.line}: {what}" for what in said]
    return Sample(
        cells["sample"],
        cells["patient"],
        files["slide"] or folder,
        files["expression"] or folder,
        kind,
        files["spots"],
        numbers["mpp"],
        1.0 if numbers["scale"] is None else numbers["scale"],
        numbers["x"] or 0.0,
        numbers["y"] or 0.0,
        placed=any(numbers[c] is not None for c in ("scale", "x", "y")),
        transform=transform,
        pool=numbers["pool"],
    )


def _file(text: str, folder: Path) -> Path | None:
    """Return the absolute path that a cell names. Links keep their names: a store of files gives its own no meaning."""
    if not text or text.casefold() in _ABSENT:
        return None
    if address_of(text):
        return Path(text)
    file = folder / expanded(text)
    if "\\" in text and not exists(slide_file(file)):  # written on Windows
        file = folder / expanded(text.replace("\\", "/"))
    file = file.absolute()
    if ".." not in file.parts or file.name == "..":
        return file
    try:
        return file.parent.resolve() / file.name
    except (OSError, RuntimeError, ValueError):
        return file


def _transform(text: str, folder: Path, said: list[str]) -> Path | Transform | None:
    """Return the transform of a cell, six numbers or a file, which is looked into: a broken one is told here."""
    try:
        if (written := inline(text)) is not None:
            return written
        file = _file(text, folder)
        if file is not None and not exists(file):
            said.append(f"there is no {one_line(file, 300)}")
        elif file is not None:
            read_transform(file)
        return file
    except SampleError as error:
        said.append(str(error))
        return None


def _number(column: str, text: str, delimiter: str, said: list[str]) -> float | None:
    if not text or text.casefold() in _ABSENT:
        return None
    try:
        return number(text, comma=delimiter != ",")
    except ValueError as error:
        why = str(error) if str(error).startswith(("has", "is")) else "is not a number"
        said.append(f"{column} {one_line(text, 60)!r} {why}")
        return None


def write_sheet(samples: Sequence[Sample], path: str | Path, *, unfinished: bool = False) -> None:
    """Write a sample sheet that `read_sheet` reads as the same samples.

    Paths are written relative to the sheet where they lie beneath it, else absolute. A sheet that is there is replaced.

    Parameters
    ----------
    unfinished : bool
        Whether patients may be missing: a person fills them in before the sheet can be read.

    Raises
    ------
    SampleError
        If there is nothing to write, or a sample has no name or no patient: such a sheet could not be read.
    OSError
        If the file cannot be written.
    """
    path = expanded(path)
    unnamed = [s.sample or s.slide.name for s in samples if not s.sample or (nobody(s.patient) and not unfinished)]
    if unnamed or not samples:
        raise SampleError(f"no sheet was written: {', '.join(unnamed) or 'nothing'} has a name and a patient")
    folder = path.parent.absolute()
    try:
        with finished_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            table.writerows(_row(sample, folder) for sample in samples)
    except UnicodeEncodeError as error:
        raise SampleError(f"no sheet was written: {error.object!a} is not text: rename that file") from error


def _row(sample: Sample, folder: Path) -> list[str]:
    def written(path: Path | None) -> str:
        if path is None:
            return ""
        path = path.absolute()
        return written_cell(path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path))

    numbers = {"mpp": sample.mpp, "scale": sample.scale, "x": sample.x, "y": sample.y}
    unmoved = (sample.scale, sample.x, sample.y) == (1, 0, 0)
    if unmoved and (sample.transform is not None or not sample.placed):
        numbers = {"mpp": sample.mpp, "scale": None, "x": None, "y": None}
    return [
        written_cell(sample.sample),
        written_cell(sample.patient),
        written(sample.slide),
        written(sample.expression),
        sample.format,
        written(sample.spots),
        *("" if value is None else repr(float(value)) for value in numbers.values()),
        inlined(sample.transform) if isinstance(sample.transform, Transform) else written(sample.transform),
        "" if sample.pool is None else repr(float(sample.pool)),
    ]
