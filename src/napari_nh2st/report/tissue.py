"""The share of the predicted tissue that is unlike the training tissue: the model looks at some of the tiles again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.formats.table import means_nothing
from napari_nh2st.model.reference import UNLIKE, UNUSUAL
from napari_nh2st.model.trust_words import NO_REFERENCE

if TYPE_CHECKING:
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.model.folder import Model
    from napari_nh2st.slides import Slide

MOST = 1000  # tiles that are looked at
NOT_ASKED = "Not checked."


@dataclass(frozen=True)
class Likeness:
    """How much of the tissue is like that of the training.

    Attributes
    ----------
    tiles, unusual, unlike : int
        Looked at; beyond 99% of training tiles; far from all of them.
    of : int
        Number of predicted tiles.
    """

    tiles: int
    unusual: int
    unlike: int
    of: int


def likeness_of(
    prediction: Prediction,
    slide: Slide | None,
    model: str | Path | None = None,
    tell: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Likeness | str:
    """Compare predicted tiles with the training tissue; a sentence where that is not possible.

    Parameters
    ----------
    prediction : Prediction
        At predicted places alone; of more than `MOST` places, some are drawn by chance.
    slide : Slide or None
        With the pixel size of the prediction.
    model : name or path, optional
        The model that predicted; by default the bundled model of the name in the provenance.

    Raises
    ------
    Cancelled
    """
    if slide is None:
        return "Not checked: the slide is not there."
    if prediction.card.predictor is not None:
        return "Not checked: this model keeps no record of its training tissue."
    if means_nothing(prediction):
        return "Not checked: the model says nothing about this slide."
    try:
        return _compared(prediction, slide, _model_of(prediction, model), tell, cancelled)
    except Cancelled:
        raise
    except (Nh2stError, OSError) as error:
        return f"Not checked: {error}"


def _model_of(prediction: Prediction, named: str | Path | None) -> Model:
    """Return the model that has predicted.

    Raises
    ------
    Nh2stError
        If it is not there, or another one.
    """
    from napari_nh2st.model.folder import bundled_models, load_model

    name, wanted = prediction.card.name, prediction.provenance.get("model_hash")
    if named is None and name not in bundled_models():
        raise Nh2stError(f"the folder of the model {name} was not named")
    model = load_model(name if named is None else named)
    if wanted is not None and model.hash != wanted:
        raise Nh2stError(f"the model {name if named is None else named} is another one than the one that predicted")
    return model


def _compared(
    prediction: Prediction,
    slide: Slide,
    model: Model,
    tell: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> Likeness:
    from napari_nh2st.engine.novelty import novelty_of
    from napari_nh2st.engine.options import PRECISIONS, PredictionOptions
    from napari_nh2st.engine.session import Session
    from napari_nh2st.model.folder import load_reference

    reference = load_reference(model.path)
    if reference is None:
        raise Nh2stError(NO_REFERENCE)
    precision = prediction.provenance.get("precision")
    options = PredictionOptions(precision=precision if precision in PRECISIONS else "auto", cancelled=cancelled)
    places = prediction.places
    if len(places) > MOST:
        places = places.select(np.sort(np.random.default_rng(0).choice(len(places), MOST, replace=False)))
    session = Session(slide, model, pitch=places.pitch, options=options)
    novelty = novelty_of(session, reference, places, tell, cancelled)
    return Likeness(len(places), int((novelty > UNUSUAL).sum()), int((novelty > UNLIKE).sum()), len(prediction))
