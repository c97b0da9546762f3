"""Messages of the folds "Several genes" and "Several slides". No Qt: they are tested as text."""

from __future__ import annotations

NO_PINNED = "Pin genes first: press + below the gene field."
PINNED_TIP = "Give each pinned gene its own heatmap layer. The main heatmap still follows the gene field"
HIDDEN_AT_FIRST = "The layers start hidden. Use the eyes in the layer list to show one and to hide the main heatmap."

SHOW_TIP = "Draw these genes in one image: the more of a gene, the more of its colour"
USE_PINNED_TIP = "Fill in the first three pinned genes"
FIELD_TIP = "The gene to draw in {}. Type any part of its name, or leave it empty"
SCALE_TIP = "Values of the faintest and the fullest colour: the gene's 1st and 99th percentile"

PASTED = "pasted list"
NAME_TIP = "A name for the signature and its layer. After Load .gmt…, choose a set of the file here"
LOAD_TIP = "Read gene sets from a .gmt file, for example of MSigDB or Enrichr"
PASTE_HERE = "Paste gene names, separated by spaces, commas or new lines"
GENES_TIP = "The genes of the signature, separated by spaces, commas or new lines"
SCORE_TIP = (
    "How much these genes stand out in each tile: their mean prediction minus that of control genes with similar "
    "expression (scanpy's score_genes). 0 is no difference"
)
NO_GENES = "Paste the genes of a signature first"
NONE_OF_THESE = "The model has none of these genes"

SIDE_BY_SIDE_TIP = (
    "Show the open slides next to each other, with the same gene and the same colour limits. They move together"
)
LAYING_OUT = "Laying the slides side by side…"
TOO_FEW_SLIDES = "Open a second slide first"
MODELS_FIRST = "Leave the models side by side first"


def pinned_words(model: str, absent: list[str]) -> str:
    """Say how to see the layers of pinned genes, and which genes the model does not predict."""
    return HIDDEN_AT_FIRST + (f" {model} does not predict {', '.join(absent)}." if absent else "")


def side_by_side_words(left_out: list[str]) -> str:
    """Say what happens on leaving, and which slides are not shown."""
    said = "The live view pauses here and goes on when you leave."
    return f"Not shown, as nothing is predicted there yet: {', '.join(left_out)}. {said}" if left_out else said
