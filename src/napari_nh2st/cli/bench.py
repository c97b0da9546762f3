"""`nh2st bench`: speed, agreement and memory, measured side by side."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from napari_nh2st.cli.options import DeviceOption, JsonOption, PrecisionOption, checked_precision, names
from napari_nh2st.cli.output import print_json
from napari_nh2st.cli.values import complete_models
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.terminal import Bar, interruptible, say


def bench(
    as_json: JsonOption = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="R.json", help="Write the JSON document.")] = None,
    rows: Annotated[str | None, typer.Option("--rows", metavar="A,B", help="Only these, by their JSON keys.")] = None,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Rounds; the median is reported, and the spread.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: to see that it works.")] = False,
    samples: Annotated[
        Path | None, typer.Option("--samples", metavar="SAMPLES.csv", help="Measure on measured sections.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", metavar="M", help="Of speed and memory.", autocompletion=complete_models)
    ] = "her2st",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Measure speed, agreement and memory side by side, in one run.

    A quarter of an hour on two processor cores. Figures of the window need a display (xvfb-run).
    """
    from napari_nh2st.bench.figures import BY_KEY, table

    keys = names(rows)
    unknown = sorted(set(keys or []) - set(BY_KEY))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(BY_KEY)}", param_hint="--rows")
    precision = checked_precision(precision)
    from napari_nh2st.atomic import finished_file
    from napari_nh2st.bench.data_sets import BenchOptions
    from napari_nh2st.bench.run import bench as measure

    folder = Path(tempfile.gettempdir())
    options = BenchOptions(folder, model, samples, repeat, quick, device, precision, interruptible(), say)
    try:
        report = measure(options, keys, lambda title: Bar(title, unit=""))
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
