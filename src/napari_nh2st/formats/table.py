"""Tiles, genes and provenance in every exported table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.places import mismatch
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.formats.exporter import Progress
from napari_nh2st.geometry import IntArray, TileSet
from napari_nh2st.provenance import DISTRIBUTION, repeat_command, versions
from napari_nh2st.reading import parse_json
from napari_nh2st.slide_path import slide_stem

CARD, DISPLAY = "card", "display"  # keys of the provenance: the model's card, and how the prediction was shown

# What `describe` and `written_record` work out; all else in a record is the prediction's own provenance.
FACTS = frozenset(
    (
        *("content", "unit", "label_recipe", "model", "model_variant", "model_licence", "synthetic", "trust"),
        *("slide", "mpp", "mpp_source", "coordinates", "places", "exported_with", "gene_facts", CARD),
    )
)


def tile_ids(places: TileSet) -> list[str]:
    """Name the n places, always in the same way.

    Returns
    -------
    list of str
        ``r0012_c0034`` for lattice row 12 and column 34; for given places ``x1234_y567``, the level-0 pixel of the
        centre, with ``-1``, ``-2`` added if several share it.
    """
    if places.grid is not None:
        return [f"r{row:04d}_c{column:04d}" for row, column in places.grid.tolist()]
    seen: dict[str, int] = {}
    names = []
    for x, y in np.floor(places.centres).astype(np.int64).tolist():
        name = f"x{x}_y{y}"
        count = seen.get(name, 0)
        seen[name] = count + 1
        names.append(f"{name}-{count}" if count else name)
    return names


def rows_and_columns(places: TileSet) -> IntArray:
    """Lattice index (row, column) of each place, (n, 2).

    For given places, the cell of the slide's lattice (side = pitch) that the centre falls into.
    """
    if places.grid is not None:
        return places.grid
    cells = np.floor(places.centres / tile_side(places))
    return np.asarray(cells[:, ::-1], dtype=np.int64)


def tile_side(places: TileSet) -> float:
    """Return the side of the cell drawn for a place, level-0 pixels."""
    return places.pitch * places.scale


def slide_mpp(prediction: Prediction) -> float:
    """Return the micrometres per level-0 pixel at which the prediction was made."""
    return float(prediction.slide.get("mpp") or prediction.card.mpp / prediction.places.scale)


def slide_name(prediction: Prediction) -> str:
    """Return the slide's file name without its ending: a library's name, a file's stem."""
    return slide_stem(str(prediction.slide.get("path") or "")) or "slide"


def _plain(value: Any) -> Any:
    """Turn NumPy values and paths into JSON types."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def describe(prediction: Prediction) -> dict[str, Any]:
    """Describe a prediction: its content, model, slide and the command that repeats it.

    Returns
    -------
    dict
        JSON-able. The prediction's own provenance, plus facts that the reader of a table needs.
    """
    card, places = prediction.card, prediction.places
    own = _plain(prediction.provenance)
    record: dict[str, Any] = {
        "content": "predicted expression, not a measurement",
        "unit": card.unit,
        "label_recipe": card.label_recipe,
        "model": card.name,
        "model_variant": card.variant,
        "model_licence": card.licence,
        "synthetic": bool(card.synthetic or prediction.slide.get("synthetic", False)),
        "trust": None if card.evaluation is None else card.evaluation.kind,
        "slide": _plain(prediction.slide),
        "mpp": slide_mpp(prediction),
        "mpp_source": prediction.slide.get("mpp_source", "unknown"),
        "coordinates": "tile centres (x, y), continuous level-0 pixels, pixel i covers [i, i + 1)",
        "places": {
            "count": len(prediction),
            "pitch_model_px": places.pitch,
            "pitch_um": places.pitch * card.mpp,
            "side_level0_px": tile_side(places),
            "lattice": places.grid is not None,
        },
    }
    record.update({k: v for k, v in own.items() if k not in record})
    record.setdefault("command", repeat_command())
    record["exported_with"] = f"napari-nh2st {versions().get(DISTRIBUTION, '')}".strip()
    return record


def sidecar_path(path: Path) -> Path:
    """Name the provenance file beside a file that has no room for it."""
    return path.with_name(f"{path.name}.provenance.json")


def written_record(prediction: Prediction) -> dict[str, Any]:
    """Return what a file needs to be opened again: `describe`, and the model's card."""
    return describe(prediction) | {CARD: prediction.card.model_dump(mode="json", exclude_defaults=True)}


