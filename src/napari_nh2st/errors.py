"""Errors that a person can act on: one line that says what to do."""


class Nh2stError(Exception):
    """Base of all errors that are reported as one line, without a traceback."""


class SlideError(Nh2stError):
    """A slide cannot be opened or read."""


class MppNeeded(SlideError):
    """The slide has no believable pixel size: ask the caller."""


class SampleError(Nh2stError):
    """A sample sheet or one of its files cannot be used."""


class ModelError(Nh2stError):
    """A model folder is missing, damaged or does not fit."""


class Cancelled(Nh2stError):
    """The caller asked for a stop."""
