"""The command line: a module a command. Progress goes to standard error, results to standard output.

Exit status 0; or 1 with one line `error: ...` that says what to do (`--debug` for the traceback); or 2 for wrong usage.
"""

from __future__ import annotations

import errno
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
from napari_nh2st.terminal import enforced_ends, say

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
_BLAS_THREADS = 8
_SHORT = (
    "memory does not suffice: close other programs, or do less at once "
    "(--region, a larger --pitch, fewer --genes); what was finished is kept"
)


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
    # Each of its threads takes memory of its own from the start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(min(_BLAS_THREADS, os.cpu_count() or 1)))
    with enforced_ends():
        _run()


def _run() -> None:
    try:
        app()
    except KeyboardInterrupt:
        say("error: stopped")
        raise SystemExit(1) from None
    except (Nh2stError, OSError, MemoryError, RuntimeError, ImportError) as error:
        short = _is_short_of_memory(error)
        if _state["debug"] or not (short or isinstance(error, Nh2stError | OSError)):
            raise
        say(f"error: {_SHORT if short else _full_disk(error) or ' '.join(str(error).split())}")
        raise SystemExit(1) from None


def _is_short_of_memory(error: BaseException) -> bool:
    """Tell whether Python, torch or the loader of a library found no memory."""
    words = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (not isinstance(error, Nh2stError) and "alloc" in words and "memory" in words)
        or "failed to map segment" in words
    )


def _full_disk(error: BaseException) -> str | None:
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return None
    where = f" that holds {error.filename}" if error.filename else ""
    return f"the disk{where} is full: free some space, then repeat the command; what was finished is kept"
