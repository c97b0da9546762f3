"""The command line: a module a command. Progress goes to standard error, results to standard output.

Exit status 0; or 1 with one line `error: ...` that says what to do (`--debug` for the traceback); or 2 for wrong usage.
"""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path
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
from napari_nh2st.errors import Nh2stError, one_line
from napari_nh2st.terminal import enforced_ends, open_streams, say

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
    "there is not enough memory: close other programs, or do less at once "
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
    open_streams()
    with enforced_ends():
        _run()


def _run() -> None:
    try:
        _has_a_place()
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            app()
    except KeyboardInterrupt:
        say("error: stopped")
        raise SystemExit(1) from None
    except (Nh2stError, OSError, MemoryError, RuntimeError, ImportError) as error:
        short = _is_short_of_memory(error)
        if _state["debug"] or not (short or isinstance(error, Nh2stError | OSError)):
            raise
        say(f"error: {_SHORT if short else _words_of(error) or ' '.join(str(error).split())}")
        raise SystemExit(1) from None


def _has_a_place() -> None:
    """Refuse to work in a folder that was removed: libraries end the process there, each in its own way."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise Nh2stError("the current folder was removed: go to another one (cd)") from None


def _is_short_of_memory(error: BaseException) -> bool:
    """Tell whether Python, torch or the loader of a library found no memory."""
    words = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (not isinstance(error, Nh2stError) and "alloc" in words and "memory" in words)
        or "failed to map segment" in words
    )


_ADVICE = {
    errno.EACCES: "is not yours to read or write: choose another place, or ask its owner for permission",
    errno.EPERM: "is not yours to change: choose another place, or ask its owner for permission",
    errno.EROFS: "is on a read-only drive: choose another place",
    errno.ENAMETOOLONG: "has too long a name: choose a shorter one",
    errno.ELOOP: "is a link that leads back to itself: remove it",
}


def _words_of(error: BaseException) -> str | None:
    """Say what to do about an error of the system."""
    if not isinstance(error, OSError):
        return None
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        where = f" that holds {error.filename}" if error.filename else ""
        return f"the disk{where} is full: free some space, then repeat the command; what was finished is kept"
    advice = _ADVICE.get(error.errno or 0)
    return f"{error.filename} {advice}" if advice and error.filename else None


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning of ours, or of a library that we called, on one line."""
    say(f"warning: {one_line(message)}")
