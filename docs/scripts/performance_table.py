"""Write the tables of docs/performance.md from a report of `nh2st bench` (``make docs-tables``); ``--check`` looks.

The newest ``docs/reports/bench-*.json`` by name is taken, for the GPU the newest ``gpu-*.json`` of one, for the profile
the ``profile-*.json`` of the newest day, and beside LazySlide the newest ``peers-*.json``, and ``large-peers-*.json``
of a larger slide. A table stands between ``<!-- begin table: NAME -->`` and ``<!-- end table: NAME -->``; what is
outside stays as it is.
"""

import json
import statistics
import sys

import page_tables

from napari_nh2st.bench import window
from napari_nh2st.bench.beside_lazyslide import ROWS, SETTINGS, Row, ratio
from napari_nh2st.bench.figures import BY_KEY, FIGURES, OTHERS, TARGETS, rows, took

NONE = "No report of a full run is committed yet."
NO_PEERS = "Not run: `scripts/bench_peers.sh` has not been run yet."
NO_GPU = "Not run: `scripts/gpu_check.sh` has not been run on a GPU yet."
TISSUE_MM2 = 100
SLIDES = 10_000
HOURS_A_WEEK = 24 * 7


def markdown(head, body):
    """Lay out a table."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def targets(report):
    """The targets, measured or not, and on what."""
    machine, settings = report["machine"], report["settings"]
    about = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, {machine['simd']}, "
        f"{'bf16' if machine['bf16'] else 'no bf16'}; {report['device']}, {report['precision']}; "
        f"torch {report['versions']['torch']}; model {settings['model']}; {settings['slide']}; "
        f"median of {settings['repeat']} rounds (smallest to largest)."
    )
    blocks = [about, markdown(["target", "reached", "asked", ""], rows(report, TARGETS))]
    absent = [figure for figure in TARGETS if report[figure.group].get(figure.key) is None]
    if reasons := [f"- {f.what}: {report['notes'][f.key]}" for f in absent if f.key in report["notes"]]:
        blocks.append("\n".join(reasons))
    if report.get("took"):
        blocks.append(took(report))
    return "\n\n".join(blocks)


def figures(report):
    """The other figures that were measured."""
    return markdown(["what", "reached", "asked", ""], rows(report, OTHERS))


def rates(report):
    """The rates behind the ratios."""
    body = [
        [name, f"{rate['places_per_s']:,.4g}", f"{rate['mm2_per_s']:.3g}" if "mm2_per_s" in rate else "-"]
        for name, rate in report["absolute"].items()
    ]
    return markdown(["side", "places/s", "mm²/s"], body)


def plan(report):
    """Time and storage per 100 mm² of tissue and for 10,000 such slides."""
    sides, storage = report["absolute"], report["storage"]
    grid, dense = sides.get("contiguous grid"), sides.get("dense map")
    if not (grid and dense and storage):
        return "The run did not measure what the plan needs."
    tile_mm2 = grid["mm2_per_s"] / grid["places_per_s"]
    tiles = TISSUE_MM2 / tile_mm2
    cells = TISSUE_MM2 / (dense["mm2_per_s"] / dense["places_per_s"])
    body = []
    for name, side, count in (("coarse", grid, tiles), ("fine", dense, cells)):
        seconds = TISSUE_MM2 / side["mm2_per_s"]
        hours = seconds * SLIDES / 3600
        results = count * storage["results_per_tile"]
        body.append(
            [
                name,
                f"{count:,.0f}",
                f"{seconds:,.0f} s",
                f"{hours:,.0f} h",
                f"{hours / HOURS_A_WEEK:,.1f}",
                f"{results / 1e6:,.1f} MB",
                f"{results * SLIDES / 1e9:,.0f} GB",
            ]
        )
    cache = tiles * storage["cache_per_tile"]
    head = ["detail", "places", "time", f"{SLIDES:,} slides", "machines for a week", "results", f"of {SLIDES:,} slides"]
    note = f"The cache of embeddings takes {cache / 1e6:,.0f} MB a slide; it may be cleared after each."
    return f"{markdown(head, body)}\n\n{note}"


# Facts of bench/device_parts.py and bench/device_memory.py.
GPU_WORDS = {
    "slide_px": "width and height of the slide, px",
    "slide_s": "drawing it and finding its tissue, s",
    "tiles": "tiles compared, coarse map",
    "difference": "largest difference from the processor, or from a run with all memory, as a part",
    "cpu_spots_per_s": "spots/s described on the processor, first run",
    "device_spots_per_s": "spots/s described on the device",
    "window_px": "side of the largest window, px",
    "unlimited_peak_mb": "peak memory of a run, MB",
    "simulated": "the encoder refused windows, memory was not limited",
    "limit": "memory left to a run, of its peak",
    "largest_window": "blocks a side of the largest window, before and after",
    "setting_up_s": "looking at the tissue before the head is trained, s",
    "two_epochs_s": "two epochs of the head, s",
    "steps": "steps of these",
    "spots_per_s": "spots/s, the whole network trained",
    "over_patches": "times as fast as ten patches a spot",
    "first_tiles_and_model_s": "first tiles, model loaded, s",
    "first_tiles_s": "first tiles, model at hand, s",
    "first_tiles_at_hand_s": "the same tiles again, s",
    "gene_switch_s": "values of another gene at 100,000 tiles, without drawing, s",
    **{
        f"{precision}_{key}": f"{precision}: {words}"
        for precision in ("fp32", "bf16")
        for key, words in {
            "difference": "largest difference from the processor's fp32, of the spread",
            "correlation": "correlation with the processor's fp32, least of the genes",
            "dense_cost": "dense map, time per mm² over the contiguous grid's",
            "over_bare_encoder": "contiguous grid over the bare encoder",
            "compile_seconds": "torch.compile, first run of both, s",
            "times_as_fast": "times as fast when compiled",
            "compile_difference": "largest difference when compiled, of the largest value",
            "peak_mb": "peak memory of a window, MB",
            "first_s": "first window, s",
            "ns_a_px": "second window, ns a pixel",
        }.items()
    },
    **{figure.key: figure.what for figure in FIGURES if figure.key in window.KEYS},
}


def gpu(report):
    """Facts of a check of a graphics card, part by part."""
    if report is None:
        return NO_GPU
    torch = report["versions"]["torch"]
    about = f"{report['gpu']}; torch {torch}; model {report['model']}; {report['seconds']:.0f} s in all."
    body = []
    for part in report["parts"]:
        said = part["state"] if part["state"] == "ok" else f"{part['state']}: {part['why']}"
        facts = {} if part["name"] == "device" else part["facts"]
        body.append([part["name"], f"{part['seconds']:.0f} s", said])
        body += [["", GPU_WORDS.get(key, key), _figure(value)] for key, value in facts.items()]
    return f"{about}\n\n{markdown(['part', 'what', 'figure'], body)}"


def _figure(value):
    if isinstance(value, float):
        return f"{value:,.5g}"
    return " to ".join(map(str, value)) if isinstance(value, list) else str(value)


def profile(reports):
    """Where the time of a coarse and a fine run goes, in every precision."""
    if not reports:
        return "Not measured yet."
    parts = []
    for report in reports:
        coarse, fine = (report["profile"][name] for name in ("coarse", "fine"))
        body = [["wall time of the run", *_walls(f"{run['seconds']:.2f}" for run in (coarse, fine))]]
        for stage in sorted({*coarse["stages"], *fine["stages"]}, key=lambda s: -_processor(coarse, s)):
            body.append([stage, *_stage(coarse, stage), *_stage(fine, stage)])
        for key, words in (("cells_under_tiles", "cells under tiles"), ("cells_encoded", "cells encoded")):
            body.append([words, *_walls(f"{run[key]:,}" for run in (coarse, fine))])
        body.append(["pixels read, millions", *_walls(f"{run['pixels_read'] / 1e6:.2f}" for run in (coarse, fine))])
        head = ["thread: stage", "coarse: processor, s", "wall, s", "fine: processor, s", "wall, s"]
        machine = report["machine"]
        about = (
            f"{report['precision']}; {machine['cpu']}, {machine['cores']} cores, {machine['simd']}; {report['day']}."
        )
        parts.append(f"{about}\n\n{markdown(head, body)}")
    return "\n\n".join(parts)


def _processor(run, stage):
    spent = run["stages"].get(stage, {"own": 0, "helpers": 0})
    return spent["own"] + spent["helpers"]


def _stage(run, stage):
    """Processor and wall seconds of a stage."""
    return [f"{_processor(run, stage):.3f}", f"{run['stages'].get(stage, {'wall': 0})['wall']:.3f}"]


def _walls(values):
    """Put each run's value under its wall time, with nothing under its processor time."""
    return [cell for value in values for cell in ("-", value)]


