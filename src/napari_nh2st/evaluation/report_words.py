"""Words for a report's figures, shared by the page, the picture and the documentation's tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# The order of a table's rows; other models follow by name.
MODELS = (
    "mean-profile",
    "coordinates-knn",
    "depth-only",
    "colour-ridge",
    "encoder-ridge",
    "retrieval",
    "small-cnn",
    "nh2st-target",
    "nh2st-paper",
    "nh2st-kernel",
    "nh2st-learnt",
    "nh2st-context",
)
KINDS = {"same-patient": "same patient (optimistic)", "cross-patient": "cross patient"}
FIGURES = {
    "pcc_mean": "mean PCC",
    "pcc_median": "median PCC",
    "pcc_hvg50": "PCC, 50 most variable",
    "pcc_given_depth": "PCC given depth",
    "pcc_residuals": "PCC on Pearson residuals",
    "pcc_ln1p": "PCC on ln labels",
    "mse": "MSE",
    "mae": "MAE",
    "mse_ratio": "MSE over mean profile's",
}
NONE = "–"


def in_order(names: Iterable[str]) -> list[str]:
    """Sort the names of models in the order of the tables."""
    rank = {name: i for i, name in enumerate(MODELS)}
    return sorted(set(names), key=lambda name: (rank.get(name, len(rank)), name))


def main_model(models: Mapping[str, Any]) -> str | None:
    """Name the main model of a split: nh2st-context, else another nh2st, else the one with the highest mean PCC."""
    if "nh2st-context" in models:
        return "nh2st-context"
    ours = [name for name in in_order(models) if name.startswith("nh2st-")]
    return ours[0] if ours else max(in_order(models), key=lambda name: _sortable(models[name]), default=None)


def _sortable(scores: Mapping[str, Any]) -> float:
    value = scores.get("pcc_mean")
    return -math.inf if value is None or math.isnan(value) else float(value)


def number(value: Any) -> str:
    """Write a figure with three decimals and no leading zero, or a dash if there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:.3f}".replace("-0.000", "0.000")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def between(pair: Sequence[float] | None) -> str:
    """Write an interval, ``.202 to .272``, or a dash."""
    return NONE if pair is None else f"{number(pair[0])} to {number(pair[1])}"


def with_interval(value: Any, pair: Sequence[float] | None) -> str:
    """Write a figure and, if there is one, its interval in brackets."""
    return number(value) if pair is None or value is None else f"{number(value)} ({between(pair)})"


def difference(of: Mapping[str, Any] | None) -> str:
    """Write a paired difference with its sign and interval, ``+.012 (.003 to .021)``, or a dash."""
    if of is None:
        return NONE
    sign = "+" if of["difference"] > 0 else ""
    return sign + with_interval(of["difference"], [of["low"], of["high"]])


def known_figures(models: Mapping[str, Any]) -> dict[str, str]:
    """Return the figures of a table of models: all, but the correlation with ln labels only where it is another one."""
    other_labels = any(scores.get("pcc_ln1p") is not None for scores in models.values())
    return {key: words for key, words in FIGURES.items() if key != "pcc_ln1p" or other_labels}


def seed_spread(scores: Mapping[str, Any]) -> float | None:
    """Return the standard deviation of the seeds' mean PCC, None below two seeds."""
    values = [seed["pcc_mean"] for seed in scores.get("seeds") or [] if seed.get("pcc_mean") is not None]
    return statistics.stdev(values) if len(values) > 1 else None


def kind_words(split: Mapping[str, Any]) -> str:
    """Name the kind of a split, with its warning."""
    kind = str(split.get("kind") or "kind not known")
    return KINDS.get(kind, kind)


def split_name(split: Mapping[str, Any]) -> str:
    """Name a split by its sections: ``C2, C3, C4 → C5``."""
    train, test = (", ".join(map(str, split.get(side) or ["?"])) for side in ("train", "test"))
    return f"{train} → {test}"
