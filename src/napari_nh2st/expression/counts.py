"""The counts of a section as they come from a file, before they are an AnnData: loads NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.frame import FRAME

if TYPE_CHECKING:
    import anndata as ad

TISSUE = "under_tissue"  # in obs: whether the file says so of the spot
SAYS = "says"  # in uns: sentences on what was chosen or ignored
SLIDES = "slides"  # in uns: names of the slide
GENE_EXPRESSION = "Gene Expression"  # kind of a feature of Space Ranger
_OTHER_KINDS = ("antibody", "crispr", "multiplexing", "antigen", "peaks", "custom", "vdj", "hashtag", "adt")
_MOST = 1e9  # counts of a gene at a spot: more is damage
_PART = 0.98  # of the library that the file names: less is a part of the genes
_FEWEST, _DEEP = 20, 200  # spots, and counts of a spot, from which counts may look odd
_ALIKE = 0.01  # libraries that differ by less are no coincidence


@dataclass
class Counts:
    """A section as its file has it.

    Attributes
    ----------
    data, indices, indptr : arrays
        Whole numbers in compressed rows, or columns if `by_columns`.
    spots, genes : list of str
        Names of rows and columns.
    ids : list of str or None
        Ensembl ids of the genes without versions, "" where there is none.
    centres : (n, 2) float64 or None
        (x, y) in pixels of the image on which the spots were laid; None where the format keeps them elsewhere.
    under_tissue : (n,) bool or None
        As far as the file says it.
    array : (n, 2) float64 or None
        Rows and columns of the spots on their array, where the file has them.
    frame : dict
        `visium.frame_of`.
    says : list of str
        Sentences on what was chosen or ignored.
    slides : list of str
        Names that the file has for the slide.
    """

    data: npt.NDArray[Any]
    indices: npt.NDArray[np.int32]
    indptr: npt.NDArray[np.int64]
    spots: list[str]
    genes: list[str]
    by_columns: bool = False
    ids: list[str] | None = None
    centres: npt.NDArray[np.float64] | None = None
    under_tissue: npt.NDArray[np.bool_] | None = None
    array: npt.NDArray[np.float64] | None = None
    frame: dict[str, Any] = field(default_factory=dict)
    says: list[str] = field(default_factory=list)
    slides: list[str] = field(default_factory=list)

    def header(self) -> dict[str, Any]:
        """Return all but the arrays, for JSON."""
        return {
            "spots": self.spots,
            "genes": self.genes,
            "by_columns": self.by_columns,
            "ids": self.ids,
            "frame": self.frame,
            "says": self.says,
            "slides": self.slides,
        }

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that are there, by their names."""
        names = ("data", "indices", "indptr", "centres", "under_tissue", "array")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @classmethod
    def received(cls, header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Counts:
        """Put together what `header` and `arrays` gave."""
        parts: dict[str, Any] = {**header, **arrays}
        return cls(**parts)

    def to_anndata(self) -> ad.AnnData:
        """Return X in CSR float32 with centres, frame, sentences, ids and what lies under tissue, where it is known."""
        import anndata as ad
        import pandas as pd
        import scipy.sparse as sp

        shape = (len(self.spots), len(self.genes))
        kind = sp.csc_matrix if self.by_columns else sp.csr_matrix
        counts = sp.csr_matrix(kind((self.data.astype(np.float32), self.indices, self.indptr), shape=shape))
        spots = pd.Index(self.spots, dtype=object)
        # Given at once, since names that AnnData makes up take as long. It warns of repeated ones; others refuse them.
        out = ad.AnnData(counts, pd.DataFrame(index=spots) if spots.is_unique else None)
        out.obs_names, out.var_names = spots, self.genes
        if self.ids is not None:
            out.var["gene_ids"] = self.ids
        if self.centres is not None:
            out.obsm["spatial"] = self.centres
        if self.under_tissue is not None:
            out.obs[TISSUE] = self.under_tissue
        if self.array is not None:
            out.obs["array_row"], out.obs["array_col"] = self.array.T
        out.uns[FRAME], out.uns[SAYS], out.uns[SLIDES] = self.frame, self.says, self.slides
        return out


def odd_value(values: npt.NDArray[Any]) -> str:
    """Say which of the values is not a count; an empty text if all are."""
    if values.dtype.kind not in "iuf":
        return "it contains complex numbers" if values.dtype.kind == "c" else "it contains something other than numbers"
    with np.errstate(invalid="ignore"):
        good = (values >= 0) & (values <= _MOST)
        if values.dtype.kind == "f":
            good &= values == np.round(values)
    odd = values[~good]
    return f"it contains {float(odd[0]):.4g}" if len(odd) else ""


def refuse_what_is_no_count(name: str, values: npt.NDArray[Any]) -> None:
    """Raise an error if a matrix holds anything but whole numbers, 0 and up, and one of them at least.

    Raises
    ------
    SampleError
    """
    odd = odd_value(values) or ("" if values.any() else "all values are 0")
    if odd:
        raise SampleError(f"{name} holds no raw counts (whole numbers, 0 and up): {odd}")


def only_genes(name: str, kinds: Sequence[str]) -> npt.NDArray[np.bool_] | None:
    """Tell genes from other features (antibodies, guides) by the kinds that Space Ranger gives them.

    Returns
    -------
    (genes,) bool, or None
        None where all are genes, or are of kinds that nobody knows.

    Raises
    ------
    SampleError
        If there are other features only.
    """
    kept = np.array([kind.strip() == GENE_EXPRESSION for kind in kinds], dtype=bool)
    if kept.any():
        return None if kept.all() else kept
    others = [kind for kind in kinds if kind.strip().casefold().startswith(_OTHER_KINDS)]
    if others and len(others) == len(kinds):
        raise SampleError(f"{name} holds no counts of genes, but of {others[0]}")
    return None


def others_left_out(kinds: Sequence[str], genes: npt.NDArray[np.bool_]) -> list[str]:
    """Say how many features of other kinds are left out (`only_genes`)."""
    others = sorted({kind for kind, gene in zip(kinds, genes, strict=True) if not gene})
    return [f"{int((~genes).sum()):,} features that are not genes are left out ({', '.join(others[:4])})"]


def doubtful_counts(values: npt.NDArray[Any], totals: npt.NDArray[np.float64]) -> list[str]:
    """Say where whole numbers look as if they were no counts.

    Parameters
    ----------
    values : (nnz,) numbers
    totals : (n,) float64
        Of each spot.
    """
    totals = totals[totals > 0]
    if len(totals) < _FEWEST:
        return []
    if values.max(initial=0) <= 1:
        return ["its counts are only 0 and 1, which say whether a gene was seen, not how often: give the raw counts"]
    middle = float(np.median(totals))
    if middle >= _DEEP and np.mean(np.abs(totals / middle - 1) < _ALIKE) > 1 - _ALIKE:
        return [f"all spots have about {middle:,.0f} counts, as after normalising and rounding: give the raw counts"]
    return []


def part_of_library(totals: npt.NDArray[np.float64], told: npt.NDArray[np.float64], column: str) -> str:
    """Say that counts are of a part of the genes, where the file names larger libraries; else an empty text.

    Parameters
    ----------
    totals, told : (n,) float64
        Counts of each spot as added up, and as the file says.
    column : str
        Where it says so.
    """
    there = np.isfinite(told) & (told > 0) & (totals > 0)
    if not there.any() or np.median(totals[there] / told[there]) >= _PART:
        return ""
    counted, library = np.median(totals[there]), np.median(told[there])
    return (
        f"its counts cover only some of the genes: {counted:,.0f} in the median spot of {library:,.0f} by {column}; "
        "values per 10,000 come out too high: give the counts of all genes"
    )


def beyond_library(totals: npt.NDArray[np.float64], told: npt.NDArray[np.float64], column: str) -> str:
    """Say that counts are more than were counted, as after SCTransform; else an empty text. See `part_of_library`."""
    there = np.isfinite(told) & (told > 0) & (totals > 0)
    more = totals[there] * _PART > told[there]
    if not there.any() or more.mean() < _ALIKE * 5:
        return ""
    return (
        f"{int(more.sum()):,} spots have more counts than {column} says, as after correcting them (SCTransform): give "
        "the raw counts"
    )


def totals_of(counts: Counts) -> npt.NDArray[np.float64]:
    """Return the counts of each spot (n,)."""
    n = len(counts.spots)
    values = counts.data.astype(np.float64)
    rows = counts.indices if counts.by_columns else np.repeat(np.arange(n), np.diff(counts.indptr))
    return np.bincount(rows, weights=values, minlength=n).astype(np.float64)
