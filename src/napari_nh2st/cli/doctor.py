"""`nh2st doctor`: what is wrong, and how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_nh2st.cli.options import DeviceOption, JsonOption, MppOption
from napari_nh2st.cli.output import print_json
from napari_nh2st.terminal import say

if TYPE_CHECKING:
    from napari_nh2st.doctor.examination import Result


def doctor(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SLIDE] [RUN]", help="A slide, a run, a model or a prediction folder.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="M", help="Look at this model, too.", show_default=False)
    ] = None,
    mpp: MppOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", "--out", metavar="FILE", help="Write a text without names and paths, for a bug report."
        ),
    ] = None,
) -> None:
    """Say what is wrong with the installation, the display, a slide, a model or a run, and how to mend it.

    Exit status 1 where there is a fault; warnings do not count.
    """
    from napari_nh2st.doctor.examination import Probes, examine
    from napari_nh2st.doctor.report import as_json as document
    from napari_nh2st.doctor.report import report_text
    from napari_nh2st.doctor.subject import Subject
    from napari_nh2st.doctor.table import begin_probes, groups

    subject = Subject.named(paths or (), model, mpp=mpp, device=device)
    probes = Probes()
    try:
        begin_probes(probes)
        diagnosis = examine(groups(subject), probes, None if as_json else _show)
    finally:
        probes.close()
    if as_json:
        print_json(document(diagnosis))
    else:
        print(diagnosis.counts)
    if report is not None:
        from napari_nh2st.atomic import finished_file

        with finished_file(report) as draft:
            draft.write_text(report_text(diagnosis, subject), "utf-8")
        say(f"report: {report}")
    if diagnosis.count("fault"):
        raise typer.Exit(1)


def _show(result: Result) -> None:
    from napari_nh2st.doctor.report import lines_of

    print("\n".join(lines_of(result)) + "\n", flush=True)
