"""The diagnosis as text: for the screen, for scripts, and for a report that can be attached to a bug."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from napari_nh2st.doctor.examination import Diagnosis, Result
from napari_nh2st.doctor.finding import Finding, Level
from napari_nh2st.doctor.privacy import Private
from napari_nh2st.doctor.subject import Subject
from napari_nh2st.provenance import DISTRIBUTION

_HEAD = "nh2st doctor: a report without names and paths. Read it before you attach it to a bug."
_WORDS: dict[Level, str] = {"ok": "fine", "warning": "warning", "fault": "FAULT"}
_VARIABLES = (
    "NH2ST_", "OMP_", "MKL_", "OPENBLAS_", "NUMBA_", "QT_", "LIBGL_", "MESA_", "CUDA_VISIBLE", "PYTORCH_",
    "ATEN_", "XDG_SESSION_TYPE", "WAYLAND_DISPLAY", "DISPLAY", "LANG", "LC_ALL", "PYTHON", "TMPDIR", "NAPARI_",
    "HDF5_", "SLURM_JOB_NUM_NODES", "MALLOC_",
)  # fmt: skip


def lines_of(result: Result, *, details: bool = False) -> Iterator[str]:
    """Yield the lines of one group; with `details`, those of sound findings as well."""
    yield f"{result.title} {result.named}".rstrip()
    for finding in result.findings.values():
        yield f"  {_WORDS[finding.level]:7}  {finding.found}"
        if finding.mend:
            yield f"           -> {finding.mend}"
        if details or finding.level == "fault":
            yield from (f"           | {line}" for line in finding.details)


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the diagnosis for scripts."""
    return {
        "fine": diagnosis.count("ok"),
        "warnings": diagnosis.count("warning"),
        "faults": diagnosis.count("fault"),
        "groups": [
            {
                "group": result.title.lower(),
                "of": result.named or None,
                "checks": [{"check": name, **_fields(finding)} for name, finding in result.findings.items()],
            }
            for result in diagnosis.results
        ],
    }


def _fields(finding: Finding) -> dict[str, Any]:
    return {
        "level": finding.level,
        "found": finding.found,
        "mend": finding.mend or None,
        "details": list(finding.details),
    }


def report_text(diagnosis: Diagnosis, subject: Subject) -> str:
    """Return everything that was found, without names of people, machines, folders, slides and sections."""
    lines = [f"system   {platform.platform()}", ""]
    for result in diagnosis.results:
        lines += [*lines_of(result, details=True), ""]
    lines += ["Environment", *(f"  {line}" for line in environment()), ""]
    private = Private(subject)
    cleaned = [private.clean(line) for line in lines]
    return (
        "\n".join([_HEAD, "", *cleaned, "Packages", *(f"  {line}" for line in installed()), "", diagnosis.counts])
        + "\n"
    )


def environment() -> list[str]:
    """Return the variables that change how the program works. A screen is told without the machine it belongs to."""
    told = {name: value for name, value in sorted(os.environ.items()) if name.startswith(_VARIABLES)}
    return [f"{name}={value.rpartition(':')[2] if name == 'DISPLAY' else value}" for name, value in told.items()]


def installed() -> list[str]:
    """Return the versions of Python, of this package and of everything that it brings: other packages are private."""
    lines, waiting, seen = [f"python {sys.version.split()[0]}"], [DISTRIBUTION], {_plain(DISTRIBUTION)}
    while waiting:
        name = waiting.pop()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        lines.append(f"{name} {distribution.version}")
        for line in distribution.requires or ():
            extra = "extra ==" in line and name != DISTRIBUTION
            needed = re.match(r"[\w.-]+", line)
            if needed and not extra and _plain(needed[0]) not in seen:
                seen.add(_plain(needed[0]))
                waiting.append(needed[0])
    return [lines[0], *sorted(lines[1:], key=str.lower)]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
