"""The files that a comparison keeps beside its report: predictions of each fit, pretrained encoders, and scores.

The name of a file is a digest of everything that its content follows from, so that other inputs make other files.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from napari_nh2st.atomic import finished_file
from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation.split_ready import BlindRun
from napari_nh2st.evaluation.splits import Split
from napari_nh2st.expression import Sample
from napari_nh2st.model.intervals import Intervals
from napari_nh2st.provenance import versions
from napari_nh2st.reading import parse_json, read_json
from napari_nh2st.slide_path import address_of, slide_file
from napari_nh2st.training.config import TrainingConfig

FOLDER_SUFFIX, FORM = ".fits", 3


def folder_beside(report: Path) -> Path:
    """Return the folder that belongs to a report's file."""
    return report.expanduser().absolute().with_suffix(FOLDER_SUFFIX)


def digest(*facts: object) -> str:
    """Digest plain values."""
    return hashlib.sha256(json.dumps([FORM, *facts], sort_keys=True, default=str).encode()).hexdigest()[:32]


def facts_of(split: Split, config: TrainingConfig, quick: bool) -> dict[str, Any]:
    """Collect what all fits of a split follow from: sections, settings, versions, with size and date of each file.

    Raises
    ------
    OSError
        If a file is not there.
    """
    start = [] if config.encoder_start is None else stamps(Path(config.encoder_start))
    sections = [[_section(sample) for sample in side] for side in (split.train, split.test)]
    return {
        "sections": sections, "config": config.model_dump(mode="json"), "start": start, "quick": quick,
        "versions": versions(),
    }  # fmt: skip


def _section(sample: Sample) -> dict[str, Any]:
    slide = [slide_file(sample.slide)] if address_of(sample.slide) is None else []
    files = [*slide, sample.expression, *([] if sample.spots is None else [sample.spots])]
    return {**asdict(sample), "files": [stamps(file) for file in files]}


def stamps(path: Path) -> list[Any]:
    """Return size and date of a file, or of all files in a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def keep_fit(path: Path, run: BlindRun, seconds: float) -> None:
    """Write what a fit predicts for each test section, its intervals, and the seconds it took."""
    arrays = {f"section{i}": values for i, values in enumerate(run.predicted)}
    intervals = "" if run.intervals is None else run.intervals.model_dump_json()
    path.parent.mkdir(parents=True, exist_ok=True)
    with finished_file(path) as draft, draft.open("wb") as file:
        np.savez(file, allow_pickle=False, seconds=seconds, intervals=intervals, **arrays)


def kept_fit(path: Path) -> tuple[BlindRun, float] | None:
    """Read what `keep_fit` wrote; None if it is not there, or damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            predicted, text = [file[f"section{i}"] for i in range(len(file.files) - 2)], str(file["intervals"])
            intervals = Intervals.model_validate(parse_json(text)) if text else None
            return BlindRun(predicted, intervals), float(file["seconds"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def keep_scores(path: Path, scores: dict[str, Any]) -> None:
    """Write the figures, draws and maps of a model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with finished_file(path) as draft:
        draft.write_text(json.dumps(scores), encoding="utf-8")


def kept_scores(path: Path) -> dict[str, Any] | None:
    """Read what `keep_scores` wrote; None if it is not there, or damaged."""
    try:
        scores = read_json(path)
    except (Nh2stError, OSError, ValueError):
        return None
    wanted = {"figures", "draws", "maps", "spots", "seconds"}
    return scores if isinstance(scores, dict) and scores.keys() >= wanted else None
