"""Wrong usage as one line."""

from __future__ import annotations

import typer

from napari_nh2st.errors import one_line

# typer.BadParameter's base: wrong usage of any kind. Typer itself gives it no public name.
USAGE: type[Exception] = typer.BadParameter.__bases__[0]


def usage_sentence(error: Exception) -> str:
    """Say what is wrong with the words of a command, and where all of them are listed."""
    hint, message = getattr(error, "param_hint", None), str(getattr(error, "message", error))
    words = f"{hint}: {message}" if isinstance(hint, str) and message else str(error.format_message())  # type: ignore[attr-defined]
    command = getattr(getattr(error, "ctx", None), "command_path", "nh2st")
    return one_line(f"{words.rstrip('.')} ({command} --help)")