def flat(record: dict[str, Any]) -> dict[str, str | int | float | bool]:
    """Make a record one level deep, for files without nesting: anything but a scalar becomes JSON. See `nested`."""
    out: dict[str, str | int | float | bool] = {}
    for key, value in record.items():
        out[key] = value if isinstance(value, str | int | float | bool) else json.dumps(value)
    return out


def nested(record: dict[str, Any]) -> dict[str, Any]:
    """Undo `flat`."""
    out = {}
    for key, value in record.items():
        is_json = isinstance(value, str) and value[:1] in ("{", "[")
        try:
            out[key] = parse_json(value) if is_json else value
        except ValueError:
            out[key] = value  # a text of somebody's
    return out


def plain_values(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as h5ad keeps it: dicts, texts, numbers and arrays; what is not known is left out."""
    out: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            out[key] = plain_values(value)
        elif isinstance(value, list) and all(isinstance(v, str | int | float) for v in value):
            out[key] = np.array(value, dtype=object if value and isinstance(value[0], str) else None)
        elif value is not None:
            out[key] = value if isinstance(value, str | int | float | bool) else json.dumps(value)
    return out


def means_nothing(prediction: Prediction) -> list[str]:
    """Say that a prediction means nothing: a demo model on a real slide, or the other way round."""
    return mismatch(prediction.card, synthetic=bool(prediction.slide.get("synthetic", False)))


def gene_trust(prediction: Prediction, genes: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Held-out PCC of each gene with the ends of its interval.

    Returns
    -------
    (G, 3) float64 or None
        PCC, low, high; NaN if a gene was not evaluated, None if the model never was.
    """
    evaluation = prediction.card.evaluation
    if evaluation is None:
        return None
    table = np.full((len(genes), 3), np.nan)
    for row, gene in enumerate(genes):
        trust = evaluation.genes.get(gene)
        if trust is not None:
            table[row] = [np.nan if v is None else v for v in (trust.pcc, trust.low, trust.high)]
    return table


def gene_facts(prediction: Prediction, genes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return by gene what a reader of its values needs, JSON-able.

    Returns
    -------
    dict of dict
        ``unit``; ``gene_id`` (Ensembl), ``training_mean`` (of the label, over the training spots), ``heldout_pcc``,
        ``heldout_pcc_low`` and ``heldout_pcc_high``, each None if unknown.
    """
    card, rows, trust = prediction.card, prediction.gene_indices(genes), gene_trust(prediction, genes)
    pcc = np.full((len(genes), 3), np.nan) if trust is None else trust
    return {
        gene: {
            "unit": card.unit,
            "gene_id": None if card.ensembl is None else card.ensembl[row],
            "training_mean": None if card.gene_means is None else float(card.gene_means[row]),
            **{
                key: float(value) if np.isfinite(value) else None
                for key, value in zip(("heldout_pcc", "heldout_pcc_low", "heldout_pcc_high"), values, strict=True)
            },
        }
        for gene, row, values in zip(genes, rows, pcc, strict=True)
    }


def half_width_columns(genes: Sequence[str], *, intervals: bool) -> list[str]:
    """Name the columns of half-widths; none where they were not asked for."""
    return [f"{gene} half-width" for gene in genes] if intervals else []


def value_blocks(
    prediction: Prediction, genes: Sequence[str], size: int, progress: Progress, *, intervals: bool = False
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Decode `size` tiles at a time, so that the whole table is never in memory; with `intervals`, half-widths follow.

    Yields
    ------
    slice
        Of the n places.
    (size, G) or (size, 2 G) float32
        The last block may be shorter.
    """
    rows = prediction.gene_indices(genes)
    for start in range(0, len(prediction), size):
        progress(start / len(prediction))
        part = slice(start, min(start + size, len(prediction)))
        values = prediction.decoder(prediction.hidden[part], rows)
        if intervals:
            values = np.hstack([values, prediction.select(np.arange(part.start, part.stop)).half_width(genes)])
        yield part, values
