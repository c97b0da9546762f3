"""Score what a few measured spots of a slide add to its prediction: the correlation at the others, by their number.

    python docs/scripts/anchors.py samples.csv --protocol "C2,C3,C4:C5;C2,C3,C4,C5:B4" --out FILE
    python docs/scripts/anchors.py --draw docs/reports/anchors-2026-11-30.json

For each split it trains NH2ST as `nh2st evaluate` does, predicts the test section, and corrects the prediction with 5,
10, 20 and 50 spots that are drawn at random, many times. All rows of a draw are scored at the same spots, those that
are not anchors. `kriging` and `inverse distance` know the anchors and their places alone. `proposed` are the spots that
`nh2st adapt --count` takes. ``--draw`` writes the table of docs/results.md and the picture docs/images/anchors.png.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from napari_nh2st import metrics
from napari_nh2st.analysis.anchors import LENGTH, Anchors, Likeness, ResidualProcess, correct
from napari_nh2st.analysis.where_next import most_telling_anchors

COUNTS = (5, 10, 20, 50)
ROWS = ("prediction", "corrected", "kriging", "inverse distance")
PAGE, PICTURE = "results.md", "anchors.png"
_LENGTHS = (LENGTH / 2, LENGTH, 2 * LENGTH, 4 * LENGTH)


def predicted(split: Any, sections: Any, seed: int, device: str) -> tuple[Any, Any, Anchors]:
    """Train on the training sections; predict the test section's tissue, and its spots, which are returned measured."""
    from napari_nh2st.api.predict import predict
    from napari_nh2st.engine.options import PredictionOptions
    from napari_nh2st.engine.predict import predict_places
    from napari_nh2st.evaluation.baselines.baseline import Fitting
    from napari_nh2st.evaluation.baselines.frozen import frozen_encoder
    from napari_nh2st.evaluation.split_ready import ReadySplit
    from napari_nh2st.geometry import TileSet
    from napari_nh2st.model.folder import load_model, save_model
    from napari_nh2st.slides import open_slide
    from napari_nh2st.training.config import TrainingConfig
    from napari_nh2st.training.train_sections import train_sections

    config = TrainingConfig(device=device)
    ready = ReadySplit.of(split, sections, config)
    fitting = Fitting(ready.train, ready.card, config, seed)
    net, card = train_sections(ready.train, ready.card, config, seed, encoder=frozen_encoder(fitting))
    (sample,) = split.test
    options = PredictionOptions(device=device, precision="fp32", cache=False)
    with TemporaryDirectory() as folder, open_slide(sample.slide, mpp=sample.mpp) as slide:
        model = load_model(save_model(net, card, Path(folder) / "model"))
        data = sections.examine(sample).admit(sample.sample, sections.expression(sample))
        anchors = Anchors.of(sample.sample, data, model.card)
        whole = predict(slide, model, options=options)
        scale = model.card.scale_on(slide.require_mpp())
        at, _ = predict_places(slide, model, TileSet.at(anchors.centres, scale=scale, pitch=model.card.pitch), options)
    return whole, at, anchors


def interpolated(anchors: Anchors, rows: np.ndarray, mpp: float) -> dict[str, np.ndarray]:
    """Interpolate the anchors' values by place alone: ordinary kriging, and inverse squared distance; (n, G) each."""
    um, values = anchors.centres * mpp, anchors.values.astype(np.float64)
    away = np.linalg.norm(um[:, None] - um[rows], axis=2)
    mean = values[rows].mean(axis=0)
    noise = np.sqrt(np.median(anchors.depth[rows]) / anchors.depth[rows])
    unit = np.maximum(values[rows].std(axis=0), 1e-3)
    centred = (values[rows] - mean) / unit
    fits = [(away, ResidualProcess(np.exp(-away[rows] / length), noise, centred), length) for length in _LENGTHS]
    errors = [((centred - process.left_out(centred)) ** 2).mean() for _, process, _ in fits]
    _, process, length = fits[int(np.argmin(errors))]
    weight = 1 / np.maximum(away, 1.0) ** 2
    return {
        "kriging": mean + unit * (np.exp(-away / length) @ process.weights()),
        "inverse distance": weight / weight.sum(axis=1, keepdims=True) @ values[rows],
    }


def pcc(anchors: Anchors, values: np.ndarray, rest: np.ndarray) -> float:
    """Mean over genes of the correlation across the spots that are not anchors."""
    return float(metrics.pcc(anchors.values[rest], values[rest]).per_gene.mean())


def one_draw(whole: Any, at: Any, anchors: Anchors, rows: np.ndarray) -> dict[str, float]:
    """Score everything at the spots that are not in `rows`; and the error of the prediction before and after."""
    rest = np.setdiff1d(np.arange(len(anchors)), rows)
    part = replace(at, places=at.places.select(rows), hidden=at.hidden[rows])
    before = at.matrix(anchors.genes)
    after = correct(whole, part, anchors.select(rows)).apply(at).matrix(anchors.genes)
    values = {"prediction": before, "corrected": after, **interpolated(anchors, rows, Likeness(whole).mpp)}
    scores = {name: pcc(anchors, each, rest) for name, each in values.items()}
    errors = {f"{n} error": float(((anchors.values - v)[rest] ** 2).mean()) for n, v in values.items()}
    return scores | errors


