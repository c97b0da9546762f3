"""Messages of the folds "Several genes" and "Several slides". No Qt: they are tested as text."""

from __future__ import annotations

NO_PINNED = "Pin genes first, with [+] below the gene."
PINNED_TIP = "Give each pinned gene a heatmap of its own that stays with it while the main one follows the gene field"
HIDDEN_AT_FIRST = "Hidden at first: click the eye of a layer to show it, and that of the main heatmap to hide that one."

SHOW_TIP = "Draw these genes in one layer: the more of a gene, the more of its colour"
USE_PINNED_TIP = "Put the first three pinned genes into the fields"
FIELD_TIP = "The gene that is drawn in {}; empty for none. Type any part of its name"
SCALE_TIP = "The values at which this colour is faintest and fullest: the gene's 1st and 99th percentile"

PASTED = "pasted list"
NAME_TIP = "The signature's name, as its layer will bear it; the sets of a file are listed here"
LOAD_TIP = "Read gene sets from a .gmt file, as MSigDB and Enrichr offer them"
PASTE_HERE = "Paste genes, with blanks, commas or line ends between them"
GENES_TIP = "The genes of the signature: names with blanks, commas or line ends between them"
SCORE_TIP = (
    "How much these genes stand out at each tile: their mean prediction less that of control genes which are expressed "
    "alike (scanpy's score_genes)"
)
NO_GENES = "Paste the genes of a signature above"
NONE_OF_THESE = "The model has none of these genes"

SIDE_BY_SIDE_TIP = (
    "Show the open slides beside one another, with the same gene between the same limits; all move together"
)
LAYING_OUT = "Laying the slides side by side…"
TOO_FEW_SLIDES = "Open a second slide first: there is nothing to lay beside this one"


def pinned_words(model: str, absent: list[str]) -> str:
    """Say how to see the layers of pinned genes, and which genes the model does not predict."""
    return HIDDEN_AT_FIRST + (f" {model} does not predict {', '.join(absent)}." if absent else "")


def side_by_side_words(left_out: list[str]) -> str:
    """Say what happens on leaving, and which slides are not shown."""
    said = "What you see is predicted again when you leave this."
    return f"Nothing is predicted on {', '.join(left_out)} yet, so it is not shown. {said}" if left_out else said
