"""Predictions as files: one module a format, one line a format in `MODULES`.

No torch here, and nothing is pickled. A new format is a module with an `Exporter` and an `Importer`, and its name
below; the command line, the widget and the contract tests read the tables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from napari_nh2st.atomic import finished_file, finished_folder
from napari_nh2st.engine.memory import ask_for
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats import csv, geojson, h5ad, nh2st, ome_tiff, ome_zarr, parquet, spatialdata
from napari_nh2st.formats.display import Display
from napari_nh2st.formats.exporter import Exporter, Progress
from napari_nh2st.formats.importer import Importer, restored
from napari_nh2st.formats.shapes import Outlines
from napari_nh2st.formats.table import CARD, DISPLAY, sidecar_path, slide_name, written_record
from napari_nh2st.model.card import Card
from napari_nh2st.model.find_genes import find_genes
from napari_nh2st.reading import read_json

MODULES = (h5ad, csv, parquet, geojson, ome_tiff, ome_zarr, spatialdata, nh2st)
EXPORTERS: dict[str, Exporter] = {m.EXPORTER.name: m.EXPORTER for m in MODULES}
IMPORTERS: dict[str, Importer] = {m.IMPORTER.name: m.IMPORTER for m in MODULES}

__all__ = [
    "EXPORTERS",
    "IMPORTERS",
    "Exporter",
    "check_package",
    "check_size",
    "export",
    "export_path",
    "format_of",
    "is_export",
    "read_export",
    "record_in",
    "sidecar_path",
]


def _exporter(name: str) -> Exporter:
    if name not in EXPORTERS:
        raise Nh2stError(f"there is no format {name!r}: choose among {', '.join(EXPORTERS)}")
    return EXPORTERS[name]


def _has_suffix(path: Path, exporter: Exporter) -> bool:
    return path.name.lower().endswith(exporter.suffixes) and (exporter.folder or not path.is_dir())


def format_of(path: str | Path) -> str | None:
    """Return the format that a path's ending names, a key of `EXPORTERS`; None if it names none."""
    return next((name for name, exporter in EXPORTERS.items() if _has_suffix(Path(path), exporter)), None)


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
    exporter, target = _exporter(name), Path(path)
    if target.is_dir() and not _has_suffix(target, exporter):
        return target / f"{slide_name(prediction)}{exporter.suffix}"
    return target if _has_suffix(target, exporter) else target.with_name(target.name + exporter.suffix)


def record_in(name: str, file: Path) -> dict[str, Any]:
    """Return the provenance of a file that `export` wrote; empty if it cannot be read."""
    exporter = _exporter(name)
    try:
        record = read_json(sidecar_path(file)) if exporter.read_record is None else exporter.read_record(file)
    except Exception:  # any file can have the name, and its reader may fail in any way
        return {}
    return record if isinstance(record, dict) else {}


def read_export(path: str | Path) -> Prediction:
    """Read a file or folder that `export` wrote.

    Values are those of the file. Only a ``.nh2st`` folder has the model's hidden vectors as well.

    Raises
    ------
    Nh2stError
        In one line: if the ending names no format, a package is missing, or the file is not what we wrote.
    """
    path = Path(path)
    name = format_of(path)
    if name is None:
        raise Nh2stError(f"{path.name} is no file of a prediction: its name ends in {', '.join(_endings())}")
    _need_package(_exporter(name))
    try:
        contents = IMPORTERS[name].read(path)
        return contents if isinstance(contents, Prediction) else restored(contents)
    except FileNotFoundError as error:
        raise Nh2stError(f"{path} is not there") from error
    except (Nh2stError, MemoryError) as error:
        raise Nh2stError(f"{path.name} cannot be opened: {error}") from error
    except Exception as error:  # any file can have the name, and its reader may fail in any way
        raise Nh2stError(f"{path.name} is no prediction that was exported here, or it was changed") from error


def is_export(path: str | Path) -> bool:
    """Tell whether a file or folder is a prediction that `export` wrote; quick, without its values."""
    name = format_of(path)
    return name is not None and CARD in record_in(name, Path(path))


def _endings() -> list[str]:
    return [exporter.suffix for exporter in EXPORTERS.values()]


