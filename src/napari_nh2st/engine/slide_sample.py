"""The slide's sample: a few places of its tissue, always the same, for heads that look at the whole slide. No torch."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.engine.places import lattice_for
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.heads.table import SAMPLE_PLACES

if TYPE_CHECKING:
    from napari_nh2st.model.card import Card
    from napari_nh2st.slides import Ground, Slide


def sample_places(slide: Slide, card: Card, tissue: Ground | None = None) -> TileSet:
    """Choose the slide's sample: tiles of its coarse map, `SAMPLE_PLACES` of them, or all where they are fewer.

    The slide's fingerprint decides which, so that a view that is panned, a whole run and a training see the same.

    Parameters
    ----------
    tissue : Ground, optional
        The slide's own mask, where it is at hand.

    Returns
    -------
    TileSet
        Row by row; none on a slide without tissue.
    """
    tiles = lattice_for(slide, card, None, None, slide.tissue() if tissue is None else tissue)
    seed = int.from_bytes(blake2b(slide.fingerprint.encode(), digest_size=8).digest(), "big")
    chosen = np.random.default_rng(seed).permutation(len(tiles))[:SAMPLE_PLACES]
    return tiles.select(np.sort(chosen))
