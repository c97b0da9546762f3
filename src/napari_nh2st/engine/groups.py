"""Groups of places that are predicted at once: what each place sees, and which blocks must be encoded first."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.embeddings import DenseEmbeddings, Embeddings
from napari_nh2st.engine.places import neighbourhood, shows_tissue, slide_box
from napari_nh2st.engine.windows import BlockIndex, Window
from napari_nh2st.errors import Cancelled
from napari_nh2st.geometry import NEIGHBOUR_STEPS, SELF, FloatArray, IntArray, TileSet

if TYPE_CHECKING:
    from napari_nh2st.model.card import Card
    from napari_nh2st.slides import Ground, Slide

# Side of a group, in model pixels; a smaller one where somebody is waiting.
GROUP, NEAR_GROUP = 1024, 256
# Places whose groups are laid out together: it bounds the memory that the layout takes.
PLACES_LAID_OUT = 400_000


@dataclass(frozen=True, eq=False)
class PlaceGroup:
    """Places that are predicted at once, with their surroundings.

    Attributes
    ----------
    indices : (k,) int64
        Positions among the places that were asked for.
    entries : (m, 2)
        Where embeddings are read: whole entries (int64), or positions between them (float64).
    own : (k,) int32
        Which entry is the place itself.
    nine : (k, 9) int32
        Which entries are its surroundings; its own where one is absent. (k, 1) for a model that sees no surroundings.
    present : as nine, bool
    blocks : frozenset of (row, column)
        Blocks that must be encoded first.
    """

    indices: IntArray
    entries: npt.NDArray[np.generic]
    own: npt.NDArray[np.int32]
    nine: npt.NDArray[np.int32]
    present: npt.NDArray[np.bool_]
    blocks: frozenset[BlockIndex]

    def without(self, absent: npt.NDArray[np.bool_]) -> PlaceGroup:
        """Take neighbours away: (k, 9), True where one is left out. The place itself stays."""
        present = self.present & ~absent
        present[:, SELF] = True
        return replace(self, present=present, nine=np.where(present, self.nine, self.own[:, None]))


class GroupLayout:
    """Finds what places of one slide see, as entries of its embeddings.

    Parameters
    ----------
    slide : Slide
    card : Card
    embeddings : Embeddings
    tissue : Ground
        Which neighbours are tissue.
    """

    def __init__(self, slide: Slide, card: Card, embeddings: Embeddings, tissue: Ground) -> None:
        self.slide, self.card, self.embeddings, self.tissue = slide, card, embeddings, tissue

    def groups(self, places: TileSet, focus: tuple[float, float] | None) -> Iterator[list[PlaceGroup]]:
        """Lay out all places, square by square of the lattice, at most some `PLACES_LAID_OUT` together.

        Parameters
        ----------
        places : TileSet
        focus : (x, y), optional
            Level-0 pixels: small groups, the nearest first. Else large ones, row by row.
        """
        batch, size = list[PlaceGroup](), 0
        for indices in squares(places, self.card.patch, GROUP if focus is None else NEAR_GROUP, focus):
            batch.append(self.group(places, indices))
            size += len(indices)
            if size >= PLACES_LAID_OUT:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def group(self, places: TileSet, indices: IntArray) -> PlaceGroup:
        """Lay out what some of the places see."""
        own = self.embeddings.entries(places.centres[indices])  # (k, 2)
        if not isinstance(self.embeddings, DenseEmbeddings):
            return self._alone(indices, own)
        step, rest = divmod(self.card.pitch, self.embeddings.spacing)
        if rest or (own != np.round(own)).any():
            return self._between_cells(self.embeddings, places.select(indices), indices)
        return self._on_cells(indices, own.astype(np.int64), step)

    def _on_cells(self, indices: IntArray, own: IntArray, step: int) -> PlaceGroup:
        """Places on the encoder's own cells share their surroundings: each cell is asked for once."""
        nine = own[:, None, :] + NEIGHBOUR_STEPS[None, :, ::-1] * step  # (k, 9, 2)
        inside = np.all((nine >= 0) & (nine < self.embeddings.shape), axis=2)
        nine = np.where(inside[..., None], nine, nine[:, SELF, None])
        across = self.embeddings.shape[1]
        flat, number = np.unique((nine[..., 0] * across + nine[..., 1]).ravel(), return_inverse=True)
        entries = np.stack(np.divmod(flat, across), axis=1)  # (m, 2)
        tissue = shows_tissue(self.slide, self.card, self.embeddings.centres(entries), self.tissue)
        number = number.reshape(-1, 9)
        present = inside & tissue[number]
        present[:, SELF] = True
        return self._compact(indices, entries, number, present)

    def _compact(
        self, indices: IntArray, entries: IntArray, number: IntArray, present: npt.NDArray[np.bool_]
    ) -> PlaceGroup:
        """Drop the entries that nobody sees, so that they are not encoded."""
        number = np.where(present, number, number[:, SELF, None])
        used, renumbered = np.unique(number.ravel(), return_inverse=True)
        nine = renumbered.reshape(-1, 9).astype(np.int32)
        entries = entries[used]
        return PlaceGroup(indices, entries, nine[:, SELF], nine, present, frozenset(self.embeddings.blocks(entries)))

    def _between_cells(self, embeddings: DenseEmbeddings, places: TileSet, indices: IntArray) -> PlaceGroup:
        """Spots that lie between cells: every place is interpolated for itself."""
        centres, present = neighbourhood(places, self.card, slide_box(self.slide), self.tissue)  # (k, 9, 2), (k, 9)
        entries = embeddings.entries(centres[present])
        number = np.full(present.shape, -1, dtype=np.int32)
        number[present] = np.arange(len(entries))
        own = number[:, SELF].copy()
        nine = np.where(present, number, own[:, None])
        blocks = frozenset(embeddings.blocks(embeddings.corners(entries)))
        return PlaceGroup(indices, entries, own, nine, present, blocks)

    def _alone(self, indices: IntArray, own: FloatArray) -> PlaceGroup:
        """Tiles of a patch encoder, which see nothing but themselves."""
        entries = np.round(own).astype(np.int64)
        number = np.arange(len(entries), dtype=np.int32)
        present = np.ones((len(entries), 1), dtype=bool)
        blocks = frozenset(self.embeddings.blocks(entries))
        return PlaceGroup(indices, entries, number, number[:, None], present, blocks)


