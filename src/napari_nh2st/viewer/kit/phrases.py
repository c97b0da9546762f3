"""Numbers, times and errors in words, for any room."""

from __future__ import annotations

from datetime import datetime

from napari_nh2st.errors import Nh2stError

# The words beside a figure explained, as in `model.trust_words`.
COLOUR_RIDGE_MEANS = "Colour ridge: a simple model that sees only the tissue's colours. A useful model beats it."


def clock(seconds: float | None) -> str:
    """Write a duration as people read it, 0:07 or 1:02:40; nothing where it is not known."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def when(moment: float | None, now: float) -> str:
    """Write a moment (seconds since 1970) as people say it, today 09:40; nothing where it is not known."""
    if moment is None:
        return ""
    try:
        then, today = datetime.fromtimestamp(moment), datetime.fromtimestamp(now).date()
    except (ValueError, OverflowError, OSError):  # of a damaged file
        return ""
    days = (today - then.date()).days
    day = {0: "today", 1: "yesterday"}.get(days, f"{then.day} {then:%b}" if 0 < days < 300 else f"{then:%Y-%m-%d}")
    return f"{day} {then:%H:%M}"


def count(n: int, what: str) -> str:
    """Write a count: 1 tile, 1,200 tiles."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def short(figure: float) -> str:
    """Write a correlation in three digits: 0.291, -0.012."""
    return f"{figure:z.3f}"


def signed(change: float) -> str:
    """Write a change with its sign; what rounds to nothing is +0.00, never -0.00."""
    return f"{change:+z.2f}"


def sentence(text: str) -> str:
    """Write a clause as a sentence: with a capital, which a file's name does not get, and a full stop."""
    named = "." in text.partition(" ")[0].rstrip(".,:;")
    begun = text if named else f"{text[:1].upper()}{text[1:]}"
    return begun if not begun or begun.endswith((".", "!", "?", "…")) else f"{begun}."


def error_words(error: Exception | None) -> str:
    """Write an error for a person: ours are sentences, others are named."""
    if isinstance(error, Nh2stError):
        return str(error)
    if isinstance(error, MemoryError):
        return "the machine ran out of memory; close other programs, or predict a smaller part"
    if error is None:
        return "no reason was given"
    return f"{type(error).__name__}: {error} (see Details)"
