"""How unlike its training tissue a model finds tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import Cancelled

if TYPE_CHECKING:
    from napari_nh2st.engine.session import Session
    from napari_nh2st.geometry import TileSet
    from napari_nh2st.model.reference import Reference

_PIECE = 2048  # tiles between two looks at the clock


def novelty_of(
    session: Session,
    reference: Reference,
    places: TileSet,
    tell: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> npt.NDArray[np.float32]:
    """Compare places with the training tissue, (n,) as `Reference.novelty` has it; `tell` counts places.

    Raises
    ------
    Cancelled
    """
    parts: list[npt.NDArray[np.float32]] = []
    for start in range(0, len(places), _PIECE):
        if cancelled():
            raise Cancelled("stopped")
        some = places.select(np.arange(start, min(start + _PIECE, len(places))))
        parts.append(reference.novelty(session.embed(some, cancelled=cancelled)))
        tell(start + len(some), len(places))
    return np.concatenate(parts)
