"""The folder that `nh2st predict` leaves: hidden vectors and the decoder, from which every gene is decoded again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.engine.result_header import read_header
from napari_nh2st.engine.store import SUFFIX, fill_folder, open_prediction
from napari_nh2st.formats.exporter import Exporter, Progress, in_blocks
from napari_nh2st.formats.importer import Importer
from napari_nh2st.formats.table import CARD


def write(prediction: Prediction, path: Path, genes: Sequence[str], progress: Progress) -> None:
    """Fill a folder."""
    progress(0)
    fill_folder(prediction, path)


def read_record(path: Path) -> dict[str, Any]:
    """Return the provenance, the slide and the model."""
    meta, stored = read_header(path)
    card = stored.card
    return {**meta["provenance"], "model": card.name, "unit": card.unit, "slide": meta["slide"], CARD: meta["card"]}


IMPORTER = Importer("nh2st", open_prediction)
EXPORTER = Exporter(
    "nh2st",
    SUFFIX,
    "The prediction itself, as nh2st predict leaves it: opens in napari and Python (a folder)",
    write,
    read_record=read_record,
    folder=True,
    lattice=True,
    memory=in_blocks(64 * 64),
)