class WaitingGroups:
    """Groups in the order in which they are wanted, until all that they see is encoded.

    Parameters
    ----------
    groups : sequence of PlaceGroup
    windows : sequence of Window
        What is going to be encoded.
    block : int
        Entries a side of a block.
    """

    def __init__(self, groups: Sequence[PlaceGroup], windows: Sequence[Window], block: int) -> None:
        self._groups, self._block = deque(groups), block
        self._coming = Counter(index for window in windows for index in window.blocks(block))

    def encoded(self, window: Window) -> None:
        """Take note that a window has been encoded."""
        self._coming.subtract(window.blocks(self._block))

    def ready(self, cancelled: Callable[[], bool]) -> Iterator[PlaceGroup]:
        """Take out and yield the groups that wait for nothing any more, in their order.

        Raises
        ------
        Cancelled
        """
        for _ in range(len(self._groups)):
            if cancelled():
                raise Cancelled("stopped")
            group = self._groups.popleft()
            if not any(self._coming[index] for index in group.blocks):
                yield group
            else:
                self._groups.append(group)


def squares(places: TileSet, patch: int, side: int, focus: tuple[float, float] | None) -> list[IntArray]:
    """Split places into squares of the lattice, row by row or from the focus outwards.

    Parameters
    ----------
    patch, side : int
        Of a place and of a square, in model pixels.
    focus : (x, y) or None
        Level-0 pixels.

    Returns
    -------
    list of (k,) int64
        Positions among the places.
    """
    if not len(places):
        return []
    step = max(1, side // places.pitch) * places.pitch
    corner = places.centres / places.scale - patch / 2
    square = np.floor(corner[:, ::-1] / step + 1e-6).astype(np.int64)
    _, owner = np.unique(square, axis=0, return_inverse=True)
    order = np.argsort(owner.ravel(), kind="stable")
    out = np.split(order, np.flatnonzero(np.diff(owner.ravel()[order])) + 1)
    if focus is not None:
        out.sort(key=lambda indices: float(np.hypot(*(places.centres[indices].mean(axis=0) - focus))))
    return out
