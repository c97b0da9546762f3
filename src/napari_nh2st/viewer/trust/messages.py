"""Messages of the fold "Trust". No Qt: they are tested as text."""

from __future__ import annotations

from napari_nh2st.model.card import Card
from napari_nh2st.viewer.kit.phrases import count, trust_words

SPREAD_IS = (
    "Spread is how far the answers differ. It is not the error: answers can agree and all be wrong. On sections that "
    "models had not seen, the spread of views told nothing about the error, that of models little."
)
TISSUE_IS = (
    "Compares each tile with the tissue that the model was trained on. It does not say whether the prediction is right."
)
LEGEND = "Orange: more unlike than 99 of 100 training tiles. Red: far from all of them."
NO_REFERENCE = (
    "There is no record of what this model's training tissue looks like: it was made by an earlier version, or from "
    "too few tiles. Train it again to get one."
)
CHECK_TIP = "Compare the predicted tiles with the tissue that the model was trained on, and mark those that are unlike"
SHOW_SPREAD = "Show spread"
SPREAD_TIP = "Draw how far the answers differ; each view and each model takes about as long as the prediction did"
SPREAD_BACK_TIP = "Hide the spread, and show the heatmap of the prediction again"
ONE_MORE = "Tick one model at least."
OTHER_UNIT = "It predicts another unit"
OTHER_PANEL = "It predicts none of the genes of the chosen model"
TOO_MANY_TILES = "These are too many tiles to keep several answers for: take coarse detail."
_SHOWN = 8  # sections that are named


def figures_words(card: Card | None, gene: str) -> list[str]:
    """Say what the held-out figure of a gene is and where it comes from, a paragraph each."""
    if card is None:
        return ["Choose a model above."]
    said = []
    if gene:
        figure = trust_words(card, gene)
        said.append(figure + "." if figure.startswith(card.name) else f"{gene}: {figure}.")
    if card.evaluation is not None:
        said.append(f"Measured on {_named(card.evaluation.samples)}. {_KINDS[card.evaluation.kind]}")
    elif not card.synthetic:
        said.append("This model was not tried on tissue that it had not seen: how right it is, is not known.")
    if card.training:
        said.append(f"Trained on {_named([t.sample for t in card.training])} ({card.trained_on}).")
    return said


_KINDS = {
    "cross-patient": "Each time, the patient was left out of the training: this is what to hope for in a new patient.",
    "same-patient": "These come from patients that the model was trained on: in a new patient it is likely less right.",
    "synthetic": "That is procedural tissue: the figure says nothing of real slides.",
}


def _named(samples: list[str]) -> str:
    more = f" and {len(samples) - _SHOWN} more" if len(samples) > _SHOWN else ""
    return ", ".join(samples[:_SHOWN]) + more


def novelty_words(tiles: int, unusual: int, unlike: int) -> str:
    """Say how many of the tiles that were looked at are unlike the training tissue.

    Parameters
    ----------
    tiles, unusual, unlike : int
        Looked at; beyond 99% of training tiles, those that are far from all of them included; far from all.
    """
    if not unusual:
        return f"All of the {count(tiles, 'predicted tile')} are like the tissue that this model was trained on."
    far = f", {_share(unlike, tiles)} are far from all of it" if unlike else ""
    expected = " About 1% is expected of a slide like those of the training." if unusual <= 0.05 * tiles else ""
    return (
        f"{_share(unusual, tiles)} of the {count(tiles, 'predicted tile')} are unlike the tissue that this model was "
        f"trained on{far}.{expected}"
    )


def _share(n: int, of: int) -> str:
    percent = 100 * n / of
    return f"{percent:z.0f}%" if percent >= 1 else "Less than 1%"


def spread_words(gene: str, unit: str, over: str, median: float, contrast: float) -> str:
    """Say how large the spread of a gene is.

    Parameters
    ----------
    over : str
        "4 views", "3 models".
    median : float
        Of the spread over tiles.
    contrast : float
        Standard deviation of the prediction over the same tiles.
    """
    part = f": {100 * median / contrast:z.0f}% of how much {gene} varies over these tiles" if contrast > 1e-6 else ""
    return f"{gene}: the answers of {over} typically differ by {median:.2g} {unit}{part}."
