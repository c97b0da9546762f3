"""The figures that `nh2st bench` reports, the bound that each must keep, and the document they stand in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_nh2st.terminal import in_columns

Group = Literal["ratios", "seconds", "memory_mb", "counts"]
Outcome = Literal["ok", "short", "-"]


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    Attributes
    ----------
    key : str
        Its name in the JSON, and for ``--rows``.
    group : str
        Under which it stands in the JSON; counts are whole numbers.
    what : str
        For people.
    asked : dict of float
        The bound per precision; one under "" holds for all. Empty where nothing is asked.
    at_most : bool
        Otherwise at least.
    """

    key: str
    group: Group
    what: str
    asked: Mapping[str, float] = field(default_factory=dict)
    at_most: bool = False

    def bound(self, precision: str) -> float | None:
        """Return the bound at this precision, if there is one."""
        return self.asked.get(precision, self.asked.get(""))

    def holds(self, value: float | None, precision: str) -> bool | None:
        """Tell whether a value keeps the bound; None where there is no bound, or no value."""
        bound = self.bound(precision)
        if value is None or bound is None:
            return None
        return value <= bound if self.at_most else value >= bound


TARGETS = (
    Figure("over_bare_encoder_fp32", "ratios", "contiguous grid over the bare encoder, fp32", {"": 0.6}),
    Figure("over_bare_encoder_bf16", "ratios", "contiguous grid over the bare encoder, bf16", {"": 0.38}),
    Figure("dense_cost", "ratios", "dense map: time per mm² over the contiguous grid's", {"": 1.5}, at_most=True),
    Figure("predict_beside_busy", "ratios", "predicting beside one busy process, over alone", {"": 0.5}),
    Figure("train_beside_busy", "ratios", "training beside one busy process, over alone", {"": 0.5}),
    Figure("over_lazyslide_default", "ratios", "mm²/s over LazySlide's default", {"": 3}),
    Figure("over_lazyslide_best", "ratios", "mm²/s over LazySlide's best, encoder of the same size", {"": 1.3}),
    Figure("finetune_over_naive", "ratios", "training: spots/s over ten patches a spot", {"": 5}),
    Figure("first_tiles_cold", "seconds", "first tiles on screen, nothing cached, s", {"": 1.0}, at_most=True),
    Figure("first_tiles_beyond", "seconds", "all cached, beyond napari's drawing, s", {"": 0.1}, at_most=True),
    Figure("gene_switch", "seconds", "gene switch at 100,000 tiles, to pixels, s", {"": 0.1}, at_most=True),
    Figure("gene_switch_beyond", "seconds", "gene switch beyond napari's drawing, s", {"": 0.05}, at_most=True),
    Figure("cohort_over_by_hand", "ratios", "cohort on workers: slides/s over a process a slide by hand", {"": 0.9}),
    Figure("cohort_overhead", "seconds", "the same: overhead of a worker's time a slide, s", {"": 0.05}, at_most=True),
)  # fmt: skip
"""The targets, which stand in the first table whether they were measured or not."""

