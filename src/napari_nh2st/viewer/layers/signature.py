"""The layer of a signature's score, and what to know of its genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.analysis.signatures import Match, mean_trust
from napari_nh2st.formats.limits import limits_of
from napari_nh2st.geometry import IntArray
from napari_nh2st.viewer.kit.phrases import count
from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.heatmap import CORNER, HEATMAP_LOOK
from napari_nh2st.viewer.layers.legend import give_legend
from napari_nh2st.viewer.layers.roles import KEY, Kind, map_role
from napari_nh2st.viewer.layers.stacking import place
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_nh2st.model.card import Card

UNIT = "score, scanpy score_genes"
_MISSING = 12  # genes named before the rest is counted


def add_signature(
    viewer: ViewerModel,
    shown: PredictedMap,
    cells: IntArray,
    scores: npt.NDArray[np.float32],
    *,
    name: str,
    genes: str,
    colormap: str,
    slide_layer: Any,
) -> Image:
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
    from napari.layers import Image

    values = np.full((shown.rows, shown.columns), np.nan, dtype=np.float32)
    values.reshape(-1)[cells] = scores
    limits = limits_of(scores)
    layer = Image(
        values,
        name=f"signature {name} ({shown.card.name}{', fine' if shown.fine else ''})",
        contrast_limits=(limits.low, limits.high),
        metadata={KEY: map_role(Kind.SIGNATURE, shown, "signature, scanpy score_genes", signature=name, found=genes)},
        **{**HEATMAP_LOOK, "colormap": colormap},
        **map_frame(shown.cell, shown.origin, float(shown.slide["mpp"]), slide_layer),
    )
    layer.contrast_limits_range = float(np.nanmin(scores)) - 1e-3, float(np.nanmax(scores)) + 1e-3
    layer.contrast_limits = limits.low, limits.high
    place(viewer, layer)
    layer.colorbar.position = CORNER
    layer.colorbar.visible = True
    give_legend(viewer, layer, [(f"signature {name}, predicted", None), (genes, None), (UNIT, None)])
    return layer


def set_words(found: Match, card: Card) -> str:
    """Say how many genes of a set a model has, which it lacks, and how far those that it has are to be trusted."""
    total = len(found.found) + len(found.missing)
    said = f"{len(found.found)} of its {count(total, 'gene')} {'is' if len(found.found) == 1 else 'are'} in the model"
    if found.missing:
        rest = len(found.missing) - _MISSING
        said += f"; missing: {', '.join(found.missing[:_MISSING])}{f' and {rest} more' if rest > 0 else ''}"
    trust = mean_trust(card, found.found)
    if trust is not None:
        said += f". Mean held-out PCC of its genes {trust[0]:.2f}"
        said += f" ({trust[1]} of them evaluated)" if trust[1] < len(found.found) else ""
    return said + "."
