"""Options that stand anywhere on the line: before the command or after it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import typer

from napari_nh2st.terminal import Loudness, set_loudness

PANEL = "Everywhere"
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=PANEL, show_default=False)
]
QuietOption = Annotated[
    bool,
    typer.Option("-q", "--quiet", help="No progress and no notes; warnings and errors stay.", rich_help_panel=PANEL),
]
VerboseOption = Annotated[
    bool,
    typer.Option("-v", "--verbose", help="Begin each line of progress with the time since the start.",
                 rich_help_panel=PANEL),
]  # fmt: skip
_HINTS = {"debug": DebugOption, "quiet": QuietOption, "verbose": VerboseOption}


@dataclass
class Asked:
    """Options that hold for this whole run of the command line."""

    debug: bool = False
    as_json: bool = False


asked = Asked()


def begin() -> None:
    """Forget what an earlier run in this process was asked for."""
    asked.debug = asked.as_json = False
    set_loudness(Loudness.NORMAL)


def note(debug: bool, quiet: bool, verbose: bool) -> None:
    """Take up options that stand before the command or after it."""
    if quiet and verbose:
        raise typer.BadParameter("give either -q or -v", param_hint="-q")
    asked.debug |= debug
    if quiet or verbose:
        set_loudness(Loudness.QUIET if quiet else Loudness.VERBOSE)


def everywhere(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options."""

    @functools.wraps(command)
    def run(*, debug: bool, quiet: bool, verbose: bool, **options: Any) -> None:
        note(debug, quiet, verbose)
        asked.as_json = bool(options.get("as_json"))
        command(**options)

    hints = {**get_type_hints(command, include_extras=True), **_HINTS}
    own = [p.replace(annotation=hints[n]) for n, p in inspect.signature(command).parameters.items()]
    more = [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=h) for n, h in _HINTS.items()
    ]
    run.__annotations__ = hints
    run.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
    return run
