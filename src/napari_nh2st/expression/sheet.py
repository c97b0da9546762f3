"""The sample sheet: one line per measured section."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from napari_nh2st.atomic import finished_file
from napari_nh2st.errors import SampleError
from napari_nh2st.expression.readers import FORMATS
from napari_nh2st.expression.sample import Sample
from napari_nh2st.slide_path import slide_file

COLUMNS = ("sample", "patient", "slide", "expression", "format", "spots", "mpp", "scale", "x", "y")
REQUIRED = ("sample", "patient", "slide", "expression", "format")
_NUMBERS = ("mpp", "scale", "x", "y")


def read_sheet(path: str | Path) -> list[Sample]:
    """Read a sample sheet, a comma-separated file whose paths are relative to it.

    Returns
    -------
    list of Sample
        In the order of the sheet.

    Raises
    ------
    SampleError
        Naming every problem of the sheet at once: missing columns or files, unknown formats, repeated names.
    """
    path = Path(path).expanduser()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            rows = [{k.strip(): (v or "").strip() for k, v in row.items() if k} for row in table]
            columns = [c.strip() for c in table.fieldnames or ()]
    except (OSError, UnicodeDecodeError) as error:
        raise SampleError(f"cannot read the sample sheet {path}: {error}") from error
    lacking = [c for c in REQUIRED if c not in columns]
    if lacking:
        raise SampleError(f"{path} lacks the column {', '.join(lacking)}; a sheet has {', '.join(COLUMNS)}")
    if not rows:
        raise SampleError(f"{path} names no sample")
    problems: list[str] = []
    samples = [_sample(row, path.parent, line, problems) for line, row in enumerate(rows, 2)]
    repeated = [name for name, n in Counter(s.sample for s in samples).items() if n > 1]
    if repeated:
        problems.append(f"the sample {', '.join(repeated)} stands there more than once")
    if problems:
        raise SampleError(f"{path}: " + "; ".join(problems))
    return samples


def _sample(row: dict[str, str], folder: Path, line: int, problems: list[str]) -> Sample:
    empty = [c for c in REQUIRED if not row[c]]
    if empty:
        problems.append(f"line {line} leaves {', '.join(empty)} empty")
    kind = row["format"]
    if kind and kind not in FORMATS:
        problems.append(f"line {line}: unknown format {kind!r} (known: {', '.join(FORMATS)})")
    spots = folder / row["spots"] if row.get("spots") else None
    if kind in FORMATS and FORMATS[kind].needs_spots and spots is None:
        problems.append(f"line {line}: the format {kind} needs a file in the column spots")
    slide, expression = folder / row["slide"], folder / row["expression"]
    for file in (slide, expression, spots):
        if file is not None and not empty and not slide_file(file).exists():
            problems.append(f"line {line}: there is no {file}")
    numbers = {c: _number(c, row.get(c, ""), line, problems) for c in _NUMBERS}
    if numbers["scale"] is not None and numbers["scale"] <= 0:
        problems.append(f"line {line}: scale must be more than 0")
    return Sample(
        row["sample"],
        row["patient"],
        slide.resolve(),
        expression.resolve(),
        kind,
        spots and spots.resolve(),
        numbers["mpp"],
        1.0 if numbers["scale"] is None else numbers["scale"],
        numbers["x"] or 0.0,
        numbers["y"] or 0.0,
    )


def _number(column: str, text: str, line: int, problems: list[str]) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        problems.append(f"line {line}: {column} {text!r} is not a number")
    return value


def write_sheet(samples: Sequence[Sample], path: str | Path) -> None:
    """Write a sample sheet that `read_sheet` reads as the same samples.

    Paths are written relative to the sheet where they lie beneath it, else absolute. A sheet that is there is replaced.

    Raises
    ------
    SampleError
        If there is nothing to write, or a sample has no name or no patient: such a sheet could not be read.
    OSError
        If the file cannot be written.
    """
    path = Path(path).expanduser()
    unnamed = [s.sample or s.slide.name for s in samples if not (s.sample and s.patient)]
    if unnamed or not samples:
        raise SampleError(f"no sheet was written: {', '.join(unnamed) or 'nothing'} has a name and a patient")
    folder = path.parent.resolve()
    with finished_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(_row(sample, folder) for sample in samples)


def _row(sample: Sample, folder: Path) -> list[str]:
    def written(path: Path | None) -> str:
        if path is None:
            return ""
        path = path.resolve()
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)

    numbers = {"mpp": sample.mpp, "scale": sample.scale, "x": sample.x, "y": sample.y}
    if (sample.scale, sample.x, sample.y) == (1.0, 0.0, 0.0):  # the slide's own pixels
        numbers = {"mpp": sample.mpp, "scale": None, "x": None, "y": None}
    return [
        sample.sample,
        sample.patient,
        written(sample.slide),
        written(sample.expression),
        sample.format,
        written(sample.spots),
        *("" if value is None else repr(float(value)) for value in numbers.values()),
    ]