OTHERS = (
    Figure("over_released_procedure", "ratios", "spots/s over the released procedure", {"fp32": 10, "bf16": 25}),
    Figure("over_released_same_encoder", "ratios", "the same, with an encoder of its size (ResNet-18, width 64)"),
    Figure("dense_over_released", "ratios", "dense map: cells/s over the released procedure's spots/s", {"bf16": 500}),
    Figure("over_bare_encoder", "ratios", "grid over bare encoder, this run's precision", {"fp32": 0.6, "bf16": 0.38}),
    Figure("encoded_over_tiles", "ratios", "coarse map: cells encoded over cells under tiles"),
    Figure("read_over_tiles", "ratios", "the same: pixels read over pixels under tiles"),
    Figure("dense_cost_patchwise", "ratios", "dense map: time per mm² over the grid patch by patch, ready in memory"),
    Figure("dense_agreement", "ratios", "dense against patch by patch: median correlation per gene", {"": 0.95}),
    Figure("dense_pcc_loss", "ratios", "dense against patch by patch: loss of PCC", {"": 0.01}, at_most=True),
    Figure("dense_agreement_measured", "ratios", "agreement on the measured sections of --samples", {"": 0.95}),
    Figure("dense_pcc_loss_measured", "ratios", "loss of PCC on those", {"": 0.01}, at_most=True),
    Figure("second_run_encoded", "counts", "second run over a finished region: tiles encoded", {"": 0}, at_most=True),
    Figure("killed_lost", "counts", "killed in mid-run: tiles lost that had been kept", {"": 0}, at_most=True),
    Figure("killed_difference", "counts", "killed, run again: largest difference", {"": 0}, at_most=True),
    Figure("overviews_over_decoder", "ratios", "slide without levels: overviews, px/s over the bare decoder's"),
    Figure("first_pixels_without_levels", "seconds", "100,000 x 80,000 px of it: first look, s", {"": 1}, at_most=True),
    Figure("huge_slide", "memory_mb", "peak memory, 100,000 x 80,000 px, MB", {"": 2500}, at_most=True),
    Figure("small_slide", "memory_mb", "peak memory, a slide a sixteenth the size, MB"),
    Figure("huge_over_small", "ratios", "peak memory of the one over the other", {"": 1.15}, at_most=True),
    Figure("first_tiles_warm", "seconds", "first tiles on screen, all cached, s", at_most=True),
    Figure("napari_draws", "seconds", "napari by itself draws such a map anew, s"),
    Figure("first_press_cold", "seconds", "first press, which makes the layer, nothing cached, s"),
    Figure("first_press_warm", "seconds", "first press, all cached, s"),
    Figure("napari_adds", "seconds", "napari by itself adds and draws such a layer, s"),
    Figure("napari_switches", "seconds", "napari by itself draws another array of 100,000 tiles, s"),
    Figure("heartbeat_p95", "seconds", "GUI heartbeat while predicting, 95th percentile, s", {"": 0.05}, at_most=True),
    Figure("heartbeat_max", "seconds", "GUI heartbeat while predicting, longest, s"),
    Figure("napari_own_max", "seconds", "GUI heartbeat, napari's own longest for the same, s"),
    Figure("heartbeat_beyond_napari", "seconds", "longest, beyond napari's own, s", {"": 0.2}, at_most=True),
    Figure("genes_250", "memory_mb", "memory that switching takes, 250 genes, MB"),
    Figure("genes_20000", "memory_mb", "memory that switching takes, 20,000 genes, MB"),
)  # fmt: skip
"""The figures of the second table."""

FIGURES = (*TARGETS, *OTHERS)
BY_KEY = {figure.key: figure for figure in FIGURES}


@dataclass(frozen=True)
class Value:
    """A measured figure.

    Attributes
    ----------
    value : float
        The median over the repeats.
    low, high : float
        The smallest and the largest.
    """

    value: float
    low: float
    high: float

    @classmethod
    def one(cls, value: float) -> Value:
        """Take a figure that was measured once."""
        return cls(value, value, value)


@dataclass
class Findings:
    """Measured figures, and the rates behind them.

    Attributes
    ----------
    values : dict of Value
        By the figure's key.
    absolute : dict
        Rates behind the ratios, by contender: ``places_per_s``, and ``mm2_per_s`` where an area was covered.
    notes : dict of str
        By key: why a figure is missing ("not here: ...", "failed: ..."), or a remark on it.
    storage : dict
        Bytes on the disk: ``results_per_tile``, ``cache_per_tile``.
    profile : dict
        Where a coarse and a fine run's time goes; see `bench.profile`.
    took : dict
        Seconds of each part.
    """

    values: dict[str, Value] = field(default_factory=dict)
    absolute: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    storage: dict[str, float] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)

    def add(self, other: Findings) -> None:
        """Take over the findings of another part."""
        self.values |= other.values
        self.absolute |= other.absolute
        self.notes |= other.notes
        self.storage |= other.storage
        self.profile |= other.profile
        self.took |= other.took

    @classmethod
    def missing(cls, keys: Iterable[str], why: str) -> Findings:
        """Say why none of these figures is there: "not here: ...", "left out: ...", "failed: ..."."""
        return cls(notes=dict.fromkeys(keys, why))


