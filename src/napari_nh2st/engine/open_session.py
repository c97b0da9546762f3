"""Opening a slide with any model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.place_session import PlaceSession
from napari_nh2st.engine.session import Session
from napari_nh2st.model.folder import Model

if TYPE_CHECKING:
    from napari_nh2st.model.models import AnyModel
    from napari_nh2st.slides import Slide


def open_session(
    slide: Slide, model: AnyModel, *, pitch: int | None = None, options: PredictionOptions | None = None
) -> PlaceSession:
    """Open a slide with a model, ours or someone else's; see `PlaceSession`."""
    if isinstance(model, Model):
        return Session(slide, model, pitch=pitch, options=options)
    from napari_nh2st.engine.predictor_session import PredictorSession

    return PredictorSession(slide, model, pitch=pitch, options=options)
