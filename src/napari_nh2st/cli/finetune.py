"""`nh2st finetune`: a model trained on measured sections, or an estimate of what that takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nh2st.cli.checks import check_folder
from napari_nh2st.cli.options import SeedOption, gene_words, names
from napari_nh2st.cli.output import print_json
from napari_nh2st.cli.values import complete_heads, complete_models, complete_targets
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.terminal import interruptible, say

if TYPE_CHECKING:
    from napari_nh2st.expression import Sample
    from napari_nh2st.model.card import Card
    from napari_nh2st.training.config import TrainingConfig


def finetune(
    sheet: Annotated[Path, typer.Argument(metavar="SAMPLES.csv", help="The sample sheet.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", metavar="RUN", help="The run's folder.")] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="BASE", help="Start from this model.", autocompletion=complete_models),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", metavar="C.yaml", help="Settings.")] = None,
    panel: Annotated[
        str | None,
        typer.Option(
            "--panel",
            metavar="N|shared|A,B",
            help="Genes to learn: so many; those of the model's panel that every section measured; or named ones, "
            "also in a file.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="NAME",
            help="Values to learn: {targets}. Instead of what the settings say.",
            autocompletion=complete_targets,
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            "--variant",
            metavar="HEAD",
            help="Head, which looks at a place and what is round it: {heads}. Instead of what the settings say.",
            autocompletion=complete_heads,
        ),
    ] = None,
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
    since = time.time()
    if out is not None and not estimate:
        check_folder(out)
    from napari_nh2st.expression import read_sheet
    from napari_nh2st.model.folder import load_card
    from napari_nh2st.training.config import read_config, with_settings
    from napari_nh2st.training.run.runs import wait_for

    options: dict[str, Any] = {"labels": labels, "epochs": epochs, "device": device, "devices": devices, "nodes": nodes}
    options |= {"hold_out_sections": names(hold_out_sections), "hold_out_patients": names(hold_out_patients)}
    settings = with_settings(read_config(config), {k: v for k, v in options.items() if v is not None})
    settings = settings if variant is None else _with_head(settings, variant, model)
    if not after:  # a run to wait for may yet write these
        read_sheet(sheet)
        if model is not None:
            load_card(model)
    cancelled = interruptible()
    if out is None or estimate:
        settings = _with_panel(settings, panel, sheet, model)
        _estimate(sheet, model, settings, cancelled, as_json)
        return
    wait_for(after or [], out, cancelled)
    settings = settings if resume else _with_panel(settings, panel, sheet, model)
    from napari_nh2st.evaluation.after_training import summarise
    from napari_nh2st.training.finetune import finetune as train
    from napari_nh2st.training.run.run_folder import RunFolder

    folder = train(
        sheet, out, base=model, config=settings, seed=seed, resume=resume, cancelled=cancelled, finish=summarise,
        since=since,
    )  # fmt: skip
    from napari_nh2st.training.trainer import is_first_process

    if not is_first_process():
        return
    stopped = " (stopped early, the best so far)" if cancelled() or RunFolder(out).stop.exists() else ""
    _print_summary(out)
    print(f"model{stopped}: {folder}")


def _with_head(settings: TrainingConfig, variant: str, base: str | None) -> TrainingConfig:
    """Return the settings with another head; what the settings say of its options stays."""
    from napari_nh2st.model.folder import load_card
    from napari_nh2st.training.config import with_head, with_settings

    there = settings.architecture if base is None else load_card(base).architecture
    if variant == there.variant:
        return settings
    if base is not None:
        raise typer.BadParameter(
            f"a run keeps the head of the model that it starts from ({there.variant}): give no --model",
            param_hint="--variant",
        )
    return with_settings(settings, {"architecture": with_head(there, variant)})


def _with_panel(settings: TrainingConfig, panel: str | None, sheet: Path, model: str | None) -> TrainingConfig:
    from napari_nh2st.expression import read_sheet
    from napari_nh2st.model.folder import load_card
    from napari_nh2st.training.config import with_settings

    if panel is None:
        return settings
    base = None if model is None else load_card(model)
    return with_settings(settings, _panel(panel, read_sheet(sheet), settings, base))


def _panel(text: str, samples: Sequence[Sample], settings: TrainingConfig, base: Card | None) -> dict[str, Any]:
    """Return the settings that choose these genes."""
    if text.strip().isdecimal():
        if base is not None:
            raise typer.BadParameter(
                f"a run keeps the panel of the model that it starts from ({len(base.genes)} genes): "
                "give shared, names of genes, or no --model",
                param_hint="--panel",
            )
        return {"panel": int(text), "genes": None}
    from napari_nh2st.training.sections.held_out_sections import split_samples
    from napari_nh2st.training.sections.new_card import shared_panel

    if text != "shared":
        return {"genes": gene_words(text)}
    if base is None:
        return {}  # a panel is chosen among what every section measured
    genes = shared_panel(split_samples(samples, settings)[0], base.genes)
    say(f"{len(genes)} of {len(base.genes)} genes of {base.name} were measured in every section: the panel")
    return {"genes": genes}


def _print_summary(run: Path) -> None:
    from napari_nh2st.training.run.summary import read_summary

    summary = read_summary(run)
    if summary is None:
        return
    held_out = ", ".join(summary.held_out)
    print(f"mean PCC over {summary.genes} genes on {held_out}, {summary.spots} spots ({summary.kind}):")
    for line in summary.lines:
        print(f"  {line.name:<18} {line.pcc:.3f} ({line.low:.3f} to {line.high:.3f})")
    for caveat in summary.caveats:
        print(caveat)


def _estimate(
    sheet: Path, base: str | None, settings: TrainingConfig, cancelled: Callable[[], bool], as_json: bool
) -> None:
    from napari_nh2st.training.estimate.estimate_run import estimate

    try:
        forecast = estimate(
            sheet, base=base, config=settings, cancelled=cancelled, progress=lambda stage: say(f"trying: {stage}")
        )
    except Cancelled as stopped:
        raise Nh2stError(str(stopped)) from None
    if as_json:
        print_json(forecast.model_dump())
    else:
        for warning in forecast.warnings:
            say(f"warning: {warning}")
        print(forecast)