def curve(whole: Any, at: Any, anchors: Anchors, draws: int) -> list[dict[str, Any]]:
    """Return a row a number of anchors: the mean of each figure over draws, and the spread of the corrected one."""
    everything = np.arange(len(anchors))
    before = at.matrix(anchors.genes)
    none = {"prediction": pcc(anchors, before, everything), "corrected": pcc(anchors, before, everything)}
    rows: list[dict[str, Any]] = [{"anchors": 0, **none}]
    for count in COUNTS:
        drawn = [
            one_draw(whole, at, anchors, np.sort(np.random.default_rng([count, i]).choice(everything, count, False)))
            for i in range(draws)
        ]
        row: dict[str, Any] = {"anchors": count, **{k: float(np.mean([d[k] for d in drawn])) for k in drawn[0]}}
        row["spread"] = float(np.std([d["corrected"] for d in drawn], ddof=1)) if draws > 1 else None
        proposed = one_draw(whole, at, anchors, most_telling_anchors(whole, at, count))
        row["proposed"], row["proposed, uncorrected"] = proposed["corrected"], proposed["prediction"]
        rows.append(row)
    return rows


def run(sheet: Path, protocol: str, draws: int, seeds: list[int], device: str) -> dict[str, Any]:
    """Return the report."""
    from napari_nh2st.evaluation.measured_sections import MeasuredSections
    from napari_nh2st.evaluation.splits import parse_protocol
    from napari_nh2st.expression import samples_of
    from napari_nh2st.provenance import versions

    splits = []
    for split in parse_protocol(protocol, samples_of(sheet)):
        sections = MeasuredSections()
        for sample in (*split.train, *split.test):
            sections.examine(sample)
        curves = []
        for seed in seeds:
            whole, at, anchors = predicted(split, sections, seed, device)
            curves.append(curve(whole, at, anchors, draws))
            print(f"{split}, seed {seed}: " + ", ".join(f"{r['anchors']}: {r['corrected']:.3f}" for r in curves[-1]))
        mean = [{k: _mean([row[k] for row in rows]) for k in rows[0]} for rows in zip(*curves, strict=True)]
        facts = {"train": [s.sample for s in split.train], "test": [s.sample for s in split.test], "kind": split.kind}
        splits.append({**facts, "spots": len(anchors), "genes": len(anchors.genes), "rows": mean})
    return {"draws": draws, "seeds": seeds, "splits": splits, "versions": versions()}


def _mean(values: list[Any]) -> Any:
    return None if values[0] is None else round(float(np.mean(values)), 5)


def table_of(report: dict[str, Any]) -> str:
    """Return the table of the page: a row a split and number of anchors."""
    from napari_nh2st.evaluation.report import table
    from napari_nh2st.evaluation.report_words import number, split_name

    rows = [
        [
            split_name(split),
            str(int(row["anchors"])),
            *(number(row[name]) if name in row else "" for name in ROWS),
            number(row["proposed"]) if "proposed" in row else "",
            f"{row['prediction error']:.2f} / {row['corrected error']:.2f}" if "corrected error" in row else "",
        ]
        for split in report["splits"]
        for row in split["rows"]
    ]
    return table(["split", "anchors", *ROWS, "proposed spots", "error before / after"], rows)


def draw(report: dict[str, Any], file: Path) -> None:
    """Draw a panel a split."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    from napari_nh2st.evaluation.report_words import split_name

    figure, panels = plt.subplots(1, len(report["splits"]), figsize=(4 * len(report["splits"]), 3.2), squeeze=False)
    looks = dict(zip(ROWS, ("0.45", "#0b5fa5", "#c2571a", "#d9a441"), strict=True))
    for axes, split in zip(panels[0], report["splits"], strict=True):
        for name in ROWS:
            rows = [row for row in split["rows"] if name in row]
            x, y = [row["anchors"] for row in rows], [row[name] for row in rows]
            axes.plot(x, y, "-o", color=looks[name], label=name, markersize=3)
        spread = [row for row in split["rows"] if row.get("spread")]
        low, high = ([row["corrected"] + sign * row["spread"] for row in spread] for sign in (-1, 1))
        axes.fill_between([row["anchors"] for row in spread], low, high, color=looks["corrected"], alpha=0.15, lw=0)
        axes.set_title(f"{split_name(split)} ({split['kind'].replace('-', ' ')})", fontsize=9)
        axes.set_xlabel("measured spots that correct the map")
        axes.set_ylim(bottom=0)
    panels[0][0].set_ylabel("mean PCC at the other spots")
    panels[0][0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheet", type=Path, nargs="?", help="sample sheet")
    parser.add_argument("--protocol", default="C2,C3,C4:C5;C2,C3,C4,C5:B4")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="report (JSON)")
    parser.add_argument("--draw", type=Path, metavar="REPORT", help="write the table and the picture of a report")
    chosen = parser.parse_args()
    if chosen.draw is not None:
        from page_tables import DOCS, with_tables

        report = json.loads(chosen.draw.read_text("utf-8"))
        page = DOCS / PAGE
        page.write_text(with_tables(page.read_text("utf-8"), {"anchors": table_of(report)}), "utf-8")
        draw(report, DOCS / "images" / PICTURE)
        return
    if chosen.sheet is None or chosen.out is None:
        parser.error("give a sample sheet and --out, or --draw")
    report = run(chosen.sheet, chosen.protocol, chosen.draws, chosen.seeds, chosen.device)
    chosen.out.write_text(json.dumps(report, indent=1), "utf-8")
    print(table_of(report))


if __name__ == "__main__":
    main()
