"""Predictions as files: one module a format, one line a format in `EXPORTERS`.

No torch here, and nothing is pickled. A new format is a module with an `Exporter` and a line below; the command line,
the widget and the contract tests read the table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from napari_nh2st.atomic import finished_file
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats import csv, h5ad
from napari_nh2st.formats.exporter import Exporter
from napari_nh2st.formats.table import describe, slide_name
from napari_nh2st.model.find_genes import find_genes

EXPORTERS: dict[str, Exporter] = {e.name: e for e in (h5ad.EXPORTER, csv.EXPORTER)}

__all__ = ["EXPORTERS", "Exporter", "export", "export_path", "sidecar_path"]


def _exporter(name: str) -> Exporter:
    if name not in EXPORTERS:
        raise Nh2stError(f"there is no format {name!r}: choose among {', '.join(EXPORTERS)}")
    return EXPORTERS[name]


def export_path(prediction: Prediction, name: str, path: str | Path) -> Path:
    """Return the file that `export` writes.

    Parameters
    ----------
    prediction : Prediction
    name : str
        A key of `EXPORTERS`.
    path : path
        In an existing folder, the file gets the slide's name. The format's suffix is added if it is missing.
    """
    suffix, target = _exporter(name).suffix, Path(path)
    if target.is_dir():
        return target / f"{slide_name(prediction)}{suffix}"
    return target if target.suffix.lower() == suffix else target.with_name(target.name + suffix)


def sidecar_path(path: Path) -> Path:
    """Name the provenance file beside a file that has no room for it."""
    return path.with_name(f"{path.name}.provenance.json")


def export(prediction: Prediction, name: str, path: str | Path, genes: str | Sequence[str] | None = None) -> Path:
    """Write a prediction to a file, which appears only when it is complete.

    Parameters
    ----------
    prediction : Prediction
        Places that are not predicted are left out.
    name : str
        A key of `EXPORTERS`.
    path : path
        The file, or a folder to put it in. An existing file is replaced.
    genes : str or sequence of str, optional
        Which genes, in which order; the whole panel by default.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    UnknownGene
        It names the genes that the model does not predict.
    Nh2stError
        If there is no such format, or nothing is predicted yet.
    """
    exporter = _exporter(name)
    genes = list(dict.fromkeys(prediction.genes if genes is None else find_genes(prediction.card, genes)))
    if not genes:
        raise Nh2stError("no gene was named: nothing to export")
    part = prediction.only_done()
    if not len(part):
        raise Nh2stError("nothing is predicted yet: run the prediction before exporting it")
    target = export_path(part, name, path)
    with finished_file(target) as draft:
        exporter.write(part, draft, genes)
        if exporter.sidecar:
            with finished_file(sidecar_path(target)) as note:
                note.write_text(json.dumps(describe(part), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return target
