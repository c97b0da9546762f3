"""Patients of sections that were found in a folder: from a pattern in their names, or from a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_nh2st.errors import SampleError, one_line
from napari_nh2st.expression.patients import nobody
from napari_nh2st.expression.sample import Sample
from napari_nh2st.reading import read_table
from napari_nh2st.slide_path import slide_stem

_SECTION = ("sample", "section", "name", "slide")


def name_patients(samples: Sequence[Sample], rule: str, folder: Path) -> list[Sample]:
    """Fill in patients; a section to which the rule does not apply keeps what it has.

    Parameters
    ----------
    samples : sequence of Sample
    rule : str
        A table with the columns sample (or section, name, slide) and patient, if there is such a file. Otherwise a
        regular expression: what its first group finds, or all that it finds, in the section's name, else in the slide's
        path within the folder.
    folder : Path
        In which the sections were found.

    Raises
    ------
    SampleError
        If the table or the expression cannot be read.
    """
    file = Path(rule).expanduser()
    named = _from_table(file) if file.is_file() else None
    pattern = None if named is not None else _pattern(rule)
    out = []
    for sample in samples:
        if named is not None:
            keys = (sample.sample, sample.slide.name, slide_stem(str(sample.slide)))
            patient = next((named[k.casefold()] for k in keys if k.casefold() in named), "")
        else:
            assert pattern is not None
            patient = _found(pattern, sample, folder)
        out.append(replace(sample, patient=patient) if patient else sample)
    return out


def _pattern(rule: str) -> re.Pattern[str]:
    try:
        return re.compile(rule)
    except re.error as error:
        raise SampleError(
            f"{one_line(rule, 60)} is neither a table that is there nor a pattern: {one_line(error, 80)}"
        ) from error


def _found(pattern: re.Pattern[str], sample: Sample, folder: Path) -> str:
    slide = sample.slide
    within = slide.relative_to(folder).as_posix() if slide.is_relative_to(folder) else str(slide)
    match = pattern.search(sample.sample) or pattern.search(within)
    if match is None:
        return ""
    return next((g for g in match.groups() if g), "") if pattern.groups else match[0]


def _from_table(file: Path) -> dict[str, str]:
    table = read_table(file, "the table of patients", SampleError, wanted=(*_SECTION, "patient"))
    columns = [c.casefold() for c in table.columns]
    section = next((c for c in _SECTION if c in columns), None)
    if section is None or "patient" not in columns:
        raise SampleError(f"{file} lacks the column {'patient' if section else 'sample'}; it has sample and patient")
    at, patient = columns.index(section), columns.index("patient")
    rows = [row.cells for row in table.rows if len(row.cells) > max(at, patient)]
    return {cells[at].casefold(): cells[patient] for cells in rows if not nobody(cells[patient])}
