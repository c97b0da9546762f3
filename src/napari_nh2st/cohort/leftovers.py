"""What a cohort leaves: `cohort.csv`, `cohort.h5ad` and `cohort.html` beside the results of its slides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.atomic import finished_file
from napari_nh2st.cohort.page import page_of
from napari_nh2st.cohort.run import SlideRun
from napari_nh2st.cohort.tasks import DONE, FAILED
from napari_nh2st.formats.h5ad import write_file
from napari_nh2st.reading.table import written_frame

if TYPE_CHECKING:
    import anndata
    import pandas as pd

TABLE, MATRIX, PAGE = "cohort.csv", "cohort.h5ad", "cohort.html"
NOT_BEGUN = "not finished"


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
        "warnings": " ".join(row.get("warnings", [])) or slide.error,
        "path": slide.job.path,
    }


def cohort_matrix(
    slides: Sequence[SlideRun], table: pd.DataFrame, provenance: dict[str, Any]
) -> anndata.AnnData | None:
    """Return slides x genes: X and the layer ``mean`` over the tissue, the layer ``sd``; None if no slide is done."""
    import anndata
    import pandas as pd

    done = [i for i, slide in enumerate(slides) if slide.state == DONE]
    if not done:
        return None
    figures = [slides[i].answer["genes"] for i in done]
    mean, spread = (np.array([f[name] for f in figures], dtype=np.float32) for name in ("mean", "sd"))
    obs = table.iloc[done].set_index("slide").drop(columns=["state", "seconds"])
    for name in ("tissue_mm2", "unlike_training"):
        obs[name] = obs[name].astype(float)
    obs["tiles"] = obs["tiles"].astype(int)
    obs.index = pd.Index(obs.index.astype(str), dtype=object, name="slide")
    genes = pd.Index(figures[0]["genes"], dtype=object, name="gene")
    uns = {"nh2st": {"unit": figures[0]["unit"], "model": provenance["model"], "model_hash": provenance["model_hash"]}}
    return anndata.AnnData(mean, obs=obs, var=pd.DataFrame(index=genes), layers={"mean": mean, "sd": spread}, uns=uns)
