"""Write the tables of docs/results.md from the reports in docs/reports (``make docs-tables``); ``--check`` only looks.

A table stands between ``<!-- begin table: NAME -->`` and ``<!-- end table: NAME -->``; what is outside stays as it is.
Only reports of the full budget count, and those named inner-*.json in tables of their own: these score sections on
which settings were chosen. Where several have a split with the same train and test sections, their models are put
together; of a model that stands in several, the file whose name sorts last (the newest) wins. What an older report
lacks is a dash. The table of recipes is the newest report of ``nh2st evaluate --labels`` (recipes-*.json).
"""

import json
import sys

import page_tables

from napari_nh2st.evaluation.recipe_report import recipes_table
from napari_nh2st.evaluation.report import table
from napari_nh2st.evaluation.report_words import (
    FIGURES,
    KINDS,
    NONE,
    difference,
    in_order,
    number,
    seed_spread,
    split_name,
    with_interval,
)

DETAILED = ("small-cnn", "nh2st-context")
INNER = "inner-"


def read_splits(folder, inner=False):
    """Collect the splits of all full reports, same-patient first, those with more training sections before others.

    Or those of the inner splits.
    """
    found = {}
    for file in sorted(f for f in folder.glob("*.json") if f.name.startswith(INNER) == inner):
        report = json.loads(file.read_text("utf-8"))
        if "splits" not in report:  # of something else
            continue
        if report.get("budget") != "full" and not inner:
            print(f"{file.name}: not a report of the full budget, left out", file=sys.stderr)
            continue
        for split in report["splits"]:
            key = (tuple(split["train"]), tuple(split["test"]))
            if key in found:
                name, before = found[key]
                again = in_order(set(before["models"]) & set(split["models"]))
                print(f"{split_name(split)}: {file.name} replaces {', '.join(again)} of {name}", file=sys.stderr)
                models = {**before["models"], **split["models"]}
                split = {**split, "models": models, "pairs": pairs_of(before, split)}
            found[key] = (file.name, split)
    kinds = list(KINDS)
    return sorted(
        (split for _, split in found.values()),
        key=lambda s: (kinds.index(s["kind"]), -len(s["train"]), s["train"], s["test"]),
    )


def pairs_of(before, split):
    """Choose the paired differences of the report whose main model is in the table, without models replaced since."""
    old, new = (s.get("pairs") for s in (before, split))
    if not old or old["model"] in split["models"]:
        return new
    return {**old, "others": {name: of for name, of in old["others"].items() if name not in split["models"]}}


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


def free_of_depth(scores):
    """Write ``.192 (.150 to .230), .201 (.160 to .240)``: given depth, and on Pearson residuals."""
    keys = ("pcc_given_depth", "pcc_residuals")
    if scores is None or all(scores.get(key) is None for key in keys):
        return NONE
    return ", ".join(with_interval(scores.get(key), scores["ci"].get(key)) for key in keys)


def paired(splits, names=None):
    """Give the main model's differences with every other, or those named, in all three correlations."""
    keys = ("pcc_mean", "pcc_given_depth", "pcc_residuals")
    rows = [
        [column(split), name, *(difference(of[name].get(key)) for key in keys)]
        for split in splits
        for of in [(split.get("pairs") or {}).get("others") or {}]
        for name in in_order(of)
        if names is None or name in names
    ]
    return table(["split", "nh2st-context less", *(FIGURES[key] for key in keys)], rows or [[NONE] * 5])


def more(splits):
    """Give what the other tables leave out, for two models."""
    rows = []
    for split in splits:
        for name in (n for n in DETAILED if n in split["models"]):
            scores = split["models"][name]
            seeds = ", ".join(number(seed["pcc_mean"]) for seed in scores["seeds"]) or NONE
            averaged = number((scores.get("averaged") or {}).get("pcc_mean"))
            median, variable = number(scores["pcc_median"]), number(scores["pcc_hvg50"])
            lacking = scores.get("n_lacking")
            counts = [str(scores["n_constant"]), NONE if lacking is None else str(lacking)]
            rows.append([column(split), name, median, variable, *counts, seeds, averaged])
    counts = ["constant genes", "genes not measured"]
    head = ["split", "model", "median PCC", "50 most variable genes", *counts, "each seed", "seeds averaged"]
    return table(head, rows)


def three(scores):
    """Write ``.350, .263, .280``: mean PCC, given depth, and on Pearson residuals."""
    if scores is None:
        return NONE
    return ", ".join(number(scores.get(key)) for key in ("pcc_mean", "pcc_given_depth", "pcc_residuals"))


OURS = "nh2st-context"
WORDS = {
    "coordinates-knn": "the place alone",
    "depth-only": "one number a spot",
    "colour-ridge": "a ridge regression on colours",
    "encoder-ridge": "a ridge regression on an encoder",
    "retrieval": "the spots that look most alike",
    "small-cnn": "a small CNN",
}
"""Other people's ways of predicting, in words: those that a default has to stand against."""
TUNED = {"C2", "C3", "C4"}
"""Sections on which settings were chosen."""


def short(splits):
    """Give what counts of each split: the default, free of depth, the best of the other ways, and what was tuned."""
    head = [
        "trained on → scored on",
        f"the default, `{OURS}`",
        "given depth",
        "best of other ways",
        "tuned on that section",
    ]
    rows = []
    for split in splits:
        patient = "another" if split["kind"] == "cross-patient" else "same"
        ours = split["models"].get(OURS, {"ci": {}})
        figures = [with_interval(ours.get(key), ours["ci"].get(key)) for key in ("pcc_mean", "pcc_given_depth")]
        tuned = "all settings: optimistic" if TUNED & set(split["test"]) else "no setting, but [we had looked](#limits)"
        rows.append([f"{split_name(split)}, {patient} patient", *figures, best_other(split["models"]), tuned])
    return table(head, rows)


def best_other(models):
    """Write ``.269, a small CNN``; bold where it is better than the default."""
    figure, name = max(((models[n]["pcc_mean"], n) for n in WORDS if n in models), default=(None, ""))
    if figure is None:
        return NONE
    ours = models.get(OURS, {}).get("pcc_mean")
    ahead = ours is not None and figure > ours
    return f"{f'**{number(figure)}**' if ahead else number(figure)}, {WORDS[name]}"


TABLES = {
    "short": short,
    "splits": lambda s: by_model(s, mean_pcc),
    "depth": lambda s: by_model(s, free_of_depth),
    "pairs": paired,
    "mse": lambda s: by_model(s, mse_ratio),
    "more": more,
}


INNER_TABLES = {"inner": lambda s: by_model(s, three), "neighbours": lambda s: paired(s, ("nh2st-target",))}


def tables(folder):
    """Every table by name, from a folder of reports."""
    splits, inner = read_splits(folder), read_splits(folder, inner=True)
    if not splits:
        raise SystemExit(f"error: no full reports in {folder}")
    found = {name: make(splits) for name, make in TABLES.items()}
    return found | {name: make(inner) for name, make in INNER_TABLES.items()} | recipes(folder)


def recipes(folder):
    """One model under many recipes, from the newest report of them; nothing without one."""
    files = sorted(folder.glob("recipes-*.json"))
    return {"recipes": recipes_table(json.loads(files[-1].read_text("utf-8")))} if files else {}


def main(argv=None):
    """Write the tables, or say whether they are up to date."""
    return page_tables.main(__doc__, "results.md", tables, argv)


if __name__ == "__main__":
    sys.exit(main())
