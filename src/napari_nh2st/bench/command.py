"""The command `nh2st bench`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from napari_nh2st.bench.figures import BY_KEY, table
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.terminal import Bar, interruptible, names, print_json, say


def bench(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="R.json", help="Write the JSON document.")] = None,
    rows: Annotated[str | None, typer.Option("--rows", metavar="A,B", help="Only these, by their JSON keys.")] = None,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Rounds; the median is reported, and the spread.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: to see that it works.")] = False,
    samples: Annotated[
        Path | None, typer.Option("--samples", metavar="SAMPLES.csv", help="Measure on measured sections.")
    ] = None,
    model: Annotated[str, typer.Option("--model", metavar="M", help="Of speed and memory.")] = "her2st",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")] = "auto",
) -> None:
    """Measure speed, agreement and memory side by side, in one run.

    A quarter of an hour on two processor cores. Figures of the window need a display (xvfb-run).
    """
    wanted = names(rows)
    unknown = sorted(set(wanted or []) - set(BY_KEY))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(BY_KEY)}", param_hint="--rows")
    from napari_nh2st.engine.device import PRECISIONS

    if precision not in PRECISIONS:
        raise typer.BadParameter(f"{precision!r} is none of {', '.join(PRECISIONS)}", param_hint="--precision")
    from napari_nh2st.atomic import finished_file
    from napari_nh2st.bench.data_sets import Options
    from napari_nh2st.bench.run import bench as measure

    options = Options(
        Path(tempfile.gettempdir()), model, samples, repeat, quick, device, precision, interruptible(), say
    )  # fmt: skip
    try:
        report = measure(options, wanted, lambda title: Bar(title, unit=""))
    except Cancelled:
        raise Nh2stError("stopped; nothing was written") from None
    if out is not None:
        with finished_file(out) as draft:
            draft.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
        say(f"report: {out}")
    if as_json:
        print_json(report)
    else:
        print(table(report))
