"""Reference of a model: the tissue of its training as the model sees it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.session import Session
from napari_nh2st.engine.stain_check import measure_stain
from napari_nh2st.expression import Sample
from napari_nh2st.geometry import IntArray, TileSet
from napari_nh2st.model.folder import Model
from napari_nh2st.model.reference import Reference, fit_reference
from napari_nh2st.slides import open_slide

# Tiles of all sections together; more say nothing new.
MOST_TILES = 20_000


_STEP = 3  # cells between tiles of a dense encoder, to which they cost nothing


_SQUARE = 1024  # model pixels: pieces of a large slide are taken as a whole, so that not all of it is encoded


def describe_training(
    model: Model, samples: Sequence[Sample], *, device: str = "auto", cache: bool = False
) -> Reference | None:
    """Encode the training sections' tissue and describe it.

    Parameters
    ----------
    model : Model
    samples : sequence of Sample
    device : str
    cache : bool
        Keep the embeddings in the user's cache.

    Returns
    -------
    Reference or None
        None where the sections show too little tissue.
    """
    embeddings, centres, section, colours = [], [], [], []
    dense = model.net.dense
    pitch = _STEP * model.card.architecture.stride if dense else model.card.patch
    for i, sample in enumerate(samples):
        with open_slide(sample.slide, mpp=sample.mpp) as slide:
            session = Session(
                slide, model, pitch=pitch, options=PredictionOptions(device=device, cache=cache).for_scoring()
            )
            places = _some(session.places(), MOST_TILES // len(samples))
            embeddings.append(session.embed(places))
            centres.append(places.centres / session.scale)
            section.append(np.full(len(places), i))
            stain = measure_stain(slide)
            if stain.colour is not None:
                colours.append(stain.colour)
    cut = model.net.encoder.channels if dense else model.net.embedding_dim
    return fit_reference(
        np.concatenate(embeddings),
        np.concatenate(centres),
        np.concatenate(section),
        np.array(colours),
        patch=model.card.patch,
        cut=cut if cut < model.net.embedding_dim else None,
    )


def _some(places: TileSet, most: int) -> TileSet:
    """Choose tiles in whole squares of the slide, about `most` of them."""
    if len(places) <= most:
        return places
    square = (places.centres / places.scale // _SQUARE).astype(np.int64)
    _, owner = np.unique(square, axis=0, return_inverse=True)
    order = np.random.default_rng(0).permutation(int(owner.max()) + 1)
    ranked: IntArray = np.argsort(order)[owner.ravel()]
    return places.select(np.sort(np.argsort(ranked, kind="stable")[:most]))
