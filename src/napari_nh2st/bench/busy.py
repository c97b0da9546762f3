"""Throughput beside one busy process, over alone: predicting and training as the command does, with its threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_nh2st.bench.child_processes import busy_process
from napari_nh2st.bench.contenders import contiguous_grid
from napari_nh2st.bench.figures import Findings
from napari_nh2st.bench.rates import Contender, Rate, failure, in_turns, median_rate, ratio
from napari_nh2st.bench.training import blocks_of
from napari_nh2st.errors import Cancelled

if TYPE_CHECKING:
    from napari_nh2st.bench.data_sets import DataSets

COMPARISONS: dict[str, tuple[str, Callable[[DataSets], Contender]]] = {
    "predict_beside_busy": ("contiguous grid", contiguous_grid),
    "train_beside_busy": ("training by blocks", blocks_of),
}
"""The contender of each figure, and its name in the table of rates."""


def compare(data_sets: DataSets, keys: set[str], progress: Callable[[int, int], object]) -> Findings:
    """Measure each contender alone and beside one busy process, in turns."""
    out = Findings()
    for key, (name, make) in COMPARISONS.items():
        if key not in keys:
            continue
        try:
            alone = make(data_sets)
            both = {f"{name}, alone": alone, f"{name}, beside a busy process": beside_busy(alone)}
            rates = in_turns(both, data_sets.options.repeat, data_sets.options.cancelled, progress)
        except Cancelled:
            raise
        except Exception as error:
            out.notes[key] = failure(error)
            continue
        by_itself, beside = rates.values()
        out.add(Findings({key: ratio(beside, by_itself)}, {k: median_rate(v) for k, v in rates.items()}))
    return out


def beside_busy(contender: Contender) -> Contender:
    """Measure a contender while another process computes without a pause."""

    def measure() -> Rate:
        with busy_process():
            return contender()

    return measure
