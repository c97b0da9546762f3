"""The page of a cohort: one HTML file that opens without a server, with everything in it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_nh2st.cohort.at_work import DONE, FAILED
from napari_nh2st.cohort.run import SlideRun
from napari_nh2st.cohort.summary import jpeg_text

if TYPE_CHECKING:
    import pandas as pd

# Slides beyond which fewer genes are drawn, and then smaller pictures, so that the page stays a page.
_LARGE = (300, 2000)
_SMALL = 80  # pixels of the longer side
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

    name: str
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
    columns = {name: title for name, title in _COLUMNS.items() if name != "patient" or table[name].astype(bool).any()}
    facts = [
        f"{len(done)} of {len(slides)} slides predicted",
        f"{len(failed)} failed",
        f"{np.nansum(table['tissue_mm2'].astype(float)):,.1f} mm² of tissue",
        f"model {provenance['model']}",
    ]
    of_all = _said_of_all(done)
    return page.get_template("page.html").render(
        facts=facts,
        command=provenance["command"],
        of_all=of_all,
        failed=[(slide.job.stem, _without_folder(slide.error, slide.job.path)) for slide in failed],
        genes=genes,
        unit=done[0].answer["genes"]["unit"] if done else "",
        columns=[*columns.values(), "Warnings"],
        rows=[_row(values, columns, of_all) for values in table.to_dict("records")],
        pictures=_json({slide.job.stem: _pictures(slide, genes, small=len(slides) > _LARGE[1]) for slide in done}),
    )


def _genes(done: Sequence[SlideRun], slides: int) -> list[str]:
    """Choose the genes that can be looked at: of few slides all that were kept, of very many only the first."""
    kept = list(done[0].answer["pictures"]["maps"]) if done else []
    most = len(kept) if slides <= _LARGE[0] else 3 if slides <= _LARGE[1] else 1
    return kept[:most]


def _pictures(slide: SlideRun, genes: Sequence[str], *, small: bool) -> dict[str, Any]:
    pictures = slide.answer["pictures"]
    thumbnail = _smaller(pictures["thumbnail"]) if small else pictures["thumbnail"]
    return {"thumbnail": thumbnail, "maps": {gene: pictures["maps"][gene] for gene in genes}}


def _smaller(thumbnail: str) -> str:
    """Draw a thumbnail (JPEG in base64; or "") smaller."""
    if not thumbnail:
        return ""
    picture = Image.open(io.BytesIO(base64.b64decode(thumbnail)))
    picture.draft("RGB", (_SMALL, _SMALL))  # reads no more than that of it
    picture.thumbnail((_SMALL, _SMALL))
    return jpeg_text(picture)


def _said_of_all(done: Sequence[SlideRun]) -> list[str]:
    """Return the warnings of every slide of several, such as those about the model: the page has them once."""
    warnings = [slide.answer["row"].get("warnings", []) for slide in done]
    return [said for said in warnings[0] if all(said in others for others in warnings)] if len(warnings) > 1 else []


def _without_folder(words: str, path: str) -> str:
    """Name a slide by its file alone."""
    return words.replace(path, Path(path).name)


def _row(values: Mapping[Hashable, Any], columns: Iterable[str], of_all: Sequence[str]) -> Row:
    words = _without_folder(str(values["warnings"] or ""), str(values["path"]))
    for said in of_all:
        words = words.replace(said, "")
    cells = [_cell(name, values[name]) for name in columns]
    return Row(str(values["slide"]), str(values["state"]), cells, " ".join(words.split()))


def _cell(name: str, value: Any) -> Cell:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return Cell(name, "")
    if isinstance(value, str):
        return Cell(name, value)
    text = f"{value:.1%}" if name == "unlike_training" else f"{value:,.0f}" if name == "tiles" else f"{value:,.1f}"
    return Cell(name, text, float(value))


def _json(document: Any) -> str:
    """Write JSON that nothing in a script's element can end."""
    return json.dumps(document).replace("<", "\\u003c").replace("&", "\\u0026")
