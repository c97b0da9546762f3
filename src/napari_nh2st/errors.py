"""Errors that a person can act on: one line that says what to do."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

_LONGEST = 2000
_ONE_SLASH = re.compile(r"\b((?:https?|s3):)/(?=[^/])")  # `Path` makes one slash of the two of an address


def one_line(text: object, longest: int = _LONGEST) -> str:
    """Write a text from elsewhere on one line that a terminal only prints: without control characters, and cut."""
    # Not printable: line ends, what a terminal obeys (escape sequences), marks that turn the direction of writing.
    line = "".join(c if c.isprintable() else "\0" for c in str(text)[: 4 * longest])
    line = _ONE_SLASH.sub(r"\1//", re.sub("\0+", " ", line)).strip()
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


class Nh2stError(Exception):
    """Base of all errors that are reported as one line, without a traceback."""

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(message))


class SlideError(Nh2stError):
    """A slide cannot be opened or read."""


class UnknownFormat(SlideError):
    """A file that no format recognises. `brief` says it without each format's reason."""

    def __init__(self, path: object, reasons: Sequence[str]) -> None:
        super().__init__(self._words(path, f" ({'; '.join(reasons)})"))
        self.brief = one_line(self._words(path, ""))

    @staticmethod
    def _words(path: object, why: str) -> str:
        return f"{path} is not a slide of a known format{why}: convert it to OME-TIFF or PNG"


class ForeignSlide(SlideError):
    """A slide of a format that is not read here, and of which others may show an overview or overlapping tiles."""


class TilesOverlap(ForeignSlide):
    """A TIFF whose tiles overlap: laid side by side, they show tissue twice."""


class OtherImage(SlideError):
    """An image that is no slide: a mask, a stack, channels, or one of several files. Other readers show it as it is."""


class SlideAway(SlideError):
    """A slide that was open is out of reach; it may come back, as on a network drive."""


class MppNeeded(SlideError):
    """The slide has no believable pixel size: ask the caller."""


class SampleError(Nh2stError):
    """A sample sheet or one of its files cannot be used."""


class ModelError(Nh2stError):
    """A model folder is missing, damaged or does not fit."""


class UnknownGene(Nh2stError, KeyError):
    """The model does not predict a gene of that name; the line names those that are written alike."""

    def __str__(self) -> str:
        return str(self.args[0])  # not KeyError's, which puts it in quotes


class NoTissue(SlideError):
    """There is nothing to predict: the slide, or the part of it that was asked for, shows no tissue."""


class Cancelled(Nh2stError):
    """The caller asked for a stop."""


class Nh2stWarning(UserWarning):
    """A sentence that a person must know before they believe a result; the command line prints the same ones."""


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
    return _words_of(error) or " ".join(str(error).split()) or type(error).__name__


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
