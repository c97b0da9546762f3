"""The origin of an output: versions, machine and the command that repeats it. Standard library only."""

from __future__ import annotations

import functools
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "napari-nh2st"

# Packages that can change a number in an output.
_PACKAGES = (
    DISTRIBUTION,
    "torch",
    "lightning",
    "numpy",
    "scipy",
    "scikit-image",
    "zarr",
    "tifffile",
    "imagecodecs",
    "pillow",
    "safetensors",
    "anndata",
    "scanpy",
    "napari",
)


def versions() -> dict[str, str]:
    """Name the versions that an output depends on.

    Returns
    -------
    dict of str
        Distribution names, ``python`` and ``platform``; packages that are not installed are left out. The versions
        come from the installed metadata, without an import.
    """
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def printable(text: str) -> str:
    """Write a name of a file so that every text file can hold it: bytes that are no UTF-8 by their number."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


_command: ContextVar[str | None] = ContextVar("command", default=None)


@contextmanager
def working_for(command: str) -> Iterator[None]:
    """Have `repeat_command` name a command of another process, for which this one works."""
    token = _command.set(command)
    try:
        yield
    finally:
        _command.reset(token)


def repeat_command(argv: Sequence[str] | None = None) -> str:
    """Return the shell command that runs this again.

    Parameters
    ----------
    argv : sequence of str, optional
        Program and arguments, `sys.argv` by default. The program's folder is dropped.

    Returns
    -------
    str
        Quoted for a POSIX shell.
    """
    if argv is None and (command := _command.get()) is not None:
        return command
    words = list(sys.argv if argv is None else argv)
    if not words:
        return ""
    program = Path(words[0]).name
    if program in {"__main__.py"}:
        program = "nh2st"
    return printable(shlex.join([program, *words[1:]]))