TABLES = {"targets": targets, "figures": figures, "rates": rates, "plan": plan}


def peers(report):
    """Each way from the file to genes, and ours over LazySlide's with the same encoder."""
    if report is None or not report["runs"]:
        return NO_PEERS
    about, runs = report["about"], report["runs"]
    machine = about["machine"]
    rounds = max(map(len, runs.values()))
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['simd']}, {'bf16' if machine['bf16'] else 'no bf16'}; "
        f"{about['slide']}; model {about['model']}; LazySlide {report['versions']['lazyslide']}, torch "
        f"{report['versions']['torch']}; median of {rounds} rounds (smallest to largest)."
    ]
    others = statistics.mean(run[2] for each in runs.values() for run in each)
    lines.append(f"Other programs took {others:.0%} of the processor meanwhile.")
    lines += [
        f"LazySlide's best settings, encoder {name}: {_settings(b['best'])}." for name, b in report["best"].items()
    ]
    body = [_peer_row(row, runs) for row in ROWS if row.name in runs]
    head = ["from file to genes", "encoder", "seconds", "mm²/s", *(f"over LazySlide's {way}" for way in SETTINGS)]
    return "\n\n".join([*lines, markdown(head, body)])


def _peer_row(row, runs):
    """One row: seconds, rate, and its ratios over LazySlide's two with the same encoder."""
    seconds, rates = [run[0] for run in runs[row.name]], [run[1] / run[0] for run in runs[row.name]]
    said = f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"
    over = ["-"] * len(SETTINGS)
    if row.program != "LazySlide":
        over = [_over(row, way, runs) for way in SETTINGS]
    what = ", ".join(part for part in (row.program, row.way, row.cache) if part)
    return [what, row.encoder, said, f"{statistics.median(rates):.2f}", *over]


