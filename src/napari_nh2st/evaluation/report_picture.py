"""A report's picture: genes by PCC, three of them as maps, models side by side. Draws without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation.report_words import FIGURES, in_order, kind_words, main_model, number, split_name
from napari_nh2st.markup import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

SIZE = (14.0, 6.8)  # inches of a split's genes and maps
_MODELS_HEIGHT, _MODEL_HEIGHT = 1.7, 0.27  # inches of what is below them, and more for each model
DPI = 130

# Baselines drawn beside the model, in colours that also differ in lightness.
_LINES = {"colour-ridge": "#d1701f", "coordinates-knn": "#8a8a8a", "depth-only": "#2f8f6f"}
_MAIN = "#1f4e8c"
# The figures of a model, a mark and a colour each; those after the first are free of depth.
_MARKS = {"pcc_mean": ("o", "#1f4e8c"), "pcc_given_depth": ("D", "#c0392b"), "pcc_residuals": ("s", "#e0a030")}
_NOT_MEASURED = "#f1f1f1"
_SCALE_BARS = (1000.0, 500.0, 200.0, 100.0)  # um; the first that fits a section
_FILL = 0.92  # a spot's diameter over the spacing: neighbours stay apart

Array = npt.NDArray[np.float64]


def picture(report: Mapping[str, Any], path: str | Path) -> None:
    """Draw a report as a PNG, one row per split.

    Above, the left half has the genes by PCC; the right half has the best, the median and the worst gene, measured
    above and predicted below. Both maps of a gene span the measured values' 1st to 99th percentile, so a prediction
    that varies less than the measurement also looks like it. Below, every model's mean PCC with the two figures that
    are free of depth, and beside them the main model's paired differences with all others but the mean profile.

    Parameters
    ----------
    report : dict
        From `evaluate`. Without ``maps`` the right half says so.
    path : path
        The PNG.

    Raises
    ------
    Nh2stError
        If there is no split.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    splits = report.get("splits") or []
    if not splits:
        raise Nh2stError("the report has no splits: there is nothing to draw")
    heights = [height(split) for split in splits]
    figure = Figure(figsize=(SIZE[0], sum(heights)), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    rows = np.atleast_1d(np.asarray(figure.subfigures(len(splits), 1, height_ratios=heights)))
    for row, split in zip(rows, splits, strict=True):
        _row(row, split)
    figure.canvas.draw()  # the layout of several rows settles in the second pass
    figure.savefig(path, format="png", metadata={"Description": "napari-nh2st evaluation"})


def height(split: Mapping[str, Any]) -> float:
    """Return the inches of a split's row: more for more models."""
    models = split.get("models") or {}
    return SIZE[1] + (_MODELS_HEIGHT + _MODEL_HEIGHT * len(models) if models else 0.0)


def _row(row: SubFigure, split: Mapping[str, Any]) -> None:
    spots = f", {split['n_spots']} spots" if split.get("n_spots") is not None else ""
    row.suptitle(figure_text(f"{split_name(split)}: {kind_words(split)}{spots}"), fontsize=14, fontweight="bold")
    upper = row
    if split.get("models"):
        upper, lower = np.asarray(row.subfigures(2, 1, height_ratios=[SIZE[1], height(split) - SIZE[1]]))
        _models(lower, split)
    left, right = np.asarray(upper.subfigures(1, 2, width_ratios=[1, 1.75]))
    _ranks(left.subplots(), split)
    maps = split.get("maps") or {}
    if maps.get("genes"):
        _maps(right, maps)
    else:
        right.text(0.5, 0.5, "This report holds no maps.", ha="center", va="center", fontsize=12, color="#666666")


def _ranks(axis: Axes, split: Mapping[str, Any]) -> None:
    """Draw every gene's PCC, best first, each model in its own order."""
    models = split.get("models") or {}
    main = main_model(models)
    for name, colour in _LINES.items():
        if name != main and (models.get(name) or {}).get("genes"):
            values = np.sort(_column(models[name]["genes"], "pcc"))[::-1]
            axis.plot(_places(values), values, color=colour, lw=1.5, label=_label(name, models[name]))
    if main is not None and models[main].get("genes"):
        genes = models[main]["genes"]
        values = _column(genes, "pcc")
        order = np.argsort(-values, kind="stable")
        low, high = (_column(genes, key)[order] for key in ("low", "high"))
        axis.fill_between(_places(values), low, high, color=_MAIN, alpha=0.18, lw=0, label="its 95% interval, per gene")
        axis.plot(_places(values), values[order], color=_MAIN, lw=2.4, label=_label(main, models[main]))
    axis.axhline(0, color="black", lw=0.9)
    axis.set_xlabel("genes, best first (each line in its own order)", fontsize=11)
    axis.set_ylabel("PCC across the section's spots", fontsize=11)
    axis.set_title("Every gene of the panel", fontsize=12)
    axis.tick_params(labelsize=10)
    axis.margins(x=0.01)
    axis.grid(axis="y", color="#e3e3e3", lw=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        axis.legend(handles[::-1], labels[::-1], fontsize=10, frameon=False, loc="best")


def _models(part: SubFigure, split: Mapping[str, Any]) -> None:
    """Draw every model's figures, and the main model's paired differences, one line a model."""
    models, pairs = split["models"], split.get("pairs") or {}
    names = in_order(models)[::-1]
    figures, differences = np.asarray(part.subplots(1, 2, sharey=True, width_ratios=[1, 1]))
    for place, name in enumerate(names):
        ci = models[name].get("ci") or {}
        _marks(figures, place, {key: (models[name].get(key), ci.get(key)) for key in _MARKS})
        if name == "mean-profile":
            continue  # so far behind that the rest would be squeezed
        of = (pairs.get("others") or {}).get(name, {})
        _marks(differences, place, {k: (d["difference"], (d["low"], d["high"])) for k, d in of.items() if k in _MARKS})
    figures.set_yticks(range(len(names)), [figure_text(name) for name in names], fontsize=10)
    figures.set_title("Every model: mean over genes, with its 95% interval", fontsize=12)
    main = pairs.get("model")
    differences.set_title(
        figure_text(f"{main} less every other, on the same draws") if main else "No paired differences", fontsize=12
    )
    for axis in (figures, differences):
        axis.axvline(0, color="black", lw=0.9)
        axis.grid(axis="x", color="#e3e3e3", lw=0.7)
        axis.set_axisbelow(True)
        axis.tick_params(axis="x", labelsize=10)
        axis.tick_params(axis="y", length=0)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.set_ylim(-0.7, len(names) - 0.3)
    marks = [
        figures.plot([], [], mark, color=colour, ls="-", ms=5.5, label=FIGURES[key])[0]
        for key, (mark, colour) in _MARKS.items()
    ]
    part.legend(handles=marks, loc="outside lower center", ncols=len(marks), fontsize=10, frameon=False)


def _marks(axis: Axes, place: int, values: Mapping[str, tuple[float | None, Sequence[float] | None]]) -> None:
    """Draw the figures of one line, one below the other, each with its interval."""
    for step, (key, (value, interval)) in zip((0.22, 0.0, -0.22), values.items(), strict=False):
        if value is None:
            continue
        mark, colour = _MARKS[key]
        if interval is not None:
            axis.plot(interval, [place + step] * 2, color=colour, lw=1.6, solid_capstyle="butt")
        axis.plot([value], [place + step], mark, color=colour, ms=5)


def _label(name: str, scores: Mapping[str, Any]) -> str:
    return figure_text(f"{name}, mean {number(scores.get('pcc_mean'))}")


def _places(values: Array) -> npt.NDArray[np.int64]:
    return np.arange(1, len(values) + 1)


def _column(genes: Mapping[str, Any], key: str) -> Array:
    """Collect one figure of every gene, NaN if missing."""
    return np.array([np.nan if gene.get(key) is None else gene[key] for gene in genes.values()], dtype=np.float64)


def _maps(part: SubFigure, maps: Mapping[str, Any]) -> None:
    genes = maps["genes"]
    spots = np.asarray(maps["spots"], dtype=np.float64).reshape(-1, 2)
    spacing = float(maps.get("spacing") or _nearest(spots))
    axes = part.subplots(2, len(genes), squeeze=False)
    for column, gene in enumerate(genes):
        measured, predicted = (np.asarray(gene[key], dtype=np.float64) for key in ("measured", "predicted"))
        low, high = _limits(measured)
        for axis, values in zip(axes[:, column], (measured, predicted), strict=True):
            dots = _dots(axis, spots, values, spacing, (low, high))
        axes[0, column].set_title(
            figure_text(f"{gene['rank']}: {gene['gene']}\nPCC {number(gene['pcc'])}"), fontsize=12
        )
        bar = part.colorbar(dots, ax=list(axes[:, column]), location="bottom", shrink=0.7, aspect=20, extend="both")
        bar.ax.tick_params(labelsize=9.5)
    axes[0, 0].set_ylabel("measured", fontsize=12)
    axes[1, 0].set_ylabel("predicted", fontsize=12)
    _scale_bar(axes[1, 0], spots, spacing)
    model, section = maps.get("model", "the model"), maps.get("section", "?")
    part.suptitle(figure_text(f"Section {section}, predicted by {model}"), fontsize=12)
    unit = maps.get("unit", "expression")
    part.supxlabel(figure_text(f"{unit}; one scale per gene, measured 1st to 99th percentile"), fontsize=10.5)


def _limits(measured: Array) -> tuple[float, float]:
    """Return the ends of the colours: the measured 1st and 99th percentile, always different."""
    low, high = np.nanpercentile(measured, [1, 99])
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _nearest(spots: Array) -> float:
    """Return the median distance from a spot to its nearest neighbour."""
    if len(spots) < 2:
        return 1.0
    apart = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    return float(np.median(apart.min(axis=1)))


def _dots(axis: Axes, spots: Array, values: Array, spacing: float, limits: Sequence[float]) -> Any:
    """Draw spots as circles, sized in the section's own unit, y downwards as in the image."""
    from matplotlib.collections import EllipseCollection

    size = np.full(len(spots), _FILL * spacing)
    dots = EllipseCollection(
        size, size, np.zeros(len(spots)), units="xy", offsets=spots, offset_transform=axis.transData, cmap="magma"
    )
    dots.set_array(values)
    dots.set_clim(*limits)
    axis.add_collection(dots)
    (x0, y0), (x1, y1) = spots.min(axis=0) - spacing, spots.max(axis=0) + spacing
    axis.set(xlim=(x0, x1), ylim=(y1, y0), xticks=[], yticks=[], aspect="equal")
    axis.set_facecolor(_NOT_MEASURED)
    axis.spines[:].set_visible(False)
    return dots


def _scale_bar(axis: Axes, spots: Array, spacing: float) -> None:
    """Draw a scale bar below the spots: 1 mm, or less if the section is smaller."""
    left, bottom = spots[:, 0].min() - spacing / 2, axis.get_ylim()[0]
    room = 0.6 * (np.ptp(spots[:, 0]) + spacing)
    length = next((bar for bar in _SCALE_BARS if bar <= room), _SCALE_BARS[-1])
    axis.plot([left, left + length], [bottom, bottom], color="black", lw=3, solid_capstyle="butt", clip_on=False)
    axis.annotate(
        "1 mm" if length == 1000 else f"{length:.0f} µm",
        xy=(left + length / 2, bottom),
        xytext=(0, -4),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=10,
        annotation_clip=False,
    )
