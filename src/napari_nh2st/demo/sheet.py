"""Slides and counts of procedural sections, as a sample sheet for `nh2st finetune`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from napari_nh2st.atomic import finished_file
from napari_nh2st.demo.genes import GENES, PITCH
from napari_nh2st.demo.tissue import MARK, SIZE_MM, Section, make_section, write_slide
from napari_nh2st.errors import Cancelled
from napari_nh2st.formats.h5ad import write_file

DEPTH = 30_000
"""Mean number of counts at a spot; spots vary by a quarter (log-normal)."""

ARRAY_PITCH = PITCH / 2
"""Distance between spots, um: neighbour places fall on spots, and each stretch of tissue that is encoded in training
is asked about four times as often as by an array of the full pitch."""

FILLERS = 3_000
"""Further invented genes that make up the library. Each is rarer on average than any gene of `GENES`, so that a panel
of the most expressed genes is exactly `GENES`."""


def write_sample_sheet(
    seeds: Sequence[int],
    folder: str | Path,
    *,
    size_mm: tuple[float, float] = SIZE_MM,
    mpp: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """Write one slide and one table of counts a seed, and the sheet that lists them.

    Parameters
    ----------
    seeds : sequence of int
        One section each, and each its own patient.
    folder : path
        Destination of `samples.csv`, and of `S<seed>.tif` and `S<seed>.h5ad` for every seed.
    size_mm, mpp
        As in `make_section`.
    progress : callable, optional
        Called with (sections done, sections in all).
    cancelled : callable
        Asked between sections.

    Returns
    -------
    Path
        The sheet.

    Raises
    ------
    Cancelled
        If `cancelled()` becomes true.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for done, seed in enumerate(seeds):
        if cancelled():
            raise Cancelled("the demo's sample sheet was stopped before it was complete")
        section = make_section(seed, size_mm=size_mm, mpp=mpp)
        name = f"S{seed}"
        write_slide(section, folder / f"{name}.tif")
        with finished_file(folder / f"{name}.h5ad") as draft:
            write_file(measure(section), draft)
        rows.append((name, f"synthetic-{seed}", f"{name}.tif", f"{name}.h5ad", "h5ad", mpp))
        if progress is not None:
            progress(done + 1, len(seeds))
    sheet = folder / "samples.csv"
    columns = ["sample", "patient", "slide", "expression", "format", "mpp"]
    pd.DataFrame(rows, columns=columns).to_csv(sheet, index=False)
    return sheet


def measure(section: Section, depth: float = DEPTH, pitch: float = ARRAY_PITCH) -> ad.AnnData:
    """Sample raw counts at the section's spots.

    Parameters
    ----------
    section : Section
    depth : float
        Mean counts at a spot, over all genes.
    pitch : float
        Distance between spots, um.

    Returns
    -------
    AnnData
        X (spots, genes of `GENES` then fillers), int32 counts, sparse; Poisson about depth x share, so that
        ln(1 + counts per 10,000) is the truth and noise. obsm["spatial"] holds spot centres (x, y), level-0 pixels.
    """
    rng = np.random.default_rng([section.seed, 13])
    centres = section.spots(pitch)
    rates = _shares(section.truth(centres), FILLERS)
    sizes = depth * np.exp(rng.normal(0, 0.25, len(centres)) - 0.25**2 / 2)
    counts = rng.poisson(rates * sizes[:, None]).astype(np.int32)
    fillers = [f"FILLER-{i:04d}" for i in range(FILLERS)]
    step = pitch / section.mpp
    obs = pd.DataFrame(
        {
            "array_row": np.rint((centres[:, 1] - centres[:, 1].min()) / step).astype(int),
            "array_col": np.rint((centres[:, 0] - centres[:, 0].min()) / step).astype(int),
        },
        index=[f"spot-{i:04d}" for i in range(len(centres))],
    )
    var = pd.DataFrame(
        {"group": [g.group for g in GENES] + ["filler"] * FILLERS}, index=[g.name for g in GENES] + fillers
    )
    about = {"description": f"{MARK}, seed {section.seed}: counts of invented genes", "synthetic": True}
    return ad.AnnData(
        sparse.csr_matrix(counts), obs=obs, var=var, obsm={"spatial": centres}, uns={"napari_nh2st": about}
    )


def _shares(truth: npt.NDArray[np.float64], fillers: int) -> npt.NDArray[np.float64]:
    """Share of each gene in the library, (n, G + fillers), from labels (n, G)."""
    known = np.expm1(truth) / 1e4
    weights = np.linspace(0.6, 1.4, fillers)
    rest = (1 - known.sum(axis=1, keepdims=True)) * (weights / weights.sum())
    return np.concatenate([known, rest], axis=1)
