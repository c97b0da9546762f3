"""A prediction in a notebook: its facts, and a small map of the gene that the model predicts best."""

from __future__ import annotations

import html

import numpy as np

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.formats.limits import limits_of
from napari_nh2st.formats.picture import RGB
from napari_nh2st.formats.table import means_nothing, slide_mpp, slide_name
from napari_nh2st.slides.thumbnail import html_page

_SIDE = 240  # pixels


def html_of(prediction: Prediction) -> str:
    """Write a prediction as HTML."""
    card, done = prediction.card, int(prediction.done.sum())
    facts = {
        "slide": slide_name(prediction),
        "tiles": f"{done:,} of {len(prediction):,} predicted, {prediction.places.pitch * card.mpp:.0f} µm apart",
        "genes": f"{len(card.genes):,}, in {card.unit}",
        "model": " ".join([card.name, *(f"({sentence})" for sentence in means_nothing(prediction))]),
        "pixel size": f"{slide_mpp(prediction):.4g} µm",
    }
    if not done or prediction.places.grid is None:
        return html_page(facts)
    gene = card.by_trust()[0]
    return html_page(facts, _picture(prediction.only_done(), gene), html.escape(gene))


def _picture(prediction: Prediction, gene: str) -> RGB:
    """Return a gene's map as an image, (h, w, 3), white where nothing was predicted."""
    from matplotlib import colormaps

    values = prediction.heatmap(gene).values
    limits = limits_of(values)
    step = max(1, -(-max(values.shape) // _SIDE))
    values = values[::step, ::step]
    shares = np.clip((values - limits.low) / (limits.high - limits.low), 0, 1)
    picture = (colormaps["viridis"](np.nan_to_num(shares))[..., :3] * 255).astype(np.uint8)
    picture[np.isnan(values)] = 255
    grown = max(1, _SIDE // max(values.shape))
    large: RGB = picture.repeat(grown, axis=0).repeat(grown, axis=1)
    return large
