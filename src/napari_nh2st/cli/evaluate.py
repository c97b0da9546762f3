"""`nh2st evaluate`: scores of a model on measured sections, or of all models under a protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nh2st.cli.checks import check_parent, check_workers
from napari_nh2st.cli.options import (
    DeviceOption,
    JsonOption,
    SchedulerOption,
    WorkersOption,
    checked_precision,
    names,
    prediction_options,
)
from napari_nh2st.cli.output import print_json
from napari_nh2st.cli.values import complete_models
from napari_nh2st.errors import Cancelled, Nh2stError, SampleError
from napari_nh2st.terminal import interruptible, say

if TYPE_CHECKING:
    from napari_nh2st.cohort.comparison import ComparisonRun
    from napari_nh2st.engine.options import PredictionOptions
    from napari_nh2st.expression import Sample


def evaluate(
    sheet: Annotated[Path, typer.Argument(metavar="SAMPLES.csv", help="Measured sections.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="M",
            help="Score this model: a name (nh2st models) or a folder.",
            autocompletion=complete_models,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="P",
            help="Train and score: cross-patient, leave-section-out or C2,C3:B4 (train:score; more after a semicolon).",
        ),
    ] = None,
    budget: Annotated[str, typer.Option("--budget", help="With --protocol: quick (fewer seeds) or full.")] = "full",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="R.json", help="Write the report: R.json, R.md and R.png.")
    ] = None,
    update_card: Annotated[
        bool, typer.Option("--update-card", help="With --model: put the figures on the model's card.")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="ours|hest|released|all",
            help="With --model: the figure under each of these recipes, beside what no skill reaches.",
        ),
    ] = None,
    samples: Annotated[str | None, typer.Option("--samples", metavar="A,B", help="Only these of the sheet.")] = None,
    models: Annotated[
        str | None,
        typer.Option("--models", metavar="A,B", help="With --protocol: only these models, other people's too."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="0,1", help="With --protocol: instead of the budget's.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="C.yaml", help="With --protocol: settings of NH2ST.")
    ] = None,
    device: DeviceOption = "auto",
    precision: Annotated[
        str, typer.Option("--precision", help="With --protocol, to train in: fp32 (auto) or bf16. Scores are in fp32.")
    ] = "auto",
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a model on measured sections, or train and score NH2ST and all baselines under a protocol.

    PCC is per gene across the spots of each section, on raw labels; splits are labelled from patient ids.
    """
    if (model is None) == (protocol is None):
        raise typer.BadParameter("give either a model to score or a protocol to train and score", param_hint="--model")
    if update_card and model is None:
        raise typer.BadParameter("only a model's card can be updated: give --model", param_hint="--update-card")
    if labels is not None and (model is None or update_card):
        raise typer.BadParameter("recipes are for a single model, and not for its card", param_hint="--labels")
    recipes = None if labels is None else _recipes_named(labels)
    if budget not in ("quick", "full"):
        raise typer.BadParameter(f"{budget!r} is neither quick nor full", param_hint="--budget")
    if out is not None and out.suffix in (".md", ".png"):
        raise typer.BadParameter(f"{out}: the report's own name ends in .json", param_hint="--out")
    checked_precision(precision)
    on_workers = check_workers(workers, scheduler)
    if on_workers and protocol is None:
        raise typer.BadParameter(
            "a single model is scored in this process: workers need a --protocol", param_hint="--model"
        )
    if on_workers and out is None:
        raise typer.BadParameter("give the report a name: finished fits are kept beside the report", param_hint="--out")
    chosen_seeds = _seeds(seeds)
    if out is not None:
        check_parent(out)
    sections = _sections(sheet, names(samples))
    if model is not None:
        _check_model(model, update_card)
    if model is not None and recipes is not None:
        _score_recipes(sections, model, recipes, prediction_options(device, "auto", interruptible()), out, as_json)
        return
    from napari_nh2st.evaluation.report import write_report

    cancelled = interruptible()
    options = prediction_options(device, precision, cancelled)
    fits: ComparisonRun | None = None
    try:
        if model is not None:
            if precision not in ("auto", "fp32"):
                say(f"scores are computed in fp32: --precision {precision} is ignored")
            report = _score_model(sections, model, options, update_card)
        else:
            from napari_nh2st.evaluation.compare import compare
            from napari_nh2st.training.config import read_config

            given = {k: v for k, v in (("device", device), ("precision", precision)) if v != "auto"}
            settings = read_config(config).model_copy(update=given)
            if on_workers and out is not None:
                from napari_nh2st.cohort.comparison import ComparisonRun

                fits = ComparisonRun(out, workers, scheduler, cancelled)
            report = compare(
                sections, str(protocol), budget="quick" if budget == "quick" else "full", config=settings,
                models=names(models), seeds=chosen_seeds, progress=say, cancelled=cancelled, fits=fits,
            )  # fmt: skip
    except Cancelled:
        raise Nh2stError("stopped; nothing was written") from None
    if out is not None:
        written = ", ".join(str(p) for p in write_report(report, out))
        say(f"report: {written}")
    failed = 0 if fits is None else fits.failed  # the report has no split of which nothing could be fitted
    what = f"{failed} fit{'s' * (failed != 1)} failed: the same command tries them again"
    _print_report(report | ({"error": what, "status": 1} if failed else {}), as_json)
    if failed:
        say(f"error: {what}")
        raise typer.Exit(1)


