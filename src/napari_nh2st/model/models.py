"""Any model by its name: a bundled one, a model folder, or someone else's predictor."""

from __future__ import annotations

from pathlib import Path

from napari_nh2st.errors import ModelError
from napari_nh2st.model import folder
from napari_nh2st.model.card import Card
from napari_nh2st.model.folder import WEIGHTS, Model, bundled_models
from napari_nh2st.model.predictor import Predictor
from napari_nh2st.model.predictor_model import PredictorModel
from napari_nh2st.model.predictors import find_predictor, list_predictors
from napari_nh2st.model.reference import Reference
from napari_nh2st.reading import expanded

AnyModel = Model | PredictorModel


def load_model(model: str | Path | Predictor) -> AnyModel:
    """Read a model: a bundled one or someone else's by name, a model folder, or a predictor itself.

    Returns
    -------
    Model or PredictorModel
        Both have a `card`, a `hash` and a `decoder`.

    Raises
    ------
    ModelError
        If there is none of that name, or it cannot be used.

    Examples
    --------
    >>> from napari_nh2st import load_model
    >>> load_model("her2st").card.unit
    'ln(1 + counts per 10,000)'
    """
    if isinstance(model, Predictor):
        return PredictorModel(model)
    return _predictor(model) or folder.load_model(model)


def load_card(name_or_path: str | Path) -> Card:
    """Read a model's card, without weights.

    Raises
    ------
    ModelError
        As `load_model`.
    """
    found = _predictor(name_or_path)
    return folder.load_card(name_or_path) if found is None else found.card


def load_reference(name_or_path: str | Path) -> Reference | None:
    """Read the reference of a model's training tissue, without torch; None if there is none."""
    return None if _predictor(name_or_path) else folder.load_reference(name_or_path)


def stamp_of(name_or_path: str | Path) -> int:
    """Return a number that changes when a model gets other weights; quick."""
    found = _predictor(name_or_path)
    return (folder.find_model(name_or_path) / WEIGHTS).stat().st_mtime_ns if found is None else found.stamp


def model_names() -> list[str]:
    """Return the bundled models, then other people's that work."""
    return [*bundled_models(), *(one.name for one in list_predictors() if one.model is not None)]


def _predictor(name_or_path: str | Path) -> PredictorModel | None:
    """Return the predictor that is meant, None where it is one of ours.

    Raises
    ------
    ModelError
        If it is neither.
    """
    name, path = str(name_or_path), expanded(name_or_path)
    if name in bundled_models() or (path.exists() and path.suffix != ".py"):
        return None
    found = find_predictor(name)
    if found is None:
        names = ", ".join(model_names()) or "none"
        raise ModelError(f"no model {name!r}: give a model folder or one of {names} (nh2st models lists them)")
    return found