def _over(row, way, runs):
    found = ratio(runs, row, Row("LazySlide", row.encoder, way))
    if found is None:
        return "-"
    said = "{:.2f} ({:.2f} to {:.2f})".format(*found)
    if row.way != "coarse":
        return said
    target = BY_KEY[f"over_lazyslide_{way}"]
    return f"{said}; asked {target.bound(''):g}: {'ok' if target.holds(found[0], '') else 'short'}"


def _settings(best):
    precision = "bfloat16" if best["amp"] else "float32"
    return f"batches of {best['batch_size']}, {best['num_workers']} workers, {precision}"


def newest(folder):
    """Read the report whose name sorts last; None where there is none. Quick ones do not count."""
    for file in sorted(folder.glob("bench-*.json"), reverse=True):
        report = json.loads(file.read_text("utf-8"))
        if not report["settings"]["quick"]:
            return report
        print(f"{file.name}: a quick run, left out", file=sys.stderr)
    return None


def elsewhere(folder, report):
    """Read the newest full report of another processor than that of a report; None where there is none."""
    for file in sorted(folder.glob("bench-*.json"), reverse=True):
        other = json.loads(file.read_text("utf-8"))
        if not other["settings"]["quick"] and report and other["machine"]["cpu"] != report["machine"]["cpu"]:
            return other
    return None


def newest_gpu(folder):
    """Read the newest check of a graphics card; None where there is none. Small ones, and processors, do not count."""
    for file in sorted(folder.glob("gpu-*.json"), reverse=True):
        report = json.loads(file.read_text("utf-8"))
        if report["gpu"] and not report["small"]:
            return report
    return None


def newest_profiles(folder):
    """Read the profiles of the newest day, ``profile-YYYY-MM-DD-*.json``, as `nh2st bench` wrote them."""
    files = sorted(folder.glob("profile-*.json"))
    day = files[-1].name[8:18] if files else ""
    return [{**json.loads(f.read_text("utf-8")), "day": day} for f in files if f.name[8:18] == day]


def newest_peers(folder, kind="peers"):
    """Read the newest comparison with LazySlide; None where there is none."""
    files = sorted(folder.glob(f"{kind}-*.json"))
    return json.loads(files[-1].read_text("utf-8")) if files else None


def tables(folder):
    """Every table by name, from the newest report."""
    report = newest(folder)
    made = {name: NONE if report is None else make(report) for name, make in TABLES.items()}
    other = elsewhere(folder, report)
    made["elsewhere"] = NONE if other is None else targets(other)
    made |= {kind: peers(newest_peers(folder, kind)) for kind in ("peers", "large-peers")}
    return {**made, "gpu": gpu(newest_gpu(folder)), "profile": profile(newest_profiles(folder))}


def main(argv=None):
    """Write the tables, or say whether they are up to date."""
    return page_tables.main(__doc__, "performance.md", tables, argv)


if __name__ == "__main__":
    sys.exit(main())
