"""Whether measured and predicted values of a section agree at all, as far as the model's card lets one expect it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_nh2st.model.card import Card

# Of the card's mean PCC. The bundled model, whose card says 0.17, reaches 0.37 or more on each section of her2st; with
# counts of another section as they lie, it stays below half of 0.17 for 16 of 20 pairs.
_HARDLY = 0.5
_WORTH = 0.1  # mean PCC of a card from which agreement can be expected


def disagreement(card: Card, figures: Mapping[str, Any]) -> str:
    """Say, in a clause, that a section hardly agrees with its prediction; empty where it does, or nobody can tell.

    Parameters
    ----------
    card : Card
    figures : mapping
        Of the section, as `evaluation.scores.score` gives them.
    """
    expected = card.evaluation
    if expected is None or card.synthetic or expected.pcc_mean < _WORTH:
        return ""
    # Over the genes that were measured: those that the section's table lacks count as 0 in the figures.
    part = len(figures["genes"]) / (len(figures["genes"]) + figures["n_lacking"])
    mean, high = float(figures["pcc_mean"]) / part, float(figures["ci"]["pcc_mean"][1]) / part
    if mean >= _HARDLY * expected.pcc_mean or high >= expected.pcc_mean:
        return ""
    figures_said = f"mean PCC {mean:z.2f}; {expected.pcc_mean:.2f} on held-out tissue"
    return f"measured and predicted values hardly agree ({figures_said}): is this the measurement of this slide?"
