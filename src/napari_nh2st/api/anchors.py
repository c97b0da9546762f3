"""Correcting a prediction with a few measured spots, from Python and from the command line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.analysis.anchors import KEY, Anchors, correct
from napari_nh2st.analysis.models_at_spots import under_spots
from napari_nh2st.analysis.where_next import most_telling_anchors
from napari_nh2st.api.measured_section import MeasuredSection, measured_section
from napari_nh2st.engine import prediction as engine
from napari_nh2st.errors import Nh2stError, Nh2stWarning, SampleError
from napari_nh2st.geometry import IntArray, TileSet

if TYPE_CHECKING:
    from napari_nh2st.model.models import AnyModel
    from napari_nh2st.slides import Slide


@dataclass(frozen=True, eq=False)
class MeasuredSpots:
    """Spots that were measured on a slide, and what its model predicts at them.

    Attributes
    ----------
    anchors : Anchors
    at : Prediction
        In the same order; NaN where nothing is predicted.
    doubts : tuple of str
        What to know of the measurement, a line each.
    """

    anchors: Anchors
    at: engine.Prediction
    doubts: tuple[str, ...] = ()

    def select(self, rows: IntArray) -> MeasuredSpots:
        """Return some of them, by position."""
        at = replace(self.at, places=self.at.places.select(rows), hidden=self.at.hidden[rows])
        return replace(self, anchors=self.anchors.select(rows), at=at)


@contextmanager
def _section(
    prediction: engine.Prediction, measured: str | Path | Sequence[str | Path], slide: str | Path | Slide | None
) -> Iterator[MeasuredSection]:
    paths = [measured] if isinstance(measured, (str, Path)) else list(measured)
    with measured_section(prediction, paths, slide) as section:
        yield section


def measured_spots(
    prediction: engine.Prediction,
    measured: str | Path | Sequence[str | Path],
    *,
    slide: str | Path | Slide | None = None,
    model: AnyModel | None = None,
) -> MeasuredSpots:
    """Read the spots that were measured on the slide of a prediction.

    Parameters
    ----------
    prediction : Prediction
    measured : path, or (counts, positions)
    slide : path or Slide, optional
        If it is no longer where it was predicted.
    model : Model, optional
        The one that predicted: then it predicts at the spots themselves. Without it, a spot takes the tile that holds
        it, which lies up to half a tile beside it.

    Raises
    ------
    SampleError
        If the measurement is another slide's, or cannot be used.
    """
    with _section(prediction, measured, slide) as section:
        other = next((f for f in section.findings.findings if f.kind == "name"), None)
        if other is not None:
            raise SampleError(f"{section.name}: {other.says}: give spots of this slide, or name the file after it")
        anchors = Anchors.of(section.name, section.data, prediction.card)
        at = under_spots(prediction, anchors.centres)
        if model is not None:
            at = _at_themselves(prediction, anchors, section.slide, model)
        return MeasuredSpots(anchors, at, section.findings.doubts)


def _at_themselves(prediction: engine.Prediction, anchors: Anchors, slide: Slide, model: AnyModel) -> engine.Prediction:
    from napari_nh2st.engine.options import PredictionOptions
    from napari_nh2st.engine.predict import predict_places

    if prediction.provenance.get("model_hash") not in (None, model.hash):
        raise Nh2stError(f"{prediction.card.name} has other weights now than those that made this prediction")
    places = TileSet.at(anchors.centres, scale=prediction.places.scale, pitch=prediction.places.pitch)
    at, _ = predict_places(slide, model, places, PredictionOptions(device="auto"))
    return replace(at, provenance=prediction.provenance)


def adapt(
    prediction: engine.Prediction,
    measured: str | Path | Sequence[str | Path],
    *,
    spots: Sequence[str] | None = None,
    count: int | None = None,
    slide: str | Path | Slide | None = None,
    model: AnyModel | None = None,
) -> engine.Prediction:
    """Correct a prediction with measured spots of its slide; see `Prediction.adapt`."""
    found = measured_spots(prediction, measured, slide=slide, model=model)
    for doubt in found.doubts:
        warnings.warn(f"{found.anchors.source}: {doubt}", Nh2stWarning, stacklevel=3)
    if spots is not None:
        found = found.select(found.anchors.rows(spots))
    if count is not None:
        found = found.select(most_telling_anchors(prediction, found.at, count))
    made = correct(prediction, found.at, found.anchors)
    if made.agreement.error_after >= made.agreement.error_before:
        warnings.warn(
            f"left out one at a time, the {len(made.anchors)} spots are predicted no better with the correction than "
            "without: measure more, or leave the prediction as it is",
            Nh2stWarning,
            stacklevel=3,
        )
    return made.apply(prediction)


def agreement_words(corrected: engine.Prediction) -> str:
    """Say how well the anchors of a corrected prediction were predicted before and after, each from the others."""
    facts = corrected.provenance[KEY]
    agreement = facts["agreement"]
    pcc = ""
    if agreement["pcc_after"] is not None:
        pcc = f"; mean PCC {agreement['pcc_before']:z.3f} before, {agreement['pcc_after']:z.3f} after"
    error = f"mean squared error {agreement['error_before']:.3f} before, {agreement['error_after']:.3f} after"
    return f"{facts['count']} spots, left out one at a time: {error}{pcc}"
