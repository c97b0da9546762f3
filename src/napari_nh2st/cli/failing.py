"""Errors as one line, and as one JSON object for scripts."""

from __future__ import annotations

import errno

import typer

from napari_nh2st.errors import Nh2stError, one_line

# typer.BadParameter's base: wrong usage of any kind. Typer itself gives it no public name.
USAGE: type[Exception] = typer.BadParameter.__bases__[0]

_SHORT = (
    "there is not enough memory: close other programs, or do less at once "
    "(--region, a larger --pitch, fewer --genes); what was finished is kept"
)
_ADVICE = {
    errno.EACCES: "is not yours to read or write: choose another place, or ask its owner for permission",
    errno.EPERM: "is not yours to change: choose another place, or ask its owner for permission",
    errno.EROFS: "is on a read-only drive: choose another place",
    errno.ENAMETOOLONG: "has too long a name: choose a shorter one",
    errno.ELOOP: "is a link that leads back to itself: remove it",
}


def sentence_of(error: BaseException) -> str | None:
    """Say what a person can do about an error; None if nothing."""
    if _is_short_of_memory(error):
        return _SHORT
    if not isinstance(error, Nh2stError | OSError):
        return None
    return _words_of(error) or " ".join(str(error).split())


def usage_sentence(error: Exception) -> str:
    """Say what is wrong with the words of a command, and where all of them are listed."""
    hint, message = getattr(error, "param_hint", None), str(getattr(error, "message", error))
    words = f"{hint}: {message}" if isinstance(hint, str) and message else str(error.format_message())  # type: ignore[attr-defined]
    command = getattr(getattr(error, "ctx", None), "command_path", "nh2st")
    return one_line(f"{words.rstrip('.')} ({command} --help)")


def _is_short_of_memory(error: BaseException) -> bool:
    """Tell whether Python, torch or the loader of a library found no memory."""
    words = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (not isinstance(error, Nh2stError) and "alloc" in words and "memory" in words)
        or "failed to map segment" in words
    )


def _words_of(error: BaseException) -> str | None:
    """Say what to do about an error of the system."""
    if not isinstance(error, OSError):
        return None
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        where = f" that holds {error.filename}" if error.filename else ""
        return f"the disk{where} is full: free some space, then repeat the command; what was finished is kept"
    advice = _ADVICE.get(error.errno or 0)
    return f"{error.filename} {advice}" if advice and error.filename else None
