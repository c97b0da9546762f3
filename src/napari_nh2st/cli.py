"""The command line. Progress goes to standard error, results to standard output.

Exit status 0; or 1 with one line `error: ...` that says what to do (`--debug` for the traceback); or 2 for wrong usage.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nh2st.bench.command import bench
from napari_nh2st.cli_cache import cache
from napari_nh2st.cli_figure import figure
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.terminal import Bar, has_display, has_xvfb, interruptible, names, print_json, print_splits, say

if TYPE_CHECKING:
    from napari_nh2st.engine.run import Job
    from napari_nh2st.expression import Sample
    from napari_nh2st.geometry import Box
    from napari_nh2st.model.folder import Model
    from napari_nh2st.training.config import TrainingConfig

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Predicted gene expression on H&E slides with NH2ST: predictions, not measurements; for research use.",
)

SlideArg = Annotated[Path, typer.Argument(help="A slide: SVS, TIFF, OME-TIFF, NDPI, JPEG or PNG.", show_default=False)]
MppOption = Annotated[
    float | None, typer.Option("--mpp", help="Micrometres per pixel of the slide, where it does not say so itself.")
]
ModelOption = Annotated[
    str, typer.Option("--model", metavar="M", help="A bundled model's name or a model folder.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
PrecisionOption = Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of every random choice.")]

_state = {"debug": False}


def _version(asked: bool) -> None:
    if asked:
        from napari_nh2st import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    _state["debug"] = debug


def main() -> None:
    """Run the command line; errors that a person can act on become one line."""
    # Before torch is loaded, and in our own process only: threads that spin while they wait made training six times
    # slower as soon as one other process wanted the processor.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except KeyboardInterrupt:
        say("error: stopped")
        raise SystemExit(1) from None
    except (Nh2stError, OSError) as error:
        if _state["debug"]:
            raise
        say(f"error: {' '.join(str(error).split())}")
        raise SystemExit(1) from None


def _job(device: str, precision: str, **more: Any) -> Job:
    from napari_nh2st.engine.device import PRECISIONS
    from napari_nh2st.engine.run import Job

    if precision not in PRECISIONS:
        raise typer.BadParameter(f"{precision!r} is none of {', '.join(PRECISIONS)}", param_hint="--precision")
    return Job(device=device, precision=precision, **more)


def _region(text: str | None) -> Box | None:
    from napari_nh2st.geometry import Box

    if text is None:
        return None
    try:
        x, y, width, height = (float(v) for v in text.split(","))
        return Box.from_xywh(x, y, width, height)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: give X,Y,WIDTH,HEIGHT in pixels of the slide, such as 1000,2000,4000,4000",
            param_hint="--region",
        ) from None


@app.command()
def info(slide: SlideArg, mpp: MppOption = None, as_json: JsonOption = False) -> None:
    """Say what a slide is: format, levels, pixel size and where it comes from, tissue."""
    from napari_nh2st.slides import open_slide

    with open_slide(slide, mpp=mpp) as opened:
        fraction, levels = round(opened.tissue().fraction, 4), opened.level_shapes
        found = {
            "path": str(slide),
            "format": opened.format,
            "levels": [list(shape) for shape in levels],
            "mpp": opened.mpp,
            "mpp_source": opened.mpp_source,
            "fingerprint": opened.fingerprint,
            "tissue_fraction": fraction,
            "warnings": opened.warnings,
        }
        pixel = "not known" if opened.mpp is None else f"{opened.mpp:.4g} um ({opened.mpp_source})"
    if as_json:
        print_json(found)
        return
    print(f"{slide}\nformat       {found['format']}")
    print(f"levels       {', '.join(f'{w} x {h}' for h, w in levels)}")
    print(f"pixel        {pixel}\ntissue       {fraction:.0%} of the slide\nfingerprint  {found['fingerprint']}")
    for warning in opened.warnings:
        say(f"warning: {warning}")


@app.command()
def view(
    slide: SlideArg,
    model: Annotated[str | None, typer.Option("--model", metavar="M", help="Choose this model in the dock.")] = None,
    mpp: MppOption = None,
) -> None:
    """Open a slide in napari with the NH2ST dock in place."""
    from napari_nh2st.slides import open_slide

    open_slide(slide, mpp=mpp).close()  # a slide that cannot be opened is said here, before a window appears
    from napari_nh2st.viewer.launch import show

    show(slide, model=model, mpp=mpp)


@app.command()
def demo(
    headless: Annotated[bool, typer.Option("--headless", help="Open no window; write the files.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path("nh2st-demo"),
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """Predict on procedural tissue whose expression is known, and show it.

    Opens napari with a gene shown; without a display, or with --headless, writes heatmap.png, prediction.h5ad
    and report.json.
    """
    from napari_nh2st.demo.run import run_demo

    window = not headless and has_display()
    cancelled = interruptible()
    stages: dict[str, Bar] = {}

    def progress(stage: str, done: int, total: int) -> None:
        stages.setdefault(stage, Bar(stage, unit=""))(done, total)

    report = run_demo(out, seed, device=device, progress=progress, cancelled=cancelled).report
    for warning in report.get("warnings", []):
        say(f"warning: {warning}")
    print(
        f"mean PCC over the demo genes {report['pcc_mean']:.2f}, {report['n_tiles']} tiles, {report['seconds']:.0f} s"
    )
    for group in ("own_genes", "context_genes"):
        figures = report[group]
        print(f"{group.replace('_', ' '):14} context {figures['context']:.2f}   paper {figures['paper']:.2f}")
    print(f"written to {out}: heatmap.png, prediction.h5ad, report.json")
    if window:
        from napari_nh2st.viewer.launch import show_demo

        show_demo(seed)
    elif has_xvfb():
        _draw_window(out, seed)


def _draw_window(out: Path, seed: int) -> None:
    """Draw the napari window on a virtual screen into `out/window.png`; without one the files are enough."""
    import subprocess

    say("drawing the napari window on a virtual screen")
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24"]
    call = [
        sys.executable,
        "-m",
        "napari_nh2st.viewer.launch",
        "--seed",
        str(seed),
        "--picture",
        str(out / "window.png"),
    ]
    done = subprocess.run([*screen, *call], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        say(f"warning: the window could not be drawn: {reason[0]}")
    else:
        print("and window.png: the same in napari's window")


@app.command()
def predict(
    slides: Annotated[
        list[Path],
        typer.Argument(metavar="SLIDE... or SAMPLES.csv", help="Slides, or a sample sheet.", show_default=False),
    ],
    model: ModelOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.", show_default=False)],
    region: Annotated[
        str | None, typer.Option("--region", metavar="X,Y,W,H", help="Only here, in slide pixels.")
    ] = None,
    pitch: Annotated[int | None, typer.Option("--pitch", help="Distance between tiles in model pixels.")] = None,
    genes: Annotated[str | None, typer.Option("--genes", metavar="A,B", help="Write only these genes.")] = None,
    formats: Annotated[
        str, typer.Option("--format", metavar="F,...", help="Files to write: h5ad, csv; or none.")
    ] = "h5ad",
    mpp: MppOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Predict expression over slides; a second run encodes only what is missing.

    Results last in OUT/<slide>.nh2st, from which `nh2st export` makes any format without predicting again.
    """
    from napari_nh2st.engine.run import provenance
    from napari_nh2st.formats import EXPORTERS
    from napari_nh2st.model.folder import load_model

    where, chosen = _region(region), [f for f in names(formats) or [] if f != "none"]
    unknown = [f for f in chosen if f not in EXPORTERS]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(EXPORTERS)}", param_hint="--format")
    job = _job(device, precision, cancelled=interruptible())
    loaded = load_model(model)
    wanted = _known_genes(loaded, names(genes))
    targets = _slides(slides, mpp)
    _distinct(targets)
    rows = []
    for path, its_mpp in targets:
        rows.append(_predict_one(path, its_mpp, loaded, job, (where, pitch), (out, chosen, wanted), quiet=as_json))
    if as_json:
        print_json({"slides": rows, "provenance": provenance(loaded, job)})