def check_size(name: str, tiles: int, genes: int) -> None:
    """Say before anything is computed that a format cannot be written, or not with so many values.

    Raises
    ------
    Nh2stError
        If a package is missing, the format's readers do not take so many values, or there is not enough memory.
    """
    exporter = _exporter(name)
    _need_package(exporter)
    most = exporter.most_values
    if most is not None and tiles * genes > most:
        fewer = (
            f"choose at most {most // tiles:,} genes, or another format" if most >= tiles else "choose another format"
        )
        raise Nh2stError(
            f"{tiles:,} tiles x {genes:,} genes are too many for {name}, whose readers take {most:,} values: {fewer}"
        )
    what = f"writing {tiles:,} tiles x {genes:,} genes as {name}"
    ask_for(exporter.memory(tiles, genes), what, "choose fewer genes, or another format")


def export(
    prediction: Prediction,
    name: str,
    path: str | Path,
    genes: str | Sequence[str] | None = None,
    progress: Progress | None = None,
    *,
    display: Display | None = None,
    regions: Outlines | None = None,
    intervals: bool = False,
) -> Path:
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
    progress : callable, optional
        Receives the share that is written, from 0 to 1. To stop, raise in it; nothing is left then.
    display : Display, optional
        How it is shown: the file keeps gene, colours and limits for those who open it in napari again.
    regions : mapping, optional
        Drawn regions, for formats that keep them (`Exporter.keeps_regions`).
    intervals : bool
        Write half-widths beside the values (`Exporter.keeps_intervals`).

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    UnknownGene
        It names the genes that the model does not predict.
    Nh2stError
        If there is no such format, or it cannot hold this prediction, or nothing is predicted yet.
    """
    exporter = _exporter(name)
    genes = list(dict.fromkeys(prediction.genes if genes is None else find_genes(prediction.card, genes)))
    if not genes:
        raise Nh2stError("no gene was named: nothing to export")
    part = prediction.only_done().only_genes(genes)
    if not len(part):
        raise Nh2stError("nothing is predicted yet: run the prediction before exporting it")
    if display is not None:
        part = replace(part, provenance={**part.provenance, DISPLAY: display.model_dump(mode="json")})
    if intervals:
        check_intervals(prediction.card, [name])
    if exporter.lattice and part.places.grid is None:
        raise Nh2stError(f"{name} needs tiles on a lattice, and these are single places")
    check_size(name, len(part), len(genes) * (1 + intervals))
    more: dict[str, Any] = {"regions": regions} if exporter.keeps_regions and regions else {}
    more |= {"intervals": True} if intervals else {}
    target, told = export_path(part, name, path), progress or (lambda share: None)
    with _finished(target, exporter) as draft:
        exporter.write(part, draft, genes, told, **more)
        if exporter.sidecar:
            with finished_file(sidecar_path(target)) as note:
                note.write_text(json.dumps(written_record(part), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    told(1.0)
    return target


def check_intervals(card: Card, names: Sequence[str]) -> None:
    """Say before anything is computed that half-widths cannot be written.

    Raises
    ------
    Nh2stError
        If the model has none, or a format does not keep them.
    """
    if card.why_no_intervals:
        raise Nh2stError(card.why_no_intervals)
    without = [name for name in names if not _exporter(name).keeps_intervals]
    if without:
        those = ", ".join(name for name, exporter in EXPORTERS.items() if exporter.keeps_intervals)
        raise Nh2stError(f"{', '.join(without)} keeps no half-widths: choose among {those}")


def check_package(package: str, for_what: str, extra: str) -> None:
    """Say before anything is computed that a package is missing, and the extra that brings it.

    Raises
    ------
    Nh2stError
    """
    if find_spec(package) is None:
        missing = f"{for_what} needs {package}, which is" if for_what != package else f"{package} is"
        raise Nh2stError(f"{missing} not installed: pip install 'napari-nh2st[{extra}]'")


def _need_package(exporter: Exporter) -> None:
    if exporter.package:
        check_package(exporter.package, exporter.name, exporter.name)


def _finished(target: Path, exporter: Exporter) -> AbstractContextManager[Path]:
    """Return the draft of a file, or of a folder that may replace only one of its kind."""
    if not exporter.folder:
        return finished_file(target)
    return finished_folder(target, overwrite=(target / "zarr.json").is_file())
