"""Comparing what several models predict on one slide, from Python."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.analysis.model_comparison import ModelComparison, compare_predictions
from napari_nh2st.api.measured_section import measured_section
from napari_nh2st.engine import prediction as engine
from napari_nh2st.engine.store import open_prediction
from napari_nh2st.errors import Nh2stWarning

if TYPE_CHECKING:
    from napari_nh2st.analysis.models_at_spots import ModelsAtSpots
    from napari_nh2st.slides import Slide


def compare_models(
    *predictions: engine.Prediction | str | Path,
    names: Sequence[str] | None = None,
    measured: str | Path | Sequence[str | Path] | None = None,
    slide: str | Path | Slide | None = None,
) -> ModelComparison:
    """Compare what several models predict on one slide: where they disagree, and how far they agree about each gene.

    Parameters
    ----------
    *predictions : Prediction or path
        At least two, of one slide, each of another model; paths are ``.nh2st`` folders. Their tiles may differ: the
        finer ones are averaged over the coarser ones that they overlap.
    names : sequence of str, optional
        Of the models; those of their cards by default.
    measured : path, or (counts, positions), optional
        The measurement of this section: then `ModelComparison.measured` says which model is right where. Each spot
        takes the tile that holds it.
    slide : path or Slide, optional
        For `measured`, if the slide is no longer where it was predicted.

    Returns
    -------
    ModelComparison
        ``table()``, one row a gene; ``disagreement(gene)`` at ``common.places.centres``; ``measured.table()``.

    Raises
    ------
    Nh2stError
        If they are of different slides, hardly overlap, or have no gene in common.
    SampleError
        If the measurement cannot be used.

    Warns
    -----
    Nh2stWarning
        If a model was trained on the measured section: then it says nothing about which model predicts better.

    Examples
    --------
    >>> from napari_nh2st import compare_models
    >>> found = compare_models("one/C5.nh2st", "two/C5.nh2st")  # doctest: +SKIP
    >>> found.table().head()  # doctest: +SKIP
    """
    made = [p if isinstance(p, engine.Prediction) else open_prediction(p) for p in predictions]
    found = compare_predictions(made, names)
    if measured is None:
        return found
    paths = [measured] if isinstance(measured, (str, Path)) else list(measured)
    at_spots = _at_spots(found, paths, slide)
    for name, section in zip(at_spots.names, at_spots.trained_as, strict=True):
        if section:
            warnings.warn(trained_words(name, section), Nh2stWarning, stacklevel=2)
    for doubt in at_spots.doubts:
        warnings.warn(f"{at_spots.section}: {doubt}", Nh2stWarning, stacklevel=2)
    return replace(found, measured=at_spots)


def trained_words(model: str, section: str) -> str:
    """Say that a model was trained on the section that is to tell which model is right."""
    return (
        f"{model} was trained on {section}: which model is right there says nothing about new slides, as it may only "
        "remember"
    )


def _at_spots(found: ModelComparison, paths: Sequence[str | Path], slide: str | Path | Slide | None) -> ModelsAtSpots:
    """Hold the predictions against a measurement whose spots were checked on the slide."""
    from napari_nh2st.analysis.models_at_spots import compare_under_spots

    with measured_section(found.predictions[0], paths, slide) as section:
        made = compare_under_spots(
            section.name, section.data, found.predictions, found.names, descriptor=section.descriptor
        )
    return replace(made, doubts=section.findings.doubts)