def _sections(sheet: Path, samples: list[str] | None) -> list[Sample]:
    from napari_nh2st.expression import read_sheet

    sections = read_sheet(sheet)
    if samples is None:
        return sections
    absent = sorted(set(samples) - {s.sample for s in sections})
    if absent:
        raise Nh2stError(f"{sheet} has no sample {', '.join(absent)}")
    return [s for s in sections if s.sample in samples]


def _seeds(text: str | None) -> list[int] | None:
    try:
        seeds = None if text is None else [int(part) for part in names(text) or []]
        if seeds is not None and not all(0 <= seed < 2**32 for seed in seeds):
            raise ValueError
        return seeds
    except ValueError:
        raise typer.BadParameter(f"{text!r}: give whole numbers from 0, such as 0,1,2", param_hint="--seeds") from None


def _check_model(name: str, update_card: bool) -> None:
    """Say before torch is loaded that there is no such model, or that its card is not to be changed."""
    from napari_nh2st.model.folder import bundled_models
    from napari_nh2st.model.models import load_card

    if load_card(name).predictor is not None and update_card:
        raise Nh2stError(f"{name} has no card that could be updated: it is not a model of NH2ST")
    if update_card and name in bundled_models():
        raise Nh2stError(f"{name} comes with the package: copy its folder and update the copy's card")


def _score_model(samples: list[Sample], name: str, options: PredictionOptions, update_card: bool) -> dict[str, Any]:
    from napari_nh2st.evaluation.protocol import evaluate as score
    from napari_nh2st.evaluation.protocol import with_figures
    from napari_nh2st.model.folder import save_card
    from napari_nh2st.model.models import load_model

    model = load_model(name)
    report = score(samples, model, options=options, progress=say)
    if update_card and model.path is not None:
        try:
            card = with_figures(model.card, report)
        except SampleError:
            for warning in report["warnings"]:
                say(f"warning: {warning}")
            raise
        save_card(card, model.path)
        figures = card.evaluation
        if figures is not None:
            say(f"the card of {model.path} now has {figures.kind} figures of {', '.join(figures.samples)}")
    return report


def _recipes_named(text: str) -> list[str]:
    from napari_nh2st.evaluation.label_recipes import recipes_named

    return recipes_named(text)


def _score_recipes(
    samples: list[Sample], name: str, recipes: list[str], options: PredictionOptions, out: Path | None, as_json: bool
) -> None:
    """Score a model under several recipes; print the table, and write it."""
    from napari_nh2st.evaluation.recipe_report import NO_SKILL, evaluate_recipes, lines, write_recipes

    try:
        report = evaluate_recipes(samples, name, recipes, options=options, progress=say)
    except Cancelled:
        raise Nh2stError("stopped; nothing was written") from None
    if out is not None:
        say(f"report: {', '.join(str(path) for path in write_recipes(report, out))}")
    for warning in report["warnings"]:
        say(f"warning: {warning}")
    if as_json:
        print_json(report)
    else:
        print("\n".join([*lines(report), "", NO_SKILL]))


def _print_report(report: dict[str, Any], as_json: bool) -> None:
    for warning in report["warnings"]:
        say(f"warning: {warning}")
    for split in report["splits"]:
        if split.get("leak_alarm", {}).get("raised"):
            say(split["leak_alarm"]["says"])
    if as_json:
        print_json(report)
    else:
        _print_splits(report)


def _print_splits(report: dict[str, Any]) -> None:
    """Print a line for each section and model; below, the paired differences of each split."""
    from napari_nh2st.evaluation.coverage import coverage_words
    from napari_nh2st.evaluation.report_words import in_order, split_name

    print(
        f"{'section':12} {'kind':14} {'model':15} {'PCC':>6} {'interval':>16} {'given depth':>11} {'residuals':>9} "
        f"{'median':>7} {'MSE/mean':>8} {'constant':>8} {'lacking':>7}"
    )
    for split in report["splits"]:
        for name in in_order(split["models"]):
            m = split["models"][name]
            low, high = m["ci"]["pcc_mean"]
            interval = f"{low:.3f} to {high:.3f}"
            given, residuals, ratio = (_figure(m[k]) for k in ("pcc_given_depth", "pcc_residuals", "mse_ratio"))
            print(
                f"{','.join(split['test']):12} {split['kind']:14} {name:15} {m['pcc_mean']:6.3f} {interval:>16} "
                f"{given:>11} {residuals:>9} {m['pcc_median']:7.3f} {ratio:>8} {m['n_constant']:8} {m['n_lacking']:7}"
            )
    for split in report["splits"]:
        for name, m in split["models"].items():
            if "intervals" in m:
                print(f"{split_name(split)}, {name}: {coverage_words(m['intervals'])}")
        if pairs := split.get("pairs"):
            _print_pairs(split_name(split), pairs)


def _print_pairs(split: str, pairs: dict[str, Any]) -> None:
    """Print what the main model of a split is ahead by, with intervals on the same draws, and what that says."""
    from napari_nh2st.evaluation.report_words import FIGURES, difference, in_order

    figures = [key for key in FIGURES if any(key in of for of in pairs["others"].values())]
    print(f"\n{split}: {pairs['model']} less")
    print(f"  {'':15} " + " ".join(f"{FIGURES[key]:>24}" for key in figures))
    for name in in_order(pairs["others"]):
        of = pairs["others"][name]
        print(f"  {name:15} " + " ".join(f"{difference(of.get(key)):>24}" for key in figures))
    for sentence in pairs["says"]:
        print(f"  {sentence}")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"  # the ratio: without a mean profile on the card
