"""The command line: a module a command. Progress goes to standard error, results to standard output.

Exit status 0; or 1 with one line `error: ...` that says what to do (`--debug` for the traceback); or 2 for wrong usage.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from napari_nh2st.cli import (
    bench,
    cache,
    convert,
    demo,
    doctor,
    evaluate,
    export,
    figure,
    finetune,
    info,
    predict,
    pretrain,
    view,
)
from napari_nh2st.errors import Nh2stError
from napari_nh2st.terminal import say

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Predicted gene expression on H&E slides with NH2ST: predictions, not measurements; for research use.",
)
# In the order in which `nh2st --help` lists them.
for command in (
    info.info,
    view.view,
    demo.demo,
    predict.predict,
    pretrain.pretrain,
    finetune.finetune,
    evaluate.evaluate,
    convert.convert,
    export.export,
    figure.figure,
    cache.cache,
    doctor.doctor,
    bench.bench,
):
    app.command()(command)

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
