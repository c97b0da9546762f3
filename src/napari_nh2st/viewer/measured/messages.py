"""Sentences about a measurement beside its prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.viewer.kit.phrases import count

if TYPE_CHECKING:
    from napari_nh2st.analysis.measured import Comparison

_SHOWN = 12  # sections named before the rest is counted


def measured_summary(found: Comparison) -> str:
    """Say how well a measurement and a prediction of one section agree."""
    figures, scored = found.figures, found.scored
    low, high = figures["ci"]["pcc_mean"]
    genes, spots = count(len(scored.genes), "gene"), count(len(scored.truth), "spot")
    return f"{found.name}: mean PCC {figures['pcc_mean']:.3f} ({low:.3f} to {high:.3f}) over {genes}, across {spots}."


def measured_training(found: Comparison) -> str:
    """Say that the section was among those that the model was trained on; empty where it was not."""
    if not found.trained_as:
        return ""
    return (
        f"{found.trained_as} was among this model's training sections: these figures say what it has learnt, "
        "not how well it predicts."
    )


def measured_caveats(found: Comparison) -> list[str]:
    """Say what to know of the figures of one section, a sentence each."""
    card, constant = found.card, found.figures["n_constant"]
    missing, names = len(found.missing), ", ".join(found.missing[:_SHOWN])
    more = f" and {missing - _SHOWN} more" if missing > _SHOWN else ""
    were = "was" if missing == 1 else "were"
    said = (
        f"{missing} of the model's {count(len(card.genes), 'gene')} {were} not measured: {names}{more}."
        if missing
        else "",
        f"{count(found.left_out, 'spot')} without a prediction left out." if found.left_out else "",
        f"{count(constant, 'gene')} measured the same in every spot: PCC 0." if constant else "",
        ""
        if found.same_unit
        else f"{card.name} predicts {card.unit}; the measurement is ln(1 + counts per 10,000): correlations can be "
        "compared, values cannot.",
        "PCC is taken per gene across the spots of this one section, on values that are not smoothed; its interval "
        "(95%) comes from drawing blocks of neighbouring spots again and again.",
        ""
        if found.trained_as
        else "The file does not name the patient: whether the patient is new to the model is not known.",
    )
    return [sentence for sentence in said if sentence]
