"""Errors that a person can act on: one line that says what to do."""

import re

_LONGEST = 2000
# Line ends, what a terminal obeys (escape sequences), and marks that turn the direction of writing.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def one_line(text: object, longest: int = _LONGEST) -> str:
    """Write a text from elsewhere on one line that a terminal only prints: without control characters, and cut."""
    line = _UNPRINTABLE.sub(" ", str(text)[: 4 * longest]).strip()
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


class Nh2stError(Exception):
    """Base of all errors that are reported as one line, without a traceback."""

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(message))


class SlideError(Nh2stError):
    """A slide cannot be opened or read."""


class ForeignSlide(SlideError):
    """A slide of a format that is not read here, and of which others may show an overview or overlapping tiles."""


class MppNeeded(SlideError):
    """The slide has no believable pixel size: ask the caller."""


class SampleError(Nh2stError):
    """A sample sheet or one of its files cannot be used."""


class ModelError(Nh2stError):
    """A model folder is missing, damaged or does not fit."""


class Cancelled(Nh2stError):
    """The caller asked for a stop."""
