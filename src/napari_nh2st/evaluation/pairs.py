"""Differences between the main model and every other, on the same draws of the test sections' spots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_nh2st import metrics
from napari_nh2st.evaluation.report_words import FIGURES, in_order, main_model
from napari_nh2st.evaluation.scores import PAIRED, FloatArray


def differences(models: Mapping[str, Any], draws: Mapping[str, Mapping[str, FloatArray]]) -> dict[str, Any] | None:
    """Compare the main model of a split with every other.

    Neighbouring spots and hard genes move all models alike from draw to draw, so the interval of a difference is
    narrower than the two models' own intervals suggest.

    Parameters
    ----------
    models : mapping
        Figures by model, from `scores.score_with_draws`.
    draws : mapping
        By model: its draws, of the same resamples for all.

    Returns
    -------
    dict or None
        ``model``: the main one; ``others``: by name, for each figure of `PAIRED` its ``difference`` (main less other),
        and ``low`` and ``high``, the ends of the 95% interval; ``says``: a sentence a figure. None where there is
        nothing to compare.
    """
    main = main_model(models)
    names = [name for name in in_order(models) if name != main and name in draws]
    if main is None or main not in draws or not names:
        return None
    others = {
        name: {
            figure: _difference(models, draws, main, name, figure)
            for figure in PAIRED
            if figure in draws[main] and figure in draws[name]
        }
        for name in names
    }
    return {"model": main, "others": others, "says": [_says(main, others, f) for f in PAIRED if f in others[names[0]]]}


def _difference(
    models: Mapping[str, Any], draws: Mapping[str, Mapping[str, FloatArray]], main: str, other: str, figure: str
) -> dict[str, float]:
    low, high = metrics.interval(draws[main][figure] - draws[other][figure])
    values = {"difference": models[main][figure] - models[other][figure], "low": low, "high": high}
    return {key: round(float(value), 5) for key, value in values.items()}


def _says(main: str, others: Mapping[str, Any], figure: str) -> str:
    """Write a sentence about one figure: of which models the interval lies on one side of 0."""
    ahead = [name for name, of in others.items() if of[figure]["low"] > 0]
    behind = [name for name, of in others.items() if of[figure]["high"] < 0]
    level = [name for name in others if name not in (*ahead, *behind)]
    parts = [
        f"{word} {_listed(names)}"
        for word, names in (("ahead of", ahead), ("behind", behind), ("not told apart from", level))
        if names
    ]
    return f"{_capital(FIGURES[figure])}: {main} is {'; '.join(parts)}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
