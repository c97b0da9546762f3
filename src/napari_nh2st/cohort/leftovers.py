"""The files that a cohort leaves: `cohort.csv`, `cohort.h5ad` and `cohort.html` beside the results of its slides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.atomic import finished_file
from napari_nh2st.cohort.at_work import DONE, FAILED
from napari_nh2st.cohort.page import page_of
from napari_nh2st.cohort.run import SlideRun
from napari_nh2st.formats.h5ad import write_file
from napari_nh2st.reading.table import written_frame

if TYPE_CHECKING:
    import anndata
    import pandas as pd

TABLE, MATRIX, PAGE = "cohort.csv", "cohort.h5ad", "cohort.html"
NOT_BEGUN, ALL_TISSUE = "not finished", "all tissue"
_FIGURES = ("tissue_mm2", "unlike_training", "artefacts", "left_out")
"""Columns of numbers that are not known of every slide, and of no region."""


def leave(slides: Sequence[SlideRun], out: Path, provenance: dict[str, Any]) -> list[Path]:
    """Write the table, the matrix and the page; returns their paths.

    Parameters
    ----------
    slides : sequence of SlideRun
    out : Path
        The folder of results.
    provenance : dict
    """
    out.mkdir(parents=True, exist_ok=True)
    table = cohort_table(slides)
    with finished_file(out / TABLE) as draft:
        written_frame(table).to_csv(draft, index=False)
    paths = [out / TABLE]
    data = cohort_matrix(slides, table, provenance)
    if data is not None:
        with finished_file(out / MATRIX) as draft:
            write_file(data, draft)
        paths.append(out / MATRIX)
    with finished_file(out / PAGE) as draft:
        draft.write_text(page_of(slides, table, provenance), encoding="utf-8")
    return [*paths, out / PAGE]


def cohort_table(slides: Sequence[SlideRun]) -> pd.DataFrame:
    """Return one row a slide, in the order of the command."""
    import pandas as pd

    return pd.DataFrame([_row(slide) for slide in slides])


def _row(slide: SlideRun) -> dict[str, Any]:
    row = slide.answer.get("row", {}) if slide.state == DONE else {}
    state = slide.state if slide.state in (DONE, FAILED) else NOT_BEGUN
    return {
        "slide": slide.job.stem,
        "sample": slide.job.sample,
        "patient": slide.job.patient,
        "state": state,
        "tissue_mm2": row.get("tissue_mm2"),
        "tiles": row.get("tiles_total"),
        "seconds": row.get("seconds"),
        "unlike_training": row.get("unlike"),
        "artefacts": None if (shares := row.get("artefacts")) is None else round(sum(shares.values()), 4),
        "left_out": None if (tiles := row.get("tiles_left_out")) is None else sum(tiles.values()),
        "warnings": " ".join(row.get("warnings", [])) or slide.error,
        "path": slide.job.path,
    }


def cohort_matrix(
    slides: Sequence[SlideRun], table: pd.DataFrame, provenance: dict[str, Any]
) -> anndata.AnnData | None:
    """Return the genes of each slide, and of each region that was drawn on it; None if no slide is done.

    X and the layer ``mean`` hold the mean over the tiles, the layer ``sd`` their standard deviation. ``obs["region"]``
    is `ALL_TISSUE` in the row of a whole slide.
    """
    import anndata
    import pandas as pd

    done = [i for i, slide in enumerate(slides) if slide.state == DONE]
    if not done:
        return None
    facts = table.drop(columns=["state", "seconds"]).astype(dict.fromkeys(_FIGURES, float))
    rows: list[dict[str, Any]] = []
    figures: list[dict[str, Any]] = []
    for i in done:
        of_slide = slides[i].answer["genes"]
        rows.append({**facts.iloc[i], "region": ALL_TISSUE})
        figures.append(of_slide)
        for region, part in of_slide["regions"].items():
            none = {**dict.fromkeys(_FIGURES, np.nan), "warnings": ""}
            rows.append({**facts.iloc[i], **none, "region": region, "tiles": part["tiles"]})
            figures.append(part)
    mean, spread = (np.array([f[name] for f in figures], dtype=np.float32) for name in ("mean", "sd"))
    obs = pd.DataFrame(rows).astype({"tiles": int})
    names = [r["slide"] if r["region"] == ALL_TISSUE else f"{r['slide']}, {r['region']}" for r in rows]
    obs.index = pd.Index(names, dtype=object, name="name")
    genes = pd.Index(figures[0]["genes"], dtype=object, name="gene")
    uns = {"nh2st": {"unit": figures[0]["unit"], "model": provenance["model"], "model_hash": provenance["model_hash"]}}
    return anndata.AnnData(mean, obs=obs, var=pd.DataFrame(index=genes), layers={"mean": mean, "sd": spread}, uns=uns)
