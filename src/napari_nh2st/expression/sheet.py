"""The sample sheet: one line per measured section."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.readers import FORMATS

COLUMNS = ("sample", "patient", "slide", "expression", "format", "spots", "mpp")
_REQUIRED = ("sample", "patient", "slide", "expression", "format")


@dataclass(frozen=True)
class Sample:
    """One measured section.

    Attributes
    ----------
    sample, patient : str
        Its name, unique in the sheet, and whose tissue it is.
    slide, expression : Path
        Absolute paths.
    format : str
        A key of ``expression.FORMATS``.
    spots : Path or None
        Spot positions, for formats that keep them apart.
    mpp : float or None
        Micrometres per level-0 pixel, where the slide does not say it itself.
    """

    sample: str
    patient: str
    slide: Path
    expression: Path
    format: str
    spots: Path | None = None
    mpp: float | None = None


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
    lacking = [c for c in _REQUIRED if c not in columns]
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
    empty = [c for c in _REQUIRED if not row[c]]
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
        if file is not None and not empty and not file.exists():
            problems.append(f"line {line}: there is no {file}")
    mpp: float | None = None
    if row.get("mpp"):
        try:
            mpp = float(row["mpp"])
        except ValueError:
            problems.append(f"line {line}: mpp {row['mpp']!r} is not a number")
    return Sample(
        row["sample"],
        row["patient"],
        slide.resolve(),
        expression.resolve(),
        kind,
        spots and spots.resolve(),
        mpp,
    )
