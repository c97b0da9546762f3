"""Predictions for tissue that a run does not learn from, beside the measurements there, to look at.

Quick to import and to read, neither torch nor Qt: the viewer follows a run by this file.

    RUN/held_out.safetensors   rewritten after an epoch; whole at every moment
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from napari_nh2st.atomic import finished_file
from napari_nh2st.geometry import SELF
from napari_nh2st.reading import parse_json

if TYPE_CHECKING:
    from napari_nh2st.model.card import Card
    from napari_nh2st.training.sections.section import Section

FILE = "held_out.safetensors"


# Spots of a section that are written at most: a picture of a dock's width cannot show more apart.
MOST_SPOTS = 5000


What = Literal["blocks", "sections"]


Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SectionPrediction:
    """The held-out spots of one section.

    Attributes
    ----------
    name : str
    spacing : float
        Distance of neighbouring spots, level-0 pixels.
    around : (k, 2) float32
        Spots that are trained on, (x, y) in level-0 pixels; none where the whole section is held out.
    xy : (m, 2) float32
        Held-out spots, likewise.
    measured, predicted : (m, G) float32
        In label units.
    """

    name: str
    spacing: float
    around: Floats
    xy: Floats
    measured: Floats
    predicted: Floats


@dataclass(frozen=True, eq=False)
class HeldOutPrediction:
    """All held-out spots as the model of one epoch predicts them.

    Attributes
    ----------
    epoch : int or None
        From 0; None where it is the finished model.
    what : "blocks" or "sections"
        Whether a block of each section, or whole sections, are held out.
    genes : list of str
    unit : str
    sections : list of SectionPrediction
    """

    epoch: int | None
    what: What
    genes: list[str]
    unit: str
    sections: list[SectionPrediction]


def some_spots(spots: int) -> npt.NDArray[np.int64]:
    """Choose spots that are spread over a section's list, at most `MOST_SPOTS`, the same ones every time."""
    return np.unique(np.linspace(0, max(spots - 1, 0), min(spots, MOST_SPOTS)).astype(np.int64))


def write_held_out(prediction: HeldOutPrediction, run: Path) -> None:
    """Write RUN/held_out.safetensors, in half precision."""
    tensors: dict[str, Floats] = {}
    for i, section in enumerate(prediction.sections):
        tensors |= {f"{i}.around": section.around, f"{i}.xy": section.xy}
        tensors |= {f"{i}.{k}": getattr(section, k).astype(np.float16) for k in ("measured", "predicted")}
    facts = {
        "epoch": prediction.epoch,
        "what": prediction.what,
        "genes": prediction.genes,
        "unit": prediction.unit,
        "sections": [{"name": s.name, "spacing": s.spacing} for s in prediction.sections],
    }
    with finished_file(run / FILE) as draft:
        draft.write_bytes(save(tensors, {"facts": json.dumps(facts)}))


def read_held_out(run: Path) -> HeldOutPrediction | None:
    """Read a run's file; None where there is none, or none that can be read."""
    path = run / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            facts = parse_json((file.metadata() or {})["facts"])
            arrays = [
                [np.asarray(file.get_tensor(f"{i}.{k}"), np.float32) for k in ("around", "xy", "measured", "predicted")]
                for i in range(len(facts["sections"]))
            ]
        named = zip(facts["sections"], arrays, strict=True)
        sections = [SectionPrediction(str(s["name"]), float(s["spacing"]), *of) for s, of in named]
        epoch = None if facts["epoch"] is None else int(facts["epoch"])
        genes = [str(gene) for gene in facts["genes"]]
        fits = all(_fits(section, len(genes)) for section in sections)
        prediction = HeldOutPrediction(epoch, facts["what"], genes, str(facts["unit"]), sections)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, OverflowError):
        return None
    return prediction if fits and prediction.what in get_args(What) else None


def _fits(section: SectionPrediction, genes: int) -> bool:
    spots = len(section.xy)
    shapes = [a.shape for a in (section.around, section.xy, section.measured, section.predicted)]
    return shapes == [(len(section.around), 2), (spots, 2), (spots, genes), (spots, genes)]


def section_prediction(
    section: Section,
    card: Card,
    spots: npt.NDArray[np.int64],
    truth: npt.NDArray[np.float32],
    predicted: npt.NDArray[np.float32],
) -> SectionPrediction:
    """Lay out the held-out spots of a section, or some of them where they are very many."""
    scale = card.mpp / section.mpp
    xy = ((section.centres[:, SELF] + section.corner) * scale).astype(np.float32)
    some, others = some_spots(len(spots)), np.flatnonzero(~section.held_out)
    around = xy[others[some_spots(len(others))]]
    return SectionPrediction(section.name, card.pitch * scale, around, xy[spots[some]], truth[some], predicted[some])
