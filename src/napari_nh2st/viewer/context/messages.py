"""Sentences about what a tile's surroundings change."""

from __future__ import annotations

from napari_nh2st.viewer.kit.phrases import count, signed

NEIGHBOURS = ("above left", "above", "above right", "left", "this tile", "right", "below left", "below", "below right")
PICK, DONE_PICKING = "Pick a tile", "Done picking"
PICK_TIP = "Choose tiles of the heatmap with clicks until you press again or Esc"
PICK_A_TILE = "Press “Pick a tile” and click the heatmap: the tile's neighbours appear here, and what they change."
OPEN_ITS_SLIDE = "Open the slide from which this heatmap was made: its tiles are looked at again."
NOT_PREDICTED = "Nothing is predicted here yet: click a coloured tile."
ALONE_ANYWAY = "This model looks at each tile by itself: its surroundings change nothing."
EVERY_TILE = "What the surroundings change in every tile of the slide:"
SHOW = "Show on the slide"
SHOW_TIP = "Draw, for each tile, how much its surroundings raise or lower the current gene; the model looks once more"
BACK_TIP = "Hide what the surroundings change, and show the heatmap of the prediction again"
TABLE_TIPS = {
    "here": "What is predicted for this tile",
    "mean": "Mean of what is predicted on this slide",
    "z": "How far this tile lies above the mean, in standard deviations over the slide",
    "alone": "What is added to the prediction when all of the surroundings are taken away",
}


def surroundings_words(gene: str, unit: str, here: float, change: float) -> str:
    """Say what a tile's surroundings change in one gene."""
    return f"{gene} {here:z.2f} {unit}. Without all of its surroundings: {here + change:z.2f} ({signed(change)})."


def neighbour_tip(index: int, gene: str, here: float, change: float) -> str:
    """Say what one neighbour of a tile changes; `index` is that of `geometry.NEIGHBOUR_STEPS`."""
    name = NEIGHBOURS[index]
    return f"{name.capitalize()}. Without it {gene} is {here + change:z.2f} ({signed(change)})"


def effect_words(gene: str, new: int) -> str:
    """Say how to read the layer of what the surroundings change, and how much of it is still to be computed."""
    said = f"Orange: the surroundings raise {gene}; blue: they lower it."
    return f"{said} {count(new, 'tile')} not computed yet." if new else said


def absent_tip(index: int) -> str:
    """Say why a neighbour of a tile has no number."""
    return f"{NEIGHBOURS[index].capitalize()}: no tissue, or outside the slide. The model does not look at it"
