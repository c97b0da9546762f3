"""Lightning without its chatter."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch.utilities import rank_zero_only


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's banners and its advice about workers off a person's screen; warnings of ours stay."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning(\.|$)")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch(\.|$)")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def is_first_process() -> bool:
    """Tell whether this is the process that prepares and writes; others train along."""
    rank = getattr(rank_zero_only, "rank", 0) or 0
    return rank == 0 and os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")) == "0"
