"""Sentences about a measurement beside its prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_nh2st.evaluation.coverage import coverage_words
from napari_nh2st.expression.panel_match import match_words
from napari_nh2st.model.trust_words import KIND_MEANS, ONE_TO_NOTHING, PCC_MEANS
from napari_nh2st.viewer.kit.phrases import count, sentence

if TYPE_CHECKING:
    from napari_nh2st.analysis.anchors import Agreement
    from napari_nh2st.analysis.measured import Comparison
    from napari_nh2st.analysis.placing_meter import Reading
    from napari_nh2st.geometry import FloatArray
    from napari_nh2st.model.card import Card
    from napari_nh2st.training.sections.snap import Snap

_NAMED = 12  # genes named before the rest is counted

DROP_HERE = (
    "Drop a measurement of this slide here: an assay's folder (outs), an .h5ad file, or a table of counts (.tsv, .csv)."
)
LOAD_TIP = "Compare the prediction with a measurement of the same section"
NO_SLIDE = "Open the slide first, then its measurement."
ASK_FRAME = "Drag landmarks, or change scale and offset, until the circles lie on the tissue. Then press Use."
ASK_SLIDE = "Does it belong to this slide? If so, lay the circles on the tissue and press Use. If not, press Discard."
ASK_SPOTS = "Where do the spots of {} lie? Choose the file with the columns x, y, pixel_x and pixel_y."
DIFFERENCE_TIP = "Orange: the model predicts more than was measured. Blue: it predicts less"
CORRECT = "Correct with these spots"
CORRECT_TIP = "Correct the map with measured spots, at once; the prediction itself stays, and you can go back to it"
NO_MAP_TO_CORRECT = "Predict first: there is no map to correct."
OTHER_MODEL = "The map is of another model than the comparison: show the map of the chosen model."
OTHER_UNIT_TO_CORRECT = "The model predicts another unit than was measured: its map cannot be corrected."
NO_REGION = "Draw a region around the spots first, in “Regions”."
ALL_USED = "All spots correct the map: none is left to judge it."
CORRECTED_TIP = "Show the corrected map, or the prediction itself"
PROPOSE = "Where to measure next"
PROPOSE_TIP = "Number the places at which a measurement would tell most about the rest of this slide"
OTHER_UNIT = "Model and measurement have different units. Only correlations can be compared"
TABLE_TIPS = {
    "PCC": f"{PCC_MEANS} Here: across the spots of this section",
    "low": "Lower end of the 95% interval of PCC",
    "high": "Upper end of the 95% interval of PCC",
    "MSE": "Mean squared error, in the square of the unit. 0 is perfect",
}


LANDMARKS = "Drag landmarks"
LANDMARKS_OFF = "Put landmarks away"
LANDMARKS_TIP = (
    "Numbered marks on the outermost spots: drag each to where those spots belong. One moves all spots, two turn and "
    "scale them, three or more are fitted. The blue rings are the same places of the spots"
)
ADD_MARK_TIP = "One more landmark, in the middle of what you see"
SNAP = "Snap to the tissue"
SNAP_TIP = "Let the outline of the spots follow that of the tissue, from where they are now"
SAVE_TRANSFORM_TIP = "Write where the spots lie, as a sample sheet's column transform names it"
MOVE_SPOTS = "Move the spots…"
MOVE_SPOTS_TIP = "Lay the spots elsewhere, as when they were placed on another scan"


NO_METER = "With a pixel size and a model, a meter shows here how well the model predicts the spots."


def residual_sentence(names: Sequence[str], off: FloatArray, mpp: float | None, fewest: int) -> str:
    """Say how far each landmark that was put somewhere is from where the spots now lie."""
    if not names:
        return "Drag a number to where its spots belong on the tissue."
    if len(names) < fewest:
        return f"{count(len(names), 'landmark')} of {fewest}: drag {'two more' if len(names) == 1 else 'one more'}."
    unit, side = ("px", 1.0) if mpp is None else ("µm", mpp)
    each = ", ".join(f"{name}: {away * side:z.0f} {unit}" for name, away in zip(names, off, strict=True))
    return f"Off by {each}."


def snapped_sentence(found: Snap, mpp: float | None) -> str:
    """Say how far spots were moved, and how well outlines agree."""
    moved = f"{found.moved:z.0f} px" if mpp is None else f"{found.moved * mpp:z.0f} µm"
    return f"Moved by {moved}. The outlines agree by {found.after:z.3f} (before, {found.before:z.3f}); 1 is perfect."


def meter_sentence(reading: Reading | None, best: Reading | None) -> str:
    """Say how well the model predicts the spots where they lie, beside the best place so far."""
    if reading is None:
        return "Too few spots lie on the slide."
    before = "" if best is None or best.pcc <= reading.pcc else f" Best so far: {best.pcc:z.3f}."
    genes = f"{reading.genes} best genes" if reading.genes > 1 else "best gene"
    return f"Mean PCC of the model's {genes} here: {reading.pcc:z.3f}, across {count(reading.spots, 'spot')}.{before}"


def agreement_sentence(agreement: Agreement, spots: int) -> str:
    """Say how well the anchors are predicted before and after, each from the others."""
    pcc = ""
    if agreement.pcc_before is not None and agreement.pcc_after is not None:
        pcc = f" Mean PCC across them: {agreement.pcc_before:z.2f}, then {agreement.pcc_after:z.2f}."
    worse = " It does not help: leave it, or use more spots." * (agreement.error_after >= agreement.error_before)
    return (
        f"Corrected with {count(spots, 'spot')}. Each predicted from the others: mean squared error "
        f"{agreement.error_before:z.2f} before, {agreement.error_after:z.2f} after.{pcc}{worse}"
    )


def table_tips(card: Card) -> dict[str, str]:
    """Explain the columns of the table of genes."""
    kind = "" if card.evaluation is None else f". {KIND_MEANS[card.evaluation.kind]}"
    measured = f"Mean measured value, {card.target.unit}"
    return {
        **TABLE_TIPS,
        "measured": measured,
        "card": f"The model's PCC on tissue that it did not see in training{kind}",
    }


def not_measured(comparison: Comparison, gene: str) -> str:
    """Say why a gene has no measured value beside its prediction."""
    if gene not in comparison.card.genes:
        return f"{comparison.card.name} does not predict {gene}."
    return f"{gene} was not measured in {comparison.name}."


def measured_summary(comparison: Comparison) -> str:
    """Say how well a measurement and a prediction of one section agree."""
    figures, scored = comparison.figures, comparison.scored
    low, high = figures["ci"]["pcc_mean"]
    genes, spots = count(len(scored.genes), "gene"), count(len(scored.truth), "spot")
    mean = f"mean PCC {figures['pcc_mean']:z.3f} ({low:z.3f} to {high:z.3f})"
    which = f"{comparison.name}, corrected map" if comparison.correction is not None else comparison.name
    return f"{which}: {mean} over {genes}, across {spots}. {ONE_TO_NOTHING}"


def measured_alarms(comparison: Comparison) -> str:
    """Say what makes the figures worthless: another slide's measurement, a training section; empty for neither."""
    trained = (
        f"{comparison.trained_as} was among this model's training sections. The figures show what it has learnt, not "
        "how well it predicts."
        if comparison.trained_as
        else ""
    )
    return "\n".join(text for text in (sentence(comparison.disagrees), trained) if text)


