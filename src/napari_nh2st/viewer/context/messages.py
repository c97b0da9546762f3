"""Sentences about what a tile's surroundings change."""

from __future__ import annotations

from napari_nh2st.viewer.kit.phrases import count

NEIGHBOURS = ("above left", "above", "above right", "left", "this tile", "right", "below left", "below", "below right")
PICK, DONE_PICKING = "Pick a tile", "Done picking"
PICK_TIP = "Choose tiles of the heatmap with clicks until you press again or Esc"
PICK_A_TILE = "Press “Pick a tile” and click the heatmap. See here what each neighbour of the tile changes."
OPEN_ITS_SLIDE = "This heatmap came from a file. Open its slide, too: the model looks at the tissue again."
NOT_PREDICTED = "Nothing is predicted here yet. Click a coloured tile."
ALONE_ANYWAY = "This model looks at each tile alone, so the surroundings change nothing."
WHOLE_SLIDE_ONLY = "This model looks at the whole slide at once. It does not offer what single neighbours change."
EVERY_TILE = "What do the surroundings change in every tile?"
SHOW = "Show on the slide"
SHOW_TIP = "Draw how much the surroundings raise or lower the gene in each tile. The model runs once more"
BACK_TIP = "Hide this and show the prediction again"
SHOW_LINKS, HIDE_LINKS = "Show the model's links", "Hide the model's links"
LINKS_TIP = "Draw which places of the slide the model links with one another, through the middles of clusters"
TABLE_TIPS = {
    "here": "The prediction for this tile",
    "mean": "Mean prediction on this slide",
    "z": "Standard deviations above the mean of the slide. 0 is average",
    "alone": "How the prediction changes without any surroundings",
}


def surroundings_words(gene: str, unit: str, here: float, change: float) -> str:
    """Say what a tile's surroundings change in one gene."""
    return f"{gene} {here:z.2f} {unit}. Without surroundings: {here + change:z.2f} ({change_words(change)})."


def change_words(change: float) -> str:
    """Write a change as people say it: 0.22 lower, 0.05 higher, no change."""
    size = f"{abs(change):z.2f}"
    return "no change" if float(size) == 0 else f"{size} {'lower' if change < 0 else 'higher'}"


def neighbour_tip(index: int, gene: str, here: float, change: float) -> str:
    """Say what one neighbour of a tile changes; `index` is that of `geometry.NEIGHBOUR_STEPS`."""
    name = NEIGHBOURS[index]
    return f"{name.capitalize()}. Without it: {gene} {here + change:z.2f} ({change_words(change)})"


def effect_words(gene: str, new: int) -> str:
    """Say how to read the layer of what the surroundings change, and how much of it is still to be computed."""
    said = f"Orange: the surroundings raise {gene}. Blue: they lower it."
    return f"{said} {count(new, 'tile')} to go." if new else said


def absent_tip(index: int) -> str:
    """Say why a neighbour of a tile has no number."""
    return f"{NEIGHBOURS[index].capitalize()}: no tissue here, so the model does not look at it"
