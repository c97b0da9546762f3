"""The record that each slide has left for its cohort, read again. No torch, no Dask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_nh2st.cohort.job import RECORDS
from napari_nh2st.errors import Nh2stError
from napari_nh2st.reading import read_json


@dataclass(frozen=True)
class KeptSlide:
    """A predicted slide of a cohort: where it is, its pixel size, the model, and its prediction."""

    path: str
    mpp: float | None
    model: str
    prediction: str


def is_cohort(folder: Path) -> bool:
    """Tell whether a folder is that of a cohort."""
    return (folder / RECORDS).is_dir()


def recorded(folder: Path) -> set[str]:
    """Name the slides of a cohort that have left a record."""
    return {path.stem for path in (folder / RECORDS).glob("*.json") if not path.name.startswith(".")}


def find_slide(folder: Path, name: str | None = None) -> KeptSlide:
    """Find a slide of a cohort by the name of its results; the first by name if none is given.

    Raises
    ------
    Nh2stError
        If there is none.
    """
    names = sorted(recorded(folder))
    if not names:
        raise Nh2stError(f"no slide of {folder} is predicted yet")
    name = names[0] if name is None else name
    if name not in names:
        several = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise Nh2stError(f"{folder} has no predicted slide {name!r}: it has {several}")
    file = folder / RECORDS / f"{name}.json"
    try:
        record = read_json(file)
        row = record["row"]
        mpp = None if row["mpp"] is None else float(row["mpp"])
        return KeptSlide(str(record["path"]), mpp, str(record["model"]), str(row["outputs"][0]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Nh2stError(f"{file} is damaged: predict the cohort again, with the same command") from error
