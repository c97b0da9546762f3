"""How far to trust a model, in words: the same in the docks and in a report.

Each figure has its explanation in one line.
"""

from __future__ import annotations

from napari_nh2st.model.card import NO_ACCURACY, Card

# The words beside a figure explained, a line each: they stand wherever the figure stands.
ONE_TO_NOTHING = "1 is perfect, 0 is none."
PCC_MEANS = f"PCC: correlation of predicted with measured values across spots. {ONE_TO_NOTHING}"
INTERVAL_MEANS = "In brackets: the 95% interval."
HELD_OUT_MEANS = "Held out: tissue that the model did not see in training."
KIND_MEANS = {
    "cross-patient": "Cross patient: these patients were new to the model. Expect about as much in a new patient.",
    "same-patient": "Same patient: the model knows other tissue of these patients. Expect less in a new patient.",
    "synthetic": "Synthetic tissue: drawn by a computer. The figure says nothing about real slides.",
}
NO_REFERENCE = (
    "This model keeps no record of its training tissue: an earlier version made it, or there were too few tiles. Train "
    "it again to get one."
)


def held_out_words(card: Card) -> str:
    """Say how well a model did on held-out tissue."""
    if card.predictor is not None:
        return f"{NO_ACCURACY.capitalize()}."
    if card.evaluation is None:
        return "Not evaluated on held-out tissue."
    e = card.evaluation
    return f"Mean held-out PCC {e.pcc_mean:z.2f} over {_count(len(e.genes), 'gene')}, {e.kind_words}."


def figures_explained(card: Card | None) -> list[str]:
    """Explain the held-out figures of a model, a line each; empty where it has none."""
    if card is None or card.evaluation is None:
        return []
    return [PCC_MEANS, INTERVAL_MEANS, HELD_OUT_MEANS, KIND_MEANS[card.evaluation.kind]]


def trust_words(card: Card, gene: str) -> str:
    """Say how far to trust one gene of a model."""
    if gene not in card.genes:
        return f"{card.name} does not predict {gene}" if gene else ""
    return card.trust(gene)


def novelty_words(tiles: int, unusual: int, unlike: int) -> str:
    """Say how many of the tiles that were looked at are unlike the training tissue.

    Parameters
    ----------
    tiles, unusual, unlike : int
        Looked at; beyond 99% of training tiles, those that are far from all of them included; far from all.
    """
    if not unusual:
        return f"All {_count(tiles, 'predicted tile')} look like the training tissue."
    far = f", {_share(unlike, tiles)} very different" if unlike else ""
    expected = " About 1% is normal, even on slides like those of the training." if unusual <= 0.05 * tiles else ""
    return (
        f"{_share(unusual, tiles)} of {_count(tiles, 'predicted tile')} look different from the training "
        f"tissue{far}.{expected}"
    )


def _share(n: int, of: int) -> str:
    percent = 100 * n / of
    return f"{percent:z.0f}%" if percent >= 1 else "Less than 1%"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
