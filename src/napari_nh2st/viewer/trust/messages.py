"""Messages of the fold "Trust". No Qt: they are tested as text."""

from __future__ import annotations

from napari_nh2st.model.card import Card
from napari_nh2st.model.trust_words import HELD_OUT_MEANS, KIND_MEANS, PCC_MEANS, trust_words

SPREAD_IS = (
    "Spread shows how far the answers differ. It is not the error: answers can agree and all be wrong. On tissue that "
    "was new to our models, spread said little or nothing about the error."
)
TISSUE_IS = "Is this tissue like the training tissue? The check does not say whether a prediction is right."
LEGEND = "Orange: less like the training tissue than 99 of 100 training tiles. Red: far from all of it."
SCORE_IT = "It is not a model of NH2ST. Open a measurement under Measured to see how well it predicts this slide."
NOT_OFFERED = "This model does not offer the check: it keeps no record of its training tissue."
CHECK_TIP = "Compare the predicted tiles with the training tissue, and mark the tiles that look different"
SHOW_SPREAD = "Show spread"
SPREAD_TIP = "Draw how far the answers differ. Each view or model takes about as long as the prediction did"
SPREAD_BACK_TIP = "Hide the spread and show the prediction again"
ONE_MORE = "Tick at least one model."
OTHER_UNIT = "It predicts in another unit"
OTHER_PANEL = "It shares no gene with the chosen model"
TOO_MANY_TILES = "There are too many tiles to keep several answers for. Choose coarse detail."
SHOW_HALF_WIDTH = "Show half-width"
HALF_WIDTH_TIP = "Draw how far to either side of the prediction 90 of 100 measured values are expected"
HALF_WIDTH_BACK_TIP = "Hide the half-widths and show the prediction again"
MARK_TIP = "Grey out the tiles where the interval is as wide as the gene varied over the training spots"
INTERVALS_ARE = "How far off may a prediction be? 90 of 100 measured values are expected within its interval."
_SHOWN = 8  # sections that are named


def figures_words(card: Card | None, gene: str) -> list[str]:
    """Say what the held-out figure of a gene is, what it means and where it comes from, a paragraph each."""
    if card is None:
        return ["Choose a model above."]
    said = []
    if gene:
        figure = trust_words(card, gene)
        said.append(figure + "." if figure.startswith(card.name) else f"{gene}: {figure}.")
    if card.evaluation is not None:
        said += [PCC_MEANS, f"{HELD_OUT_MEANS} Here: {_named(card.evaluation.samples)}."]
        said.append(KIND_MEANS[card.evaluation.kind])
    elif card.predictor is not None:
        said.append(SCORE_IT)
    elif not card.synthetic:
        said.append("Nobody has tested this model on tissue that it had not seen. Its accuracy is unknown.")
    if card.training:
        said.append(f"Trained on {_named([t.sample for t in card.training])} ({card.trained_on}).")
    return said


def _named(samples: list[str]) -> str:
    more = f" and {len(samples) - _SHOWN} more" if len(samples) > _SHOWN else ""
    return ", ".join(samples[:_SHOWN]) + more


def novelty_key(unusual: str, unlike: str) -> tuple[tuple[str, str | None], ...]:
    """Return the lines on the canvas that explain the two colours of tiles, "#rrggbb"."""
    return (
        ("unlike the training tissue", None),
        ("less like it than 99 of 100 training tiles", unusual),
        ("far from all of it", unlike),
    )


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
    part = f" That is {100 * median / contrast:z.0f}% of how much {gene} varies here." if contrast > 1e-6 else ""
    return f"{gene}: {over} typically differ by {median:.2g} {unit}.{part}"


def half_width_words(gene: str, unit: str, median: float, share: float) -> str:
    """Say how wide a gene's intervals are.

    Parameters
    ----------
    median : float
        Of the half-widths over tiles.
    share : float
        Of the tiles, where the interval is as wide as the gene varied in the training.
    """
    where = f"In {100 * share:z.0f}% of the tiles"
    vain = f" {where} that is as wide as {gene} varied in the training: not informative there."
    return f"{gene}: typically ± {median:z.2f} {unit}.{vain if share >= 0.005 else ''}"


def half_width_at(gene: str, value: float, width: float, unit: str) -> str:
    """Say of a tile where a measured value is expected."""
    ends = f"{value - width:z.2f} to {value + width:z.2f}"
    return f"{gene} {value:z.2f} ± {width:z.2f} {unit} · 90% of measured values from {ends}"


def not_informative_key(gene: str, colour: str) -> tuple[tuple[str, str | None], ...]:
    """Return the line on the canvas that explains the marks, "#rrggbb"."""
    return ((f"not informative here: the interval is as wide as {gene} varied in the training", colour),)
