"""The layer of a signature's score, and what to know of its genes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.analysis.signatures import Match, mean_trust
from napari_nh2st.formats.limits import limits_of
from napari_nh2st.geometry import IntArray
from napari_nh2st.model.trust_words import ONE_TO_NOTHING
from napari_nh2st.viewer.kit.phrases import count
from napari_nh2st.viewer.layers.heatmap import HEATMAP
from napari_nh2st.viewer.layers.roles import Kind, map_role
from napari_nh2st.viewer.layers.tile_values import TileValues
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_nh2st.model.card import Card

UNIT = "score, scanpy score_genes"
_MISSING = 12  # genes named before the rest is counted


def add_signature(
    viewer: ViewerModel,
    prediction_map: PredictedMap,
    cells: IntArray,
    scores: npt.NDArray[np.float32],
    *,
    name: str,
    genes: str,
    colormap: str,
) -> TileValues:
    """Draw the scores of some cells of a map.

    Parameters
    ----------
    cells : (n,) int64
    scores : (n,) float32
    name : str
        Of the signature.
    genes : str
        How many of its genes the model has, for the legend.
    """
    what = "signature, scanpy score_genes"
    title = f"signature {name} · predicted"
    role = map_role(Kind.SIGNATURE, prediction_map, what, title=title, signature=name, found=genes)
    layer = TileValues(viewer, role, replace(HEATMAP, colormap=colormap))
    layer.put(cells, scores)
    layer.draw(layer.values, limits_of(scores))
    layer.describe(legend=((f"signature {name}, predicted", None), (genes, None), (UNIT, None)))
    layer.bring()
    return layer


def set_words(match: Match, card: Card) -> str:
    """Say how many genes of a set a model has, which it lacks, and how far those that it has are to be trusted."""
    total = len(match.genes) + len(match.missing)
    said = f"The model has {len(match.genes)} of {count(total, 'gene')}"
    if match.missing:
        rest = len(match.missing) - _MISSING
        said += f". Missing: {', '.join(match.missing[:_MISSING])}{f' and {rest} more' if rest > 0 else ''}"
    trust = mean_trust(card, match.genes)
    if trust is not None:
        said += f". Mean held-out PCC {trust[0]:z.2f}"
        said += f" ({trust[1]} of them evaluated)" if trust[1] < len(match.genes) else ""
    return f"{said}. {ONE_TO_NOTHING}" if trust is not None else f"{said}."
