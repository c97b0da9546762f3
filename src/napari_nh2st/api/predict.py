"""Predicting a slide from Python."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_nh2st.analysis.drawn_regions import DrawnRegions
from napari_nh2st.analysis.outlines import outlines_of
from napari_nh2st.api.prediction import Prediction
from napari_nh2st.engine.chunk import Progress
from napari_nh2st.engine.going_on import settle
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.places import ground_of, tissue_places, warnings_for
from napari_nh2st.engine.predict import predict_places, results_folder, store_for
from napari_nh2st.errors import ModelError, Nh2stError, Nh2stWarning, SlideError
from napari_nh2st.geometry import Box, TileSet
from napari_nh2st.model.folder import Model
from napari_nh2st.model.models import AnyModel, load_model, model_names
from napari_nh2st.model.predictor import Predictor
from napari_nh2st.model.predictor_model import PredictorModel
from napari_nh2st.slides import Ground, Slide, open_slide


def predict(
    slide: str | Path | Slide,
    model: str | Path | AnyModel | Predictor | None = None,
    *,
    region: Box | tuple[float, float, float, float] | None = None,
    regions: Any = None,
    pitch: int | None = None,
    mpp: float | None = None,
    out: str | Path | None = None,
    options: PredictionOptions | None = None,
    progress: Callable[[Progress], Any] | None = None,
) -> Prediction:
    """Predict expression over a slide, or a region of it.

    Parameters
    ----------
    slide : path or Slide
    model : name, path, Model or Predictor
        The name of a bundled model (`bundled_models`) or of someone else's (docs/predictors.md), a model folder, or a
        model from `load_model`. There is no default.
    region : Box or (x, y, width, height), optional
        Level-0 pixels; the whole slide by default.
    regions : path, GeoDataFrame, GeoJSON, dict or list, optional
        Instead of a region: only the tiles with their centres in these, which are given as for `Prediction.regions`.
    pitch : int, optional
        Distance between tiles in model pixels; by default that of a folder that is there, else the patch size.
    mpp : float, optional
        Micrometres per level-0 pixel; goes before what the file says.
    out : path, optional
        A folder in which results last (``<slide stem>.nh2st``); a second run computes only what is missing.
    options : PredictionOptions, optional
        Device, precision, tissue mask, whether artefacts are left out, cancel.
    progress : callable, optional
        Called with a `Progress` after every group of tiles.

    Returns
    -------
    Prediction
        At the tissue tiles of the region.

    Raises
    ------
    SlideError, MppNeeded, ModelError
        One line each, that says what to do.
    NoTissue
        If there is nothing to predict; a program that goes over many regions may catch it.
    Cancelled
        If `options.cancelled` turns true.

    Warns
    -----
    Nh2stWarning
        What to know before you believe the result, a sentence each: those that the command line prints.

    Examples
    --------
    >>> from napari_nh2st import predict
    >>> prediction = predict("slide.svs", "her2st", region=(1000, 2000, 4000, 4000))  # doctest: +SKIP
    """
    if model is None:
        names = ", ".join(model_names()) or "none"
        raise ModelError(f"name a model: predict(slide, model), with one of {names}, or a model folder")
    try:
        box = None if region is None else Box.of(region)
    except ValueError as error:
        raise Nh2stError(str(error)) from error
    slide, model = _slide(slide, mpp), model if isinstance(model, Model | PredictorModel) else load_model(model)
    options = PredictionOptions() if options is None else options
    slide.tissue(cancelled=options.cancelled)
    said = _warn(warnings_for(slide, model.card, model.reference))
    if out is None:
        pitch = model.card.patch if pitch is None else pitch
    else:
        settled = settle(results_folder(Path(out), slide), slide, model, pitch, options)
        said += _warn(settled.notes)
        pitch, options = settled.pitch, settled.options
    places = _places(slide, model, (box, regions), pitch, ground_of(slide, options))
    if out is None:
        made, _ = predict_places(slide, model, places, options, progress)
    else:
        store = store_for(Path(out), slide, model, pitch, options)
        try:
            made, _ = predict_places(slide, model, places, replace(options, store=store), progress)
        finally:
            store.close()
    _warn(w for w in warnings_for(slide, model.card, model.reference) if w not in said)  # reading may have found damage
    return Prediction.of(made)


def _places(slide: Slide, model: AnyModel, where: tuple[Box | None, Any], pitch: int | None, ground: Ground) -> TileSet:
    """Choose the tiles of a region, or of drawn regions."""
    box, regions = where
    if regions is None:
        return tissue_places(slide, model.card, box, pitch, ground)
    if box is not None:
        raise Nh2stError("give region or regions, not both")
    return DrawnRegions(outlines_of(regions, slide.path)).places(slide, model.card, pitch, ground)


def _slide(slide: str | Path | Slide, mpp: float | None) -> Slide:
    """Open a slide, or give an open one the pixel size that the caller wants."""
    if not isinstance(slide, Slide):
        return open_slide(slide, mpp=mpp)
    if mpp is None or slide.mpp == mpp:
        return slide
    if slide.mpp_source == "user":
        raise SlideError(
            f"{slide.path.name} was opened with mpp={slide.mpp:g}, and mpp={mpp:g} was asked for: choose one"
        )
    return slide.with_mpp(mpp)


def _warn(sentences: Iterable[str]) -> list[str]:
    """Warn whoever called `predict`."""
    said = list(sentences)
    for sentence in said:
        warnings.warn(sentence, Nh2stWarning, stacklevel=3)
    return said
