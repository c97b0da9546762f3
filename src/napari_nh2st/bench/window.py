"""Figures of the window, measured in child processes: Qt and a screen stay out of the benchmark itself."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from napari_nh2st.bench.child_processes import run_json
from napari_nh2st.bench.data_sets import SEED, own_cache
from napari_nh2st.bench.figures import Findings, Value
from napari_nh2st.demo.tissue import make_section, write_slide
from napari_nh2st.terminal import has_display

if TYPE_CHECKING:
    from napari_nh2st.bench.data_sets import DataSets

KEYS = (
    "first_tiles_cold",
    "first_tiles_warm",
    "napari_draws",
    "first_tiles_beyond",
    "first_press_cold",
    "first_press_warm",
    "napari_adds",
    "heartbeat_p95",
    "heartbeat_max",
    "napari_own_max",
    "heartbeat_beyond_napari",
    "gene_switch",
    "napari_switches",
    "gene_switch_beyond",
    "genes_250",
    "genes_20000",
)


def compare(data_sets: DataSets) -> Findings:
    """Measure in a window; without a display nothing is measured, and that is said.

    Three windows: in the first nothing is cached, in the second what the first has left; the third switches genes.
    """
    if not has_display():
        return Findings.missing(KEYS, "left out: there is no display (xvfb-run)")
    options, slide = data_sets.options, data_sets.demo_path
    if options.quick:  # views must lie apart: the small section is too small
        slide = write_slide(make_section(SEED), options.folder / "window.tif")
    words = ["napari_nh2st.bench.in_window", slide, "--model", options.model, "--device", options.device]
    words += ["--settings", options.folder / "settings"] + ["--quick"] * options.quick
    with own_cache(options.folder / "cache-window"):
        parts = [run_json([*words, "--part", part], options.cancelled) for part in ("cold", "warm", "genes")]
    return laid_out(*parts)


def laid_out(cold: dict[str, Any], warm: dict[str, Any], genes: dict[str, Any]) -> Findings:
    """Turn the reports of the windows into figures."""
    out = Findings()
    for key, report in (("cold", cold), ("warm", warm)):
        out.values[f"first_tiles_{key}"] = _of(report["first_tiles"])
        out.values[f"first_press_{key}"] = Value.one(report["first_press"])
    out.notes["first_tiles_cold"] = (
        f"the dock takes a view to rest {cold['rest']:.1f} s after its last movement, which is not counted"
    )
    out.values["napari_draws"] = _of(cold["napari_draws"] + warm["napari_draws"])
    out.values["napari_adds"] = _of([cold["napari_adds"], warm["napari_adds"]])
    out.values["first_tiles_beyond"] = _beyond(warm["first_tiles"], warm["napari_draws"])
    out.values |= {k: Value.one(cold[k]) for k in ("heartbeat_p95", "heartbeat_max", "napari_own_max")}
    out.values["heartbeat_beyond_napari"] = Value.one(max(0.0, cold["heartbeat_max"] - cold["napari_own_max"]))
    out.notes["heartbeat_p95"] = f"{cold['beats']} beats while {cold['predicted']} cells were predicted"
    for key in ("gene_switch", "napari_switches"):
        out.values[key] = _of(genes[key])
    out.values["gene_switch_beyond"] = _beyond(genes["gene_switch"], genes["napari_switches"])
    for key in ("genes_250", "genes_20000"):
        if genes[key] is not None:
            out.values[key] = Value.one(genes[key])
    return out


def _of(values: list[float]) -> Value:
    return Value(statistics.median(values), min(values), max(values))


def _beyond(ours: list[float], own: list[float]) -> Value:
    """Return how much longer ours took than napari by itself, turn by turn."""
    return _of([max(0.0, a - b) for a, b in zip(ours, own, strict=True)])