def measured_caveats(comparison: Comparison) -> list[str]:
    """Say what to know of the figures of one section, a sentence each."""
    card, constant = comparison.card, comparison.figures["n_constant"]
    missing, names = len(comparison.missing), ", ".join(comparison.missing[:_NAMED])
    more = f" and {missing - _NAMED} more" if missing > _NAMED else ""
    were = "was" if missing == 1 else "were"
    panel, found = comparison.scored.panel, len(comparison.scored.genes)
    said = (
        ""
        if comparison.correction is None or comparison.uncorrected is None
        else f"{count(len(comparison.correction.anchors), 'spot')} that correct the map are left out. At the others, "
        f"the prediction itself has mean PCC {comparison.uncorrected:z.3f}.",
        *map(sentence, comparison.doubts),
        f"{missing} of the model's {count(len(card.genes), 'gene')} {were} not measured: {names}{more}."
        if missing
        else "",
        f"The model's genes were found {match_words(panel)}." if panel.get("by_symbol", 0) < found else "",
        f"{count(comparison.left_out, 'spot')} without a prediction left out." if comparison.left_out else "",
        f"{count(constant, 'gene')} measured the same in every spot: PCC 0." if constant else "",
        ""
        if comparison.same_unit
        else f"{card.name} predicts {card.unit}, the measurement has {card.target.unit}. Compare correlations only.",
        sentence(coverage_words(comparison.figures["intervals"])) if "intervals" in comparison.figures else "",
        "PCC is computed for each gene across the spots of this section, without smoothing. The 95% interval comes "
        "from resampling blocks of neighbouring spots.",
        ""
        if comparison.trained_as
        else "The file does not name the patient, so the model may have seen other tissue of the same patient.",
    )
    return [text for text in said if text]