def _known_genes(model: Model, genes: list[str] | None) -> list[str] | None:
    missing = [g for g in genes or [] if g not in model.card.genes]
    if missing:
        raise Nh2stError(f"the model {model.card.name} does not predict {', '.join(missing)}")
    return genes


def _slides(paths: list[Path], mpp: float | None) -> list[tuple[Path, float | None]]:
    """Slides with their mpp: as named, or from a sample sheet."""
    from napari_nh2st.expression import read_sheet

    out: list[tuple[Path, float | None]] = []
    for path in paths:
        if path.suffix.lower() == ".csv":
            out += [(s.slide, mpp if mpp is not None else s.mpp) for s in read_sheet(path)]
        else:
            out.append((path, mpp))
    return out


def _distinct(targets: list[tuple[Path, float | None]]) -> None:
    """Results are named after the slide's file: two of one name would meet in one folder."""
    stems = [path.stem for path, _ in targets]
    twice = sorted({s for s in stems if stems.count(s) > 1})
    if twice:
        raise Nh2stError(f"several slides are named {', '.join(twice)}: predict them into folders of their own")


def _predict_one(
    path: Path,
    mpp: float | None,
    model: Model,
    job: Job,
    where: tuple[Box | None, int | None],
    target: tuple[Path, list[str], list[str] | None],
    quiet: bool,
) -> dict[str, Any]:
    from dataclasses import replace

    from napari_nh2st.engine.run import lattice_for, run, store_for, warnings_for
    from napari_nh2st.formats import EXPORTERS, export
    from napari_nh2st.model.folder import load_reference
    from napari_nh2st.slides import open_slide

    started = time.monotonic()
    (region, pitch), (out, formats, genes) = where, target
    with open_slide(path, mpp=mpp) as slide:
        reference = load_reference(model.path)
        for warning in warnings_for(slide, model.card, reference):
            say(f"warning: {warning}")
        try:
            places = lattice_for(slide, model.card, region, pitch)
        except ValueError as error:
            raise Nh2stError(str(error)) from error
        if not len(places):
            raise Nh2stError(f"{path}: there is no tissue {'in this region' if region else 'on this slide'}")
        store = store_for(out, slide, model, places.pitch, job)
        bar = Bar(path.name)
        try:
            _, encoded = run(slide, model, places, replace(job, store=store), lambda p: bar(p.done, p.total))
        except Cancelled:
            raise Nh2stError(
                f"stopped; what was predicted is kept in {store.path}, and the same command goes on"
            ) from None
        warnings = warnings_for(slide, model.card, reference)
    outputs = [str(store.path)]
    prediction = store.prediction()
    for name in formats:
        file = out / f"{path.stem}{EXPORTERS[name].suffix}"
        outputs.append(str(export(prediction, name, file, genes)))
    row = {
        "path": str(path),
        "tiles_total": len(places),
        "tiles_encoded": encoded,
        "tiles_skipped": len(places) - encoded,
        "seconds": round(time.monotonic() - started, 2),
        "outputs": outputs,
        "warnings": warnings,
    }
    if not quiet:
        print(f"{path}: {len(places)} tiles, {encoded} newly encoded, {row['seconds']} s -> {', '.join(outputs)}")
    return row


