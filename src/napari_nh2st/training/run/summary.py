"""The held-out figures of a run, beside those of simpler models on the same spots. Quick: neither torch nor Qt."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_nh2st.atomic import finished_file
from napari_nh2st.reading import contents, parse_json

FILE = "summary.json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SummaryLine(_Strict):
    """Mean PCC over genes of one model, with its 95% interval. `about` is a sentence for a person."""

    name: str
    about: str
    pcc: float
    low: float
    high: float


class Summary(_Strict):
    """The held-out figures of a run.

    Attributes
    ----------
    kind : str
        Whether the patients of the held-out spots are new to the model.
    held_out : list of str
        Sections, as "C5", or "C5 (block)" if a part of it was.
    spots, genes : int
        That were scored.
    lines : list of SummaryLine
        Simpler models first, the run's own last.
    caveats : list of str
        Sentences to know before a figure is believed.
    """

    kind: Literal["cross-patient", "same-patient", "synthetic"]
    held_out: list[str]
    spots: int
    genes: int
    lines: list[SummaryLine] = Field(min_length=1)
    caveats: list[str] = []


def write_summary(summary: Summary, run: str | Path) -> None:
    """Write RUN/summary.json."""
    with finished_file(Path(run) / FILE) as draft:
        draft.write_text(summary.model_dump_json(indent=1) + "\n", "utf-8")


def read_summary(run: str | Path) -> Summary | None:
    """Read a run's summary; None where there is none, or none that can be read."""
    try:
        return Summary.model_validate(parse_json(contents(Path(run).expanduser() / FILE)))
    except (OSError, ValueError):
        return None