def document(findings: Findings, device: str, precision: str, about: dict[str, Any]) -> dict[str, Any]:
    """Lay the findings out as the JSON document.

    Parameters
    ----------
    findings : Findings
    device, precision : str
        Of the computation.
    about : dict
        Machine, settings and versions.

    Returns
    -------
    dict
        ``ratios``, ``seconds``, ``memory_mb`` and ``counts`` hold every figure's value, null where it was not
        measured; ``spread``, ``asked``, ``ok`` and ``notes`` are by key.
    """
    groups: dict[str, dict[str, float | None]] = {"ratios": {}, "seconds": {}, "memory_mb": {}, "counts": {}}
    for figure in FIGURES:
        at = findings.values.get(figure.key)
        groups[figure.group][figure.key] = None if at is None else _rounded(at.value)
    values = {key: value for group in groups.values() for key, value in group.items()}
    return {
        **groups,
        "device": device,
        "precision": precision,
        "spread": {key: [_rounded(v.low), _rounded(v.high)] for key, v in findings.values.items()},
        "asked": {f.key: f.bound(precision) for f in FIGURES},
        "ok": {f.key: f.holds(values[f.key], precision) for f in FIGURES},
        "absolute": {k: {name: _rounded(v) for name, v in rates.items()} for k, rates in findings.absolute.items()},
        "storage": {name: _rounded(size) for name, size in findings.storage.items()},
        "profile": findings.profile,
        "notes": findings.notes,
        "took": {title: _rounded(seconds) for title, seconds in findings.took.items()},
        **about,
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def outcome(report: Mapping[str, Any], key: str) -> Outcome:
    """Say "ok" or "short", or "-" where nothing is asked or nothing was measured."""
    holds = report["ok"].get(key)
    return "-" if holds is None else "ok" if holds else "short"


def rows(report: Mapping[str, Any], figures: Iterable[Figure] = FIGURES) -> list[list[str]]:
    """Return the table's rows, (what, reached, asked, outcome), of a document.

    A figure that could not be measured says so. One that nobody has asked for is left out, unless it is a target.
    """
    return [_row(report, figure) for figure in figures if figure in TARGETS or _was_tried(report, figure)]


def _was_tried(report: Mapping[str, Any], figure: Figure) -> bool:
    return report[figure.group].get(figure.key) is not None or figure.key in report["notes"]


def _row(report: Mapping[str, Any], figure: Figure) -> list[str]:
    value = report[figure.group].get(figure.key)
    bound = report["asked"].get(figure.key, figure.bound(report["precision"]))
    asked = "-" if bound is None else f"{'at most' if figure.at_most else 'at least'} {_number(bound)}"
    if value is None:
        reached = report["notes"].get(figure.key, "not run").split(":")[0]
    else:
        low, high = report["spread"].get(figure.key, [value, value])
        reached = _number(value) + ("" if low == high else f" ({_number(low)} to {_number(high)})")
    return [figure.what, reached, asked, outcome(report, figure.key)]


def _number(value: float) -> str:
    if value and abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


HEAD = ("what", "reached", "asked", "")


def table(report: Mapping[str, Any]) -> str:
    """Lay a document out for people: targets, the other figures, the rates behind them, notes, and the time it took."""
    lines = in_columns([["target", *HEAD[1:]], *rows(report, TARGETS)])
    if others := rows(report, OTHERS):
        lines += ["", *in_columns([list(HEAD), *others])]
    rates = report["absolute"]
    if rates:
        head = ["side", "places/s", "mm²/s"]
        units = ("places_per_s", "mm2_per_s")
        body = [[name, *(_number(rate[u]) if u in rate else "-" for u in units)] for name, rate in rates.items()]
        lines += ["", *in_columns([head, *body])]
    if report["notes"]:
        lines += ["", *_said_once(report["notes"])]
    if report["took"]:
        lines += ["", took(report)]
    return "\n".join(lines)


def _said_once(notes: Mapping[str, str]) -> list[str]:
    """Lay notes out, one that holds for several figures once."""
    return [
        f"{', '.join(key for key in notes if notes[key] == note)}: {note}" for note in dict.fromkeys(notes.values())
    ]


def took(report: Mapping[str, Any]) -> str:
    """Say how long the parts took."""
    each = report["took"]
    return (
        f"It took {sum(each.values()):,.0f} s: " + ", ".join(f"{title} {s:,.0f} s" for title, s in each.items()) + "."
    )
