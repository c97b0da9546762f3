"""The page of a cohort: one HTML file that opens without a server, with everything in it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.cohort.at_work import DONE, FAILED
from napari_nh2st.cohort.run import SlideRun

if TYPE_CHECKING:
    import pandas as pd

_LARGE = (300, 2000)  # slides beyond which fewer genes are drawn, so that the page stays a page
_COLUMNS = {
    "slide": "Slide",
    "patient": "Patient",
    "state": "State",
    "tissue_mm2": "Tissue, mm²",
    "tiles": "Tiles",
    "seconds": "Seconds",
    "unlike_training": "Unlike the training",
}


@dataclass(frozen=True)
class Cell:
    """A cell of the table; numbers carry their full value, by which they are sorted."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Row:
    """A slide in the table."""

    slide: str
    state: str
    cells: list[Cell]
    words: str


def page_of(slides: Sequence[SlideRun], table: pd.DataFrame, provenance: dict[str, Any]) -> str:
    """Write the page; every text from elsewhere is escaped."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader("napari_nh2st.cohort", ""), PackageLoader("napari_nh2st.report", "")])
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    done = [slide for slide in slides if slide.state == DONE]
    failed = [slide for slide in slides if slide.state == FAILED]
    genes = _genes(done, len(slides))
    facts = [
        f"{len(done)} of {len(slides)} slides predicted",
        f"{len(failed)} failed",
        f"{np.nansum(table['tissue_mm2'].astype(float)):,.1f} mm² of tissue",
        f"model {provenance['model']}",
    ]
    return page.get_template("page.html").render(
        facts=facts,
        command=provenance["command"],
        failed=failed,
        genes=genes,
        unit=done[0].answer["genes"]["unit"] if done else "",
        columns=[*_COLUMNS.values(), "Warnings"],
        rows=[_row(values) for values in table.to_dict("records")],
        pictures=_json({slide.job.stem: _pictures(slide, genes) for slide in done}),
    )


def _genes(done: Sequence[SlideRun], slides: int) -> list[str]:
    """Choose the genes that can be looked at: of few slides all that were kept, of very many only the first."""
    kept = list(done[0].answer["pictures"]["maps"]) if done else []
    most = len(kept) if slides <= _LARGE[0] else 3 if slides <= _LARGE[1] else 1
    return kept[:most]


def _pictures(slide: SlideRun, genes: Sequence[str]) -> dict[str, Any]:
    pictures = slide.answer["pictures"]
    return {"thumbnail": pictures["thumbnail"], "maps": {gene: pictures["maps"][gene] for gene in genes}}


def _row(values: Mapping[Hashable, Any]) -> Row:
    cells = [_cell(name, values[name]) for name in _COLUMNS]
    return Row(str(values["slide"]), str(values["state"]), cells, str(values["warnings"] or ""))


def _cell(name: str, value: Any) -> Cell:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return Cell("")
    if isinstance(value, str):
        return Cell(value)
    text = f"{value:.1%}" if name == "unlike_training" else f"{value:,.0f}" if name == "tiles" else f"{value:,.1f}"
    return Cell(text, float(value))


def _json(document: Any) -> str:
    """Write JSON that nothing in a script's element can end."""
    return json.dumps(document).replace("<", "\\u003c").replace("&", "\\u0026")
