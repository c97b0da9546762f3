"""An evaluation's report as files: JSON for scripts, a Markdown page for people, and a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from napari_nh2st.atomic import finished_file
from napari_nh2st.errors import Nh2stError, one_line
from napari_nh2st.evaluation.report_picture import picture
from napari_nh2st.evaluation.report_words import (
    FIGURES,
    NONE,
    between,
    difference,
    in_order,
    kind_words,
    known_figures,
    main_model,
    number,
    seed_spread,
    split_name,
    with_interval,
)
from napari_nh2st.markup import markdown_texts
from napari_nh2st.targets import LN1P_CP10K

__all__ = ["dump", "markdown", "picture", "table", "write_report"]

_HOW_TO_READ = """\
- PCC is taken per gene across the spots of one test section, then averaged over the genes of the panel. Genes that do
  not vary, and genes that the section's table lacks, count as 0; errors are over the genes that were measured.
- Much of a label is depth: how many molecules were counted in a spot at all. Two figures are free of it. *PCC given
  depth* is the partial correlation given the logarithm of the spot's library size. *PCC on Pearson residuals* compares
  the prediction with what is left of the counts once depth and the gene's share in the section are taken out.
- Labels are raw {unit}; MSE and MAE are in this unit. Below 1, "MSE over mean profile's" says that
  the model knows more than the training mean of each gene.
- Genes, and the 50 most variable of them, were chosen on the training sections alone.
- Intervals are 95%, from a block bootstrap over the spots: neighbouring spots are drawn together. They say what other
  spots of the same section would have given, not what another patient would. ± is the standard deviation over seeds.
- Differences are taken draw by draw, on the same spots for both models, so their intervals are narrower than those of
  the models suggest. *Ahead* and *behind*: the interval lies on one side of 0. One in twenty such intervals misses the
  truth.
- Intervals of predictions: the share of measured values that they hold, beside the share that they claim to hold, over
  all genes and for the 5th and the 95th percentile of genes. One is not informative if it is as wide as the gene varies
  over the training spots.
- Same-patient splits are optimistic: the model has seen tissue of the same tumour. Only cross-patient splits say
  something of a new patient, and each is one patient.
