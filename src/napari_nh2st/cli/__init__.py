"""The command line: a module a command. Progress goes to standard error, results to standard output.

Exit status 0; or 1 with one line `error: ...` that says what to do (`--debug` for the traceback); or 2 for wrong usage;
or 130 after Ctrl+C. With `--json` an error is also one JSON object on standard output.
"""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from napari_nh2st.cli.everywhere import DebugOption, QuietOption, VerboseOption, asked, begin, everywhere, note
from napari_nh2st.cli.failing import USAGE, usage_sentence
from napari_nh2st.cli.output import print_json
from napari_nh2st.cli.pages import PAGES
from napari_nh2st.cli.values import LateHelp
from napari_nh2st.errors import Nh2stError, one_line, sentence_of
from napari_nh2st.terminal import enforced_ends, on_command_line, open_streams, say, was_interrupted

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Predicted gene expression on H&E slides with NH2ST: predictions, not measurements; for research use.",
)
for page in PAGES:
    app.command(page.command.__name__, cls=LateHelp, rich_help_panel=page.group, epilog=page.epilog)(
        everywhere(page.command)
    )

INTERRUPTED = 130
_BLAS_THREADS = 8


def _version(asked: bool) -> None:
    if asked:
        from napari_nh2st import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: DebugOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    version: Annotated[
        bool, typer.Option("-V", "--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    note(debug, quiet, verbose)


def program() -> None:
    """Run the command line as a process of its own, which leaves its memory to the system at the end.

    Python would free what torch and the other libraries hold piece by piece: a third of a second.
    """
    statuses: list[int] = []
    atexit.register(_leave, statuses)  # the first to be registered is the last to be called
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            statuses.append(end.code or 0)
        raise


def _leave(statuses: list[int]) -> None:
    """End the process; where what was printed cannot be written, or something else went wrong, Python ends it."""
    with suppress(OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if statuses:
            os._exit(statuses[0])


def main() -> None:
    """Run the command line; errors that a person can act on become one line."""
    # Before torch is loaded, and in our own process only: threads that spin while they wait made training six times
    # slower as soon as one other process wanted the processor.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Each of its threads takes memory of its own from the start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(min(_BLAS_THREADS, os.cpu_count() or 1)))
    open_streams()
    begin()
    with on_command_line(), enforced_ends():
        _run()


def _run() -> None:
    try:
        _has_a_place()
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            status = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped", INTERRUPTED)
    except USAGE as error:
        asked.as_json |= "--json" in sys.argv  # the line was not understood: nobody has looked for it
        if type(error).__name__ == "NoArgsIsHelpError":  # the help page is printed by then
            raise SystemExit(2) from None
        _fail(usage_sentence(error), 2)
    except (Nh2stError, OSError, MemoryError, RuntimeError, ImportError) as error:
        sentence = sentence_of(error)
        if asked.debug or sentence is None:
            raise
        _fail(sentence, INTERRUPTED if was_interrupted() else 1)
    if status == INTERRUPTED:
        _fail("stopped", INTERRUPTED)
    raise SystemExit(status or (INTERRUPTED if was_interrupted() else 0))


def _fail(sentence: str, status: int) -> NoReturn:
    """End with one line; a script that asked for JSON finds the same in one object."""
    say(f"error: {sentence}")
    if asked.as_json:
        print_json({"error": sentence, "status": status})
    raise SystemExit(status) from None


def _has_a_place() -> None:
    """Refuse to work in a folder that was removed: libraries end the process there, each in its own way."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise Nh2stError("the current folder was removed: go to another one (cd)") from None


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning of ours, or of a library that we called, on one line."""
    say(f"warning: {one_line(message)}")
