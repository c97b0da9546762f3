"""Write the tables of docs/results.md from the reports in docs/reports (``make docs-tables``); ``--check`` only looks.

A table stands between ``<!-- begin table: NAME -->`` and ``<!-- end table: NAME -->``; what is outside stays as it is.
Only reports of the full budget count. Where several have a split with the same train and test sections, their models
are put together; of a model that stands in several, the file whose name sorts last (the newest) wins.
"""

import json
import sys

import page_tables

from napari_nh2st.evaluation.report import table
from napari_nh2st.evaluation.report_words import (
    KINDS,
    NONE,
    in_order,
    number,
    seed_spread,
    split_name,
    with_interval,
)

DETAILED = ("small-cnn", "nh2st-context")


def read_splits(folder):
    """Collect the splits of all full reports, same-patient first, those with more training sections before others."""
    found = {}
    for file in sorted(folder.glob("*.json")):
        report = json.loads(file.read_text("utf-8"))
        if report.get("budget") != "full":
            print(f"{file.name}: not a report of the full budget, left out", file=sys.stderr)
            continue
        for split in report["splits"]:
            key = (tuple(split["train"]), tuple(split["test"]))
            if key in found:
                name, before = found[key]
                again = in_order(set(before["models"]) & set(split["models"]))
                print(f"{split_name(split)}: {file.name} replaces {', '.join(again)} of {name}", file=sys.stderr)
                split = {**split, "models": {**before["models"], **split["models"]}}
            found[key] = (file.name, split)
    kinds = list(KINDS)
    return sorted(
        (split for _, split in found.values()),
        key=lambda s: (kinds.index(s["kind"]), -len(s["train"]), s["train"], s["test"]),
    )


def column(split):
    """Name a split in a table's head."""
    return f"{split_name(split)} ({split['kind'].replace('-', ' ')})"


def by_model(splits, cell):
    """Lay out one row per model and one column per split."""
    names = in_order(name for split in splits for name in split["models"])
    rows = [[name, *(cell(split["models"].get(name)) for split in splits)] for name in names]
    return table(["model", *map(column, splits)], rows)


def mean_pcc(scores):
    """Write ``.257 ± .012 (.202 to .272)``."""
    if scores is None:
        return NONE
    spread = seed_spread(scores)
    figure = with_interval(scores["pcc_mean"], scores["ci"].get("pcc_mean"))
    return figure if spread is None else figure.replace(" ", f" ± {number(spread)} ", 1)


def mse_ratio(scores):
    """Write ``.911 (.880 to .942)``."""
    return NONE if scores is None else with_interval(scores["mse_ratio"], scores["ci"].get("mse_ratio"))


def more(splits):
    """Give what the other tables leave out, for two models."""
    rows = []
    for split in splits:
        for name in (n for n in DETAILED if n in split["models"]):
            scores = split["models"][name]
            seeds = ", ".join(number(seed["pcc_mean"]) for seed in scores["seeds"]) or NONE
            averaged = number((scores.get("averaged") or {}).get("pcc_mean"))
            median, variable = number(scores["pcc_median"]), number(scores["pcc_hvg50"])
            rows.append([column(split), name, median, variable, str(scores["n_constant"]), seeds, averaged])
    head = ["split", "model", "median PCC", "50 most variable genes", "constant genes", "each seed", "seeds averaged"]
    return table(head, rows)


TABLES = {"splits": lambda s: by_model(s, mean_pcc), "mse": lambda s: by_model(s, mse_ratio), "more": more}


def tables(folder):
    """Every table by name, from a folder of reports."""
    splits = read_splits(folder)
    if not splits:
        raise SystemExit(f"error: no full reports in {folder}")
    return {name: make(splits) for name, make in TABLES.items()}


def main(argv=None):
    """Write the tables, or say whether they are up to date."""
    return page_tables.main(__doc__, "results.md", tables, argv)


if __name__ == "__main__":
    sys.exit(main())