- Coordinates-knn sees no image. Where it scores high, position alone explains much of the expression.
"""


def write_report(report: Mapping[str, Any], out: str | Path) -> list[Path]:
    """Write a report as R.json, R.md and R.png.

    Parameters
    ----------
    report : dict
        From `evaluate`; optional keys may be missing.
    out : path
        R.json. The page and the picture get the same name beside it.

    Returns
    -------
    list of Path
        JSON, page, picture. Each appears only when it is complete. The JSON is first: its figures may have taken hours
        and must not be lost because a drawing fails.

    Raises
    ------
    Nh2stError
        If `out` has the suffix of the page or the picture.
    """
    data = Path(out)
    if data.suffix.lower() in {".md", ".png"}:
        raise Nh2stError(f"a report is written as JSON, with a page and a picture beside it: name it {data.stem}.json")
    stem = data.stem if data.suffix.lower() == ".json" else data.name
    page, drawing = data.with_name(f"{stem}.md"), data.with_name(f"{stem}.png")
    with finished_file(data) as draft:
        draft.write_text(dump(report), "utf-8")
    with finished_file(page) as draft_page, finished_file(drawing) as draft_drawing:
        picture(report, draft_drawing)
        draft_page.write_text(markdown(report, picture=drawing.name), "utf-8")
    return [data, page, drawing]


def dump(value: Any) -> str:
    """Write JSON that is compact and still easy to compare line by line: the innermost level is one line.

    Figures that are not finite become null: JSON has no word for them.
    """
    return _dump(_finite(value), 0) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _dump(value: Any, depth: int) -> str:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not any(isinstance(item, dict | list) for item in items) or _is_matrix(value):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    pad, end = " " * (depth + 1), " " * depth
    if isinstance(value, list):
        return "[\n" + ",\n".join(pad + _dump(item, depth + 1) for item in value) + f"\n{end}]"
    lines = (f"{pad}{json.dumps(key, ensure_ascii=False)}: {_dump(item, depth + 1)}" for key, item in value.items())
    return "{\n" + ",\n".join(lines) + f"\n{end}}}"


def _is_matrix(value: Any) -> bool:
    """Return True for a list of lists of numbers, such as the spots' places: these stay together."""
    return isinstance(value, list) and all(
        isinstance(row, list) and all(isinstance(item, int | float) for item in row) for row in value
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table."""
    lines = [list(head), ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def markdown(report: Mapping[str, Any], *, picture: str | None = None) -> str:
    """Write a report as a page.

    Parameters
    ----------
    report : dict
    picture : str, optional
        Name of the picture, relative to the page.

    Returns
    -------
    str
        Markdown, ending in a newline.
    """
    command = (report.get("provenance") or {}).get("command")
    report = markdown_texts(dict(report))
    splits = report.get("splits") or []
    parts = ["# Evaluation", _what_ran(report, command)]
    parts += [f"![Genes by PCC, and maps of the best, median and worst gene]({quote(picture)})"] if picture else []
    parts += _bullets("## Warnings", report.get("warnings") or [])
    for split in splits:
        parts += _split(split)
    abouts = {name: s["about"] for split in splits for name, s in _models(split).items() if s.get("about")}
    parts += _bullets("## The models", [f"**{name}**: {abouts[name]}" for name in in_order(abouts)])
    unit = report.get("unit") or LN1P_CP10K.unit
    parts += ["## How to read this", _HOW_TO_READ.format(unit=unit).rstrip()]
    return "\n\n".join(parts) + "\n"


def _bullets(heading: str, lines: Iterable[str]) -> list[str]:
    text = "\n".join(f"- {' '.join(str(line).split())}" for line in lines)
    return [heading, text] if text else []


def _models(split: Mapping[str, Any]) -> Mapping[str, Any]:
    return split.get("models") or {}


def _what_ran(report: Mapping[str, Any], command: str | None) -> str:
    """List protocol, budget, panel and the origin of the figures, as far as known."""
    source = report.get("provenance") or {}
    facts = {"protocol": report.get("protocol"), "budget": report.get("budget"), "genes": report.get("panel")}
    facts |= {k: v for k, v in source.items() if k != "command" and isinstance(v, str | int | float)}
    versions = source.get("versions") or {}
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items()) or None
    lines = [f"- {key}: {' '.join(str(value).split())}" for key, value in facts.items() if value is not None]
    if command:
        lines += ["", "```text", one_line(command).replace("```", "` ` `"), "```"]
    return "\n".join(lines) or "Where these figures come from was not recorded."


def _split(split: Mapping[str, Any]) -> list[str]:
    models = _models(split)
    parts = [f"## {split_name(split)}: {kind_words(split)}", _facts(split)]
    if models:
        parts.append(_main_table(models))
    parts += _pairs(split.get("pairs"))
    parts += _coverage(models)
    alarm = _alarm(split.get("leak_alarm"))
    parts += [alarm] if alarm else []
    named = _named_genes(models)
    parts += [named] if named else []
    if any(model.get("ci") for model in models.values()):
        parts += ["### 95% intervals", _interval_table(models)]
    if any(model.get("seeds") for model in models.values()):
        parts += ["### Seed by seed", _seed_table(models)]
    return parts


def _facts(split: Mapping[str, Any]) -> str:
    main = main_model(_models(split))
    facts = [f"{split['n_spots']} spots"] if split.get("n_spots") is not None else []
    if main is not None:
        scores = _models(split)[main]
        facts += [f"{len(scores['genes'])} genes"] if scores.get("genes") else []
        if scores.get("n_constant") is not None:
            facts.append(f"{scores['n_constant']} constant genes, counted as 0")
        if scores.get("n_lacking"):
            facts.append(f"{scores['n_lacking']} genes that were not measured there, counted as 0")
    facts += [f"{split['seconds']:.0f} s"] if split.get("seconds") is not None else []
    return ", ".join(facts) + "." if facts else "Nothing more is known of this split."


def _main_table(models: Mapping[str, Any]) -> str:
    figures = known_figures(models)
    head = ["model", "mean PCC (95%)", "± over seeds", *list(figures.values())[1:], "constant genes", "seconds"]
    rows = []
    for name in in_order(models):
        scores = models[name]
        spread, count = seed_spread(scores), len(scores.get("seeds") or [])
        seeds = f"± {number(spread)} ({count})" if spread is not None else f"{count} seed" if count else NONE
        mean = with_interval(scores.get("pcc_mean"), (scores.get("ci") or {}).get("pcc_mean"))
        others = [number(scores.get(key)) for key in list(figures)[1:]]
        constant, seconds = scores.get("n_constant"), scores.get("seconds")
        tail = [NONE if constant is None else str(constant), NONE if seconds is None else f"{seconds:.1f}"]
        rows.append([name, mean, seeds, *others, *tail])
    return table(head, rows)


def _pairs(pairs: Mapping[str, Any] | None) -> list[str]:
    """Write the paired differences of a split: sentences, and a table."""
    if not pairs or not pairs.get("others"):
        return []
    main, others = pairs["model"], pairs["others"]
    figures = [key for key in FIGURES if any(key in of for of in others.values())]
    rows = [[name, *(difference(others[name].get(key)) for key in figures)] for name in in_order(others)]
    heading = f"### {main} less every other model, paired"
    return [*_bullets(heading, pairs.get("says") or []), table(["model", *(FIGURES[key] for key in figures)], rows)]


def _coverage(models: Mapping[str, Any]) -> list[str]:
    """Say of each model with intervals how many measured values they hold, and how wide they are for that."""
    rows = []
    for name in in_order(models):
        found = models[name].get("intervals")
        if found:
            shares = (found["claimed"], found["held"], found["genes_low"], found["genes_high"])
            claimed, held, low, high = (f"{100 * share:.0f}%" for share in shares)
            vain = f"{100 * found['not_informative']:.0f}%"
            deep = "-"
            if found.get("held_at_depth") is not None:
                deep = f"{100 * found['held_at_depth']:.0f}% ({100 * found['depth']:.0f}% as deep)"
            held = f"{held} ({low} to {high} of genes)"
            rows.append([name, claimed, held, deep, number(found["width"]), vain, found["held_out"]])
    head = [
        "model",
        "claimed",
        "held",
        "widened for the section's depth",
        "half-width / section's SD",
        "not informative",
        "calibrated on unseen",
    ]
    return ["### Intervals of predictions", table(head, rows)] if rows else []


def _interval_table(models: Mapping[str, Any]) -> str:
    rows, figures = [], known_figures(models)
    for name in in_order(models):
        ci = models[name].get("ci") or {}
        rows.append([name, *(between(ci.get(key)) for key in figures)])
    return table(["model", *figures.values()], rows)


def _seed_table(models: Mapping[str, Any]) -> str:
    """Tabulate each seed's figures and, if there are several, those of their averaged predictions."""
    rows, figures = [], known_figures(models)
    for name in in_order(models):
        scores = models[name]
        for seed in scores.get("seeds") or []:
            rows.append([name, str(seed.get("seed", NONE)), *(number(seed.get(key)) for key in figures)])
        if scores.get("averaged"):
            rows.append([name, "predictions averaged", *(number(scores["averaged"].get(key)) for key in figures)])
    return table(["model", "seed", *figures.values()], rows)


def _alarm(alarm: Mapping[str, Any] | None) -> str:
    if not alarm:
        return ""
    state = "raised" if alarm.get("raised") else "not raised"
    figure = with_interval(alarm.get("pcc"), alarm.get("interval"))
    return f"**Leak alarm {state}** (PCC {figure}). {' '.join(str(alarm.get('says') or '').split())}".rstrip()


def _named_genes(models: Mapping[str, Any], count: int = 8) -> str:
    """Name the best and the worst genes of the main model."""
    main = main_model(models)
    genes = models[main].get("genes") if main is not None else None
    if not genes:
        return ""
    order = sorted(genes, key=lambda gene: (-(genes[gene].get("pcc") or 0), gene))
    best, worst = order[:count], order[count:][-count:]
    parts = [f"Best genes of {main}: {_list(genes, best)}."]
    parts += [f"Worst: {_list(genes, worst)}."] if worst else []
    return "\n".join(parts)


def _list(genes: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {number(genes[name].get('pcc'))}" for name in names)
