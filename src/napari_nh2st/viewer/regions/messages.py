"""Sentences about regions, comparisons and domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.viewer.kit.phrases import count

if TYPE_CHECKING:
    from napari_nh2st.analysis.domains import Domains
    from napari_nh2st.analysis.regions import Comparison

NO_REGIONS = "No regions yet: press Draw regions, click around a part of the tissue, and double-click to close it."
NO_PLACE = "The slide and its heatmap are closed: open the slide again, or choose the gene."
DRAW, DONE_DRAWING = "Draw regions", "Done drawing"
DRAW_TIP = "Draw polygons with the mouse until you press again or Esc; shapes of any shapes layer count as regions"
DELETE_TIP = "Remove the chosen region from its layer"
UNDO_TIP = "Bring back the region that was removed last (Ctrl+Z)"
OPEN_TIP = "Open regions that were drawn in QuPath (GeoJSON), ASAP (XML) or NDP.view (NDPA); you can also drop the file"
SAVE_TIP = "Save all regions with the genes predicted in them: GeoJSON for QuPath, with measurements, or CSV"
NO_DOMAINS = "No domains yet: press Find domains."
SAVE_DOMAINS_TIP = "Save all domains with the genes predicted in them: GeoJSON for QuPath, with measurements, or CSV"
NOTHING_REMOVED = "Nothing was removed."
OFF_THE_SLIDE = "off the slide"
REGION_TIPS = {
    "mean": "Mean of the region's predicted tiles",
    "spread": "Standard deviation between the region's tiles",
    "elsewhere": "Mean of all predicted tiles outside the region",
    "difference": "Mean in the region minus mean elsewhere",
}

ELSEWHERE = "everything else"
ALIKE = "Tiles next to each other are alike: use these p values for ranking only."
SAME_REGION = "Choose two different regions."
COMPARISON_TIPS = {
    "difference": "Mean of the first minus mean of the second",
    "score": "How clearly the two differ: the difference by its uncertainty (Welch's t)",
    "adjusted p": (
        "Welch's t test as if every tile were independent, adjusted for the number of genes (Benjamini and Hochberg)"
    ),
}

SLIDE_CLOSED = "the slide is not open"
NO_EMBEDDINGS = "this model gives nothing else"
FIND_TIP = "Divide what is predicted into parts that look alike and are predicted alike"
OF_BEFORE = "These domains were found before the dock was opened. To find them anew, press Find domains."
DOMAIN_TIPS = {**COMPARISON_TIPS, "difference": "Mean in the domain minus mean in the rest"}


def predicted_words(predicted: int, tissue: int | None) -> str:
    """Say how much of a region is predicted.

    Parameters
    ----------
    tissue : int or None
        Tiles of the region that show tissue; None where that is not known.
    """
    if tissue is None or 0 < tissue <= predicted:
        return count(predicted, "tile") if predicted else "not predicted"
    if not predicted:
        return f"0 of {count(tissue, 'tile')}" if tissue else "no tissue"
    return f"{predicted:,} of {count(tissue, 'tile')}" if tissue else count(predicted, "tile")


def area_words(area: float) -> str:
    """Write an area (mm²) in three figures, without its unit."""
    return f"{area:.3g}" if area < 100 else f"{round(area):,}"


def comparison_words(first: str, second: str, tiles: tuple[int, int, int], comparison: Comparison) -> str:
    """Say what was compared.

    Parameters
    ----------
    tiles : (3,) tuple of int
        Tiles in the first alone, in the second alone, and in both.
    """
    ours, theirs, both = tiles
    said = f"{_titled(first)} ({count(ours, 'tile')}) compared with {_other(second)} ({count(theirs, 'tile')})."
    if both:
        said += f" {count(both, 'tile')} in both are left out."
    if comparison.used != (ours, theirs):
        said += f" {comparison.used[0]:,} and {comparison.used[1]:,} of them, drawn by chance, were compared."
    return said


def _titled(name: str) -> str:
    """Return a region's name as a sentence begins with it: a number alone says nothing."""
    return f"Region {name}" if name.isdecimal() else name[:1].upper() + name[1:]


def _other(name: str) -> str:
    return "the rest" if name == ELSEWHERE else f"region {name}" if name.isdecimal() else name


def domains_words(domains: Domains, why_not: str) -> str:
    """Say how many domains there are, and what they were found from.

    Parameters
    ----------
    why_not : str
        Why the image could not be used; empty where it was.
    """
    tiles = len(domains.labels)
    source = "from the image and the predicted genes together"
    if why_not:
        source = f"from the predicted genes alone ({why_not})"
    if domains.count < 2:
        return f"All of it is one domain, {source}: move the slider towards “many”."
    said = f"{domains.count} domains, {source}."
    if domains.clustered < tiles:
        said += (
            f" {domains.clustered:,} of {count(tiles, 'tile')} were clustered; "
            "each other tile belongs where those most like it do."
        )
    return said
