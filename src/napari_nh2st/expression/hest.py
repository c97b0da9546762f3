"""HEST-1k: `st/ID.h5ad` with its slide `wsis/ID.tif` and its facts `metadata/ID.json`, found by the id."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.apart import read_apart
from napari_nh2st.expression.counts import Counts
from napari_nh2st.expression.patients import nobody
from napari_nh2st.expression.pool import MPP
from napari_nh2st.reading import read_json

if TYPE_CHECKING:
    import anndata as ad

_MOST = 1 << 22  # bytes of the facts
_SIZES = ("pixel_size_um_estimated", "pixel_size_um_embedded")  # by the array, and as the image says; the first counts


def is_hest(path: Path) -> bool:
    """Tell whether a file is a section of HEST-1k: it lies in `st`, and its facts in `metadata` beside that."""
    return path.suffix.lower() == ".h5ad" and path.parent.name == "st" and _facts_of(path).is_file()


def read_hest(expression: Path, spots: Path | None) -> ad.AnnData:
    """Read a section of HEST-1k.

    Returns
    -------
    AnnData
        As of an h5ad, with ``uns["mpp"]`` as HEST has estimated it from the array.

    Raises
    ------
    SampleError
        If the counts or the facts cannot be read.
    """
    data = Counts.received(*read_apart("h5ad", expression)).to_anndata()
    _, mpp = hest_facts(expression)
    if mpp is not None:
        data.uns[MPP] = mpp
    return data


def hest_facts(path: Path) -> tuple[str, float | None]:
    """Return the patient of a section and the micrometres per pixel of its slide, as far as HEST knows them.

    Raises
    ------
    SampleError
        If its facts cannot be read.
    """
    facts_of = _facts_of(path)
    if not facts_of.is_file():
        raise SampleError(f"{path} is no section of HEST-1k: there is no {facts_of}")
    facts: Any = read_json(facts_of, error=SampleError, most=_MOST, infinite=True)
    if not isinstance(facts, dict):
        raise SampleError(f"cannot read {facts_of}: it holds no facts")
    sizes = [facts.get(name) for name in _SIZES]
    size = next((float(s) for s in sizes if isinstance(s, (int, float)) and 0.01 < s < 100), None)
    patient = str(facts.get("patient") or "").strip()
    return ("" if nobody(patient) else patient), size


def _facts_of(path: Path) -> Path:
    return path.parent.parent / "metadata" / f"{path.stem}.json"
