"""Predicted gene expression on H&E slides, drawn in napari.

The public names load what they need when they are first used, so importing the package loads neither torch nor Qt
nor scanpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_nh2st.api.compare import compare_models
    from napari_nh2st.api.predict import predict
    from napari_nh2st.api.prediction import Prediction, open_prediction
    from napari_nh2st.errors import Nh2stError, Nh2stWarning
    from napari_nh2st.evaluation.protocol import evaluate
    from napari_nh2st.model.folder import bundled_models
    from napari_nh2st.model.models import load_model
    from napari_nh2st.model.predictor import Batch, Embeddings, Predictor, Tiles
    from napari_nh2st.slides import Slide, open_slide
    from napari_nh2st.training.finetune import finetune

__version__ = "0.1.0"

_WHERE = {
    "Batch": "model.predictor",
    "Embeddings": "model.predictor",
    "Predictor": "model.predictor",
    "Tiles": "model.predictor",
    "Nh2stError": "errors",
    "Nh2stWarning": "errors",
    "Prediction": "api.prediction",
    "Slide": "slides",
    "bundled_models": "model.folder",
    "compare_models": "api.compare",
    "evaluate": "evaluation.protocol",
    "finetune": "training.finetune",
    "load_model": "model.models",
    "open_prediction": "api.prediction",
    "open_slide": "slides",
    "predict": "api.predict",
}

__all__ = [
    "Batch",
    "Embeddings",
    "Nh2stError",
    "Nh2stWarning",
    "Prediction",
    "Predictor",
    "Slide",
    "Tiles",
    "bundled_models",
    "compare_models",
    "evaluate",
    "finetune",
    "load_model",
    "open_prediction",
    "open_slide",
    "predict",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__doc__", "__version__"])