@app.command()
def pretrain(
    slides: Annotated[
        list[Path],
        typer.Argument(metavar="SLIDE... or SAMPLES.csv", help="Slides, or a sample sheet.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="E.safetensors", help="The file to write.", show_default=False)],
    mpp: MppOption = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps of 64 tiles; 200 by default.")] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """Train an encoder on unlabelled tissue of slides, for `finetune` to start from.

    Nothing but the images is read. Ctrl+C stops and writes nothing.
    """
    from napari_nh2st.training.pretrain import STEPS, pretrain_facts
    from napari_nh2st.training.pretrain import pretrain as fit

    targets, cancelled = _slides(slides, mpp), interruptible()
    bars: dict[str, Bar] = {}

    def progress(stage: str, done: int, total: int) -> None:
        bars.setdefault(stage, Bar(stage, unit=""))(done, total)

    paths, sizes = [path for path, _ in targets], [its_mpp for _, its_mpp in targets]
    file = fit(
        paths, out, mpp=sizes, steps=steps or STEPS, seed=seed, device=device, progress=progress, cancelled=cancelled
    )
    facts = pretrain_facts(file)
    print(
        f"contrastive loss {facts['loss_start']} -> {facts['loss_end']}, "
        f"{facts['tiles']} tiles of {facts['slides']} slide{'s' * (facts['slides'] != '1')}: {file}"
    )


@app.command()
def finetune(
    sheet: Annotated[Path, typer.Argument(metavar="SAMPLES.csv", help="The sample sheet.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", metavar="RUN", help="The run's folder.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="BASE", help="Start from this model.")] = None,
    config: Annotated[Path | None, typer.Option("--config", metavar="C.yaml", help="Settings.")] = None,
    seed: SeedOption = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last epoch that was finished.")] = False,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Instead of what the settings say.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Instead of what the settings say.")] = None,
    devices: Annotated[int | None, typer.Option("--devices", min=1, help="Processes that train together.")] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", min=1, help="Machines that train together.")] = None,
    hold_out_sections: Annotated[
        str | None,
        typer.Option("--hold-out-sections", metavar="A,B", help="Score these samples, and learn nothing from them."),
    ] = None,
    hold_out_patients: Annotated[
        str | None,
        typer.Option("--hold-out-patients", metavar="A,B", help="Score these patients' samples, and learn nothing."),
    ] = None,
    after: Annotated[
        list[Path] | None,
        typer.Option(
            "--after", metavar="RUN", help="Begin when this run has ended; may be given again.", show_default=False
        ),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Start nothing: try a few steps, and say what time and memory it takes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --estimate: print one JSON document.")] = False,
) -> None:
    """Train NH2ST on measured sections; writes the model folder RUN/model.

    A file named `stop` that appears in RUN ends the run and keeps the best model so far, as Ctrl+C does; one named
    `pause` holds it until it goes.
    """
    if out is None and not estimate:
        raise typer.BadParameter("name a folder for the run, or ask for an --estimate only", param_hint="--out")
    if as_json and not estimate:
        raise typer.BadParameter("a run writes files: only an --estimate is printed", param_hint="--json")
    from napari_nh2st.training.config import read_config, with_settings
    from napari_nh2st.training.runs import wait_for

    settings = read_config(config)
    given: dict[str, Any] = {"epochs": epochs, "device": device, "devices": devices, "nodes": nodes}
    given |= {"hold_out_sections": names(hold_out_sections), "hold_out_patients": names(hold_out_patients)}
    settings = with_settings(settings, {k: v for k, v in given.items() if v is not None})
    cancelled = interruptible()
    if out is None or estimate:
        _estimate(sheet, model, settings, cancelled, as_json)
        return
    wait_for(after or [], out, cancelled)
    from napari_nh2st.evaluation.after_training import summarise
    from napari_nh2st.training.callbacks import STOP
    from napari_nh2st.training.finetune import finetune as fit
    from napari_nh2st.training.summary import read_summary

    folder = fit(
        sheet, out, base=model, config=settings, seed=seed, resume=resume, cancelled=cancelled, finish=summarise
    )
    from napari_nh2st.training.training_pass import is_first

    if not is_first():
        return
    stopped = " (stopped early, the best so far)" if cancelled() or (out / STOP).exists() else ""
    found = read_summary(out)
    if found is not None:
        print(f"mean PCC over {found.genes} genes on {', '.join(found.held_out)}, {found.spots} spots ({found.kind}):")
        for line in found.lines:
            print(f"  {line.name:<18} {line.pcc:.3f} ({line.low:.3f} to {line.high:.3f})")
        for caveat in found.caveats:
            print(caveat)
    print(f"model{stopped}: {folder}")


def _estimate(
    sheet: Path, base: str | None, settings: TrainingConfig, cancelled: Callable[[], bool], as_json: bool
) -> None:
    from napari_nh2st.training.estimate import estimate

    try:
        found = estimate(
            sheet, base=base, config=settings, cancelled=cancelled, progress=lambda stage: say(f"trying: {stage}")
        )
    except Cancelled as stopped:
        raise Nh2stError(str(stopped)) from None
    if as_json:
        print_json(found.model_dump())
    else:
        print(found)


@app.command()
def evaluate(
    sheet: Annotated[Path, typer.Argument(metavar="SAMPLES.csv", help="Measured sections.", show_default=False)],
    model: Annotated[
        str | None, typer.Option("--model", metavar="M", help="Score this model: a bundled one's name or a folder.")
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
    samples: Annotated[str | None, typer.Option("--samples", metavar="A,B", help="Only these of the sheet.")] = None,
    models: Annotated[
        str | None, typer.Option("--models", metavar="A,B", help="With --protocol: only these models.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="0,1", help="With --protocol: instead of the budget's.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="C.yaml", help="With --protocol: settings of NH2ST.")
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Score a model on measured sections, or train and score NH2ST and all baselines under a protocol.

    PCC is per gene across the spots of each section, on raw labels; splits are labelled from patient ids.
    """
    from napari_nh2st.evaluation.report import write_report
    from napari_nh2st.expression import read_sheet

    if (model is None) == (protocol is None):
        raise typer.BadParameter("give either a model to score or a protocol to train and score", param_hint="--model")
    if update_card and model is None:
        raise typer.BadParameter("only a model's card can be updated: give --model", param_hint="--update-card")
    if budget not in ("quick", "full"):
        raise typer.BadParameter(f"{budget!r} is neither quick nor full", param_hint="--budget")
    if out is not None and out.suffix in (".md", ".png"):
        raise typer.BadParameter(f"{out}: the report's own name ends in .json", param_hint="--out")
    chosen = read_sheet(sheet)
    wanted = names(samples)
    if wanted is not None:
        absent = sorted(set(wanted) - {s.sample for s in chosen})
        if absent:
            raise Nh2stError(f"{sheet} has no sample {', '.join(absent)}")
        chosen = [s for s in chosen if s.sample in wanted]
    cancelled = interruptible()
    try:
        if model is not None:
            report = _score_model(chosen, model, _job(device, precision, cancelled=cancelled), update_card)
        else:
            from napari_nh2st.evaluation.compare import compare
            from napari_nh2st.training.config import read_config

            settings = read_config(config).model_copy(update={"device": device, "precision": precision})
            report = compare(
                chosen, str(protocol), budget="quick" if budget == "quick" else "full", config=settings,
                models=names(models), seeds=_seeds(seeds), progress=say, cancelled=cancelled,
            )  # fmt: skip
    except Cancelled:
        raise Nh2stError("stopped; nothing was written") from None
    for warning in report["warnings"]:
        say(f"warning: {warning}")
    for split in report["splits"]:
        if split.get("leak_alarm", {}).get("raised"):
            say(split["leak_alarm"]["says"])
    if as_json:
        print_json(report)
    else:
        print_splits(report)
    if out is not None:
        written = ", ".join(str(p) for p in write_report(report, out))
        say(f"report: {written}")


def _seeds(text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(part) for part in names(text) or []]
    except ValueError:
        raise typer.BadParameter(f"{text!r}: give whole numbers, such as 0,1,2", param_hint="--seeds") from None


def _score_model(samples: list[Sample], name: str, job: Job, update_card: bool) -> dict[str, Any]:
    from napari_nh2st.evaluation.protocol import evaluate as score
    from napari_nh2st.evaluation.protocol import with_figures
    from napari_nh2st.model.folder import bundled_models, load_model, save_card

    if update_card and name in bundled_models():
        raise Nh2stError(f"{name} comes with the package: copy its folder and update the copy's card")
    model = load_model(name)
    report = score(samples, model, job=job, progress=say)
    if update_card:
        card = with_figures(model.card, report)
        save_card(card, model.path)
        figures = card.evaluation
        if figures is not None:
            say(f"the card of {model.path} now has {figures.kind} figures of {', '.join(figures.samples)}")
    return report


@app.command()
def convert(
    checkpoint: Annotated[Path, typer.Argument(metavar="CKPT", help="A Lightning checkpoint.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="The model folder to write.", show_default=False)],
    genes: Annotated[
        Path | None, typer.Option("--genes", metavar="GENES.txt", help="Its genes, one a line, in their order.")
    ] = None,
    mpp: Annotated[float | None, typer.Option("--mpp", help="Micrometres per pixel of its training patches.")] = None,
    pitch: Annotated[
        int | None, typer.Option("--pitch", metavar="PX", help="Pixels between neighbouring places; else about 200 um.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The model's name; else that of the file.")] = None,
) -> None:
    """Make a model folder of a checkpoint of the released NH2ST code.

    A checkpoint of a self-supervised ResNet-18 becomes an encoder file: give an --out that ends in .safetensors.
    """
    from napari_nh2st.model.convert import convert_checkpoint

    print(convert_checkpoint(checkpoint, genes, out, mpp=mpp, pitch=pitch, name=name, progress=say))


@app.command()
def export(
    prediction: Annotated[Path, typer.Argument(help="What predict left: OUT/<slide>.nh2st.", show_default=False)],
    fmt: Annotated[str, typer.Option("--format", metavar="F", help="h5ad or csv.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The file to write.", show_default=False)],
    genes: Annotated[str | None, typer.Option("--genes", metavar="A,B", help="Only these genes.")] = None,
) -> None:
    """Write a prediction as a file; neither model nor GPU is needed."""
    from napari_nh2st.engine.store import open_prediction
    from napari_nh2st.formats import EXPORTERS
    from napari_nh2st.formats import export as write

    if fmt not in EXPORTERS:
        raise typer.BadParameter(f"{fmt!r}: choose from {', '.join(EXPORTERS)}", param_hint="--format")
    found = open_prediction(prediction)
    wanted = names(genes)
    try:
        print(write(found, fmt, out, wanted))
    except KeyError as error:
        raise Nh2stError(str(error.args[0])) from error


app.command()(figure)
app.command()(cache)
app.command()(bench)
