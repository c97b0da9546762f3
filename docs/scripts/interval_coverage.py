"""Measure how many measured values the intervals of fresh models hold on sections that they have not seen.

``python docs/scripts/interval_coverage.py SAMPLES.csv "C2,C4:C3;B4:C3"`` trains on the sections before each colon as
`nh2st finetune` ends, works out the intervals, and prints a line of docs/results.md for each section after the colon;
``--out R.json`` keeps the figures. Beside them stand intervals of the same width everywhere.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np

from napari_nh2st.atomic import finished_file
from napari_nh2st.evaluation.coverage import coverage
from napari_nh2st.evaluation.report import dump
from napari_nh2st.evaluation.splits import Split, parse_protocol
from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.model.intervals import LEVELS, SHARE, activity_of_genes, fit_intervals
from napari_nh2st.provenance import repeat_command, versions
from napari_nh2st.training.config import TrainingConfig, read_config
from napari_nh2st.training.network.predict_section import predict_section
from napari_nh2st.training.run.aside import train_aside
from napari_nh2st.training.run.control import RunControl
from napari_nh2st.training.run.cross_fit import cross_fit
from napari_nh2st.training.run.learnt_share import choose_share, chooses_share, with_share
from napari_nh2st.training.run.preparation import Preparation
from napari_nh2st.training.run.record import RunSettings
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.sections.examine import examine_sections
from napari_nh2st.training.sections.held_out_sections import HeldOutSections
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import load_sections

KINDS = {"with the place": SHARE, "the same everywhere": 0.0}


def measure(split: Split, config: TrainingConfig, seed: int) -> list[dict[str, Any]]:
    """Train on one side of a split, and look at the other, section by section."""
    counts = [read_expression(sample) for sample in split.train]
    card = card_for(split.train, counts, config)
    sections = load_sections(list(split.train), counts, card, examine_sections(list(split.train), counts))
    test = HeldOutSections.read(list(split.test), card)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        run.checkpoints.mkdir()
        settings = RunSettings(config, None, seed)
        preparation = Preparation(run, settings, sections, None, RunControl.of(run))
        if chooses_share(card, config):
            share = choose_share(sections, lambda: preparation.set_up(card)).share
            card = with_share(card, share)
        spots = cross_fit(preparation, card, last_epoch=None, learnt_before=[])
        L.seed_everything(seed, verbose=False)
        setup = preparation.set_up(card)
        train_aside(setup, lambda: False)
    net, card = setup.finish(), setup.card
    rows = [card.genes.index(gene) for gene in test.genes]
    spread = np.maximum(np.asarray(card.gene_stds), 1e-3)
    measured, predicted = [b.measured for b in spots.blocks], [b.predicted for b in spots.blocks]
    found = []
    for section in test.sections:
        values = predict_section(net, section, card)
        activity = activity_of_genes(values, card)
        truth, values = section.labels[:, rows], values[:, rows]
        depths: dict[str, Any] = {"depth": section.depth, "calibrated_at": spots.depth, "target": card.target}
        for kind, share in KINDS.items():
            intervals = fit_intervals(card, measured, predicted, spots.what, share=share)
            assert intervals is not None
            levels = {}
            for level in LEVELS:
                widths = intervals.half_widths(rows, activity, level)
                error = np.abs(truth - values)
                missed = np.maximum(error - widths, 0)
                score = (2 * widths + 2 / (1 - level) * missed) / spread[rows]  # Winkler, J. Am. Stat. Assoc. 1972
                held = error <= widths
                order = np.array_split(np.argsort(activity), 3)
                thirds = [round(float(held[part].mean()), 4) for part in order]
                limits = intervals.spread(rows, level)
                figures = coverage(truth, values, widths, limits, level, **depths)
                levels[f"{level:g}"] = {**figures, "score": round(float(score.mean()), 4), "thirds": thirds}
            facts = {"train": [s.sample for s in split.train], "test": section.name, "kind": split.kind}
            facts |= {"calibrated_on": spots.what, "width": kind, "spots": len(truth)}
            found.append({**facts, "levels": levels})
    return found


def line(found: dict[str, Any]) -> str:
    """Write a line of the table in docs/results.md."""
    at = found["levels"]["0.9"]
    held = [f"{100 * found['levels'][level]['held']:.0f}%" for level in ("0.8", "0.9", "0.95")]
    genes = f"{100 * at['genes_low']:.0f} to {100 * at['genes_high']:.0f}%"
    thirds = ", ".join(f"{100 * share:.0f}" for share in at["thirds"]) + "%"
    split = f"{', '.join(found['train'])} → {found['test']}"
    at_depth = [f"{100 * found['levels'][level]['held_at_depth']:.0f}%" for level in ("0.8", "0.9", "0.95")]
    wide = [f"{at['width']:.2f}", f"{at['score']:.2f}", f"{100 * at['not_informative']:.0f}%"]
    return "| " + " | ".join([split, found["width"], *held, *at_depth, genes, thirds, *wide]) + " |"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("protocol")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    config = read_config(given.config).model_copy(update={"device": given.device})
    report: dict[str, Any] = {"command": repeat_command(), "versions": versions(), "seed": given.seed, "found": []}
    for split in parse_protocol(given.protocol, read_sheet(given.sheet)):
        for found in measure(split, config, given.seed):
            report["found"].append(found)
            print(line(found), flush=True)
        if given.out is not None:
            with finished_file(given.out) as draft:
                draft.write_text(dump(report), "utf-8")


if __name__ == "__main__":
    main()
