"""Sentences about a measurement beside its prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.expression.panel_match import match_words
from napari_nh2st.viewer.kit.phrases import count

if TYPE_CHECKING:
    from napari_nh2st.analysis.measured import Comparison

_NAMED = 12  # genes named before the rest is counted

DROP_HERE = "Drop a measurement of this slide here: a Visium folder, an .h5ad file, or a table of counts (.tsv)."
NO_SLIDE = "Open the slide first: a measurement belongs to one."
ASK_FRAME = "Change scale and offset until the circles lie on the tissue, then press Use."
ASK_SPOTS = "Where do the spots of {} lie? Choose the file with the columns x, y, pixel_x, pixel_y."
DIFFERENCE_TIP = "Draw predicted less measured: orange where more was predicted, blue where less was"
OTHER_UNIT = "This model predicts in another unit than that of the measurement: only correlations can be compared"
TABLE_TIPS = {
    "PCC": "Correlation of measured and predicted values across the spots of this section",
    "low": "Lower end of the 95% interval",
    "high": "Upper end of the 95% interval",
    "card": "PCC on held-out tissue, as the model's card has it",
    "MSE": "Mean squared error, in the square of the unit",
    "measured": "Mean measured value, ln(1 + counts per 10,000)",
}


def not_measured(comparison: Comparison, gene: str) -> str:
    """Say why a gene has no measured value beside its prediction."""
    if gene not in comparison.card.genes:
        return f"{gene} is not among the genes that {comparison.card.name} predicts."
    return f"{gene} was not measured in {comparison.name}: there is nothing to compare it with."


def measured_summary(comparison: Comparison) -> str:
    """Say how well a measurement and a prediction of one section agree."""
    figures, scored = comparison.figures, comparison.scored
    low, high = figures["ci"]["pcc_mean"]
    genes, spots = count(len(scored.genes), "gene"), count(len(scored.truth), "spot")
    interval = f"{low:z.3f} to {high:z.3f}"
    return f"{comparison.name}: mean PCC {figures['pcc_mean']:z.3f} ({interval}) over {genes}, across {spots}."


def measured_training(comparison: Comparison) -> str:
    """Say that the section was among those that the model was trained on; empty where it was not."""
    if not comparison.trained_as:
        return ""
    return (
        f"{comparison.trained_as} was among this model's training sections: these figures say what it has learnt, "
        "not how well it predicts."
    )


def measured_caveats(comparison: Comparison) -> list[str]:
    """Say what to know of the figures of one section, a sentence each."""
    card, constant = comparison.card, comparison.figures["n_constant"]
    missing, names = len(comparison.missing), ", ".join(comparison.missing[:_NAMED])
    more = f" and {missing - _NAMED} more" if missing > _NAMED else ""
    were = "was" if missing == 1 else "were"
    panel, found = comparison.scored.panel, len(comparison.scored.genes)
    doubts = [f"{text[:1].upper()}{text[1:]}." for text in comparison.doubts]
    said = (
        *doubts,
        f"{missing} of the model's {count(len(card.genes), 'gene')} {were} not measured: {names}{more}."
        if missing
        else "",
        f"The model's genes were found {match_words(panel)}." if panel.get("by_symbol", 0) < found else "",
        f"{count(comparison.left_out, 'spot')} without a prediction left out." if comparison.left_out else "",
        f"{count(constant, 'gene')} measured the same in every spot: PCC 0." if constant else "",
        ""
        if comparison.same_unit
        else f"{card.name} predicts {card.unit}; the measurement is ln(1 + counts per 10,000): correlations can be "
        "compared, values cannot.",
        "PCC is taken per gene across the spots of this one section, on values that are not smoothed; its interval "
        "(95%) comes from drawing blocks of neighbouring spots again and again.",
        ""
        if comparison.trained_as
        else "The file does not name the patient: whether the patient is new to the model is not known.",
    )
    return [sentence for sentence in said if sentence]
