"""The outcome of a comparison of models: the figures of each gene, and the layer of where they disagree. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import ref

import numpy as np

from napari_nh2st.analysis.model_comparison import ModelComparison, compare_predictions, disagreement_of
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.limits import Limits
from napari_nh2st.viewer.kit.long_work import Cancelled, Tell
from napari_nh2st.viewer.layers.context_effect import LOWER, RAISE, blue_to_orange, symmetric_limit
from napari_nh2st.viewer.layers.map_layer import Look
from napari_nh2st.viewer.layers.roles import Kind, map_role
from napari_nh2st.viewer.layers.tile_values import F32, TileValues
from napari_nh2st.viewer.models.messages import (
    TOO_MANY_TILES,
    agreement_words,
    disagreement_key,
    lacking_words,
    point_words,
)
from napari_nh2st.viewer.models.selection import ModelMap
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    import pandas as pd
    from napari.components import ViewerModel

_MOST_BYTES = 2**30  # of copies that are kept
_UNIT = "standard deviations"


class Compared:
    """Maps of several models on one slide, compared as they were at one time.

    Attributes
    ----------
    maps : tuple of ModelMap
    figures : ModelComparison
    table : DataFrame
        One row a gene.
    image : TileValues
        The layer of where they disagree, on the lattice with the largest tiles.
    """

    def __init__(
        self, viewer: ViewerModel, maps: tuple[ModelMap, ...], figures: ModelComparison, table: pd.DataFrame
    ) -> None:
        self.maps, self.figures, self.table = maps, figures, table
        self._counts = [len(each) for each in figures.predictions]
        lattice = maps[figures.common.coarsest].map
        self._cells = lattice.cells(figures.common.places)
        names = [each.name for each in maps]
        hashes = [each.map.provenance.get("model_hash") for each in maps]
        role = map_role(
            *(Kind.DISAGREEMENT, lattice, "disagreement of models, in standard deviations of each one"),
            title=self._title("gene"),
            models=names,
            model_hashes=hashes,
        )
        self._shown: tuple[str, F32] | None = None  # a gene, and what each model predicts of it at the common places
        own = ref(self)  # the layer may outlive the dock; what was compared need not

        def say(gene: str, cell: int) -> str:
            compared = own()
            return "" if compared is None else compared.words_at(gene, cell)

        role = replace(role, say=say)
        self.image = TileValues(viewer, role, Look(blue_to_orange() if len(maps) == 2 else "inferno"))

    @property
    def names(self) -> list[str]:
        """The models."""
        return [each.name for each in self.maps]

    @property
    def outdated(self) -> bool:
        """True if more is predicted by now, or less."""
        return any(each.map.count != count for each, count in zip(self.maps, self._counts, strict=True))

    def is_of(self, maps: Sequence[ModelMap]) -> bool:
        """Tell whether these very maps were compared, under these names."""
        return [(each.map, each.name) for each in self.maps] == [(each.map, each.name) for each in maps]

    def uses(self, gone: object) -> bool:
        """Tell whether a map, or a slide (its fingerprint), is in it."""
        return any(gone in (each.map, each.map.slide.get("fingerprint")) for each in self.maps)

    def words(self, gene: str) -> str:
        """Say how far the models agree about a gene."""
        if gene not in self.figures.rows:
            lacking = [each.name for each in self.maps if gene not in each.map.card.genes]
            return lacking_words(gene, lacking) if gene and lacking else ""
        at = list(self.table.index).index(gene)
        pcc, apart = (float(self.table[name].to_numpy()[at]) for name in ("PCC", "apart"))
        return agreement_words(gene, pcc, apart, len(self.figures))

    def disagreement(self, gene: str) -> F32 | None:
        """Work out what `draw` draws of a gene, None where one of the models does not predict it.

        Of very many tiles that takes longer than the window may wait: call it in a thread.
        """
        if gene not in self.figures.rows:
            return None
        values = self.figures.values(gene)
        self._shown = gene, values
        return disagreement_of(values)

    def words_at(self, gene: str, cell: int) -> str:
        """Say what the models predict at a cell of the layer, and how far they differ; empty off the common tiles."""
        shown = self._shown
        found = np.flatnonzero(self._cells == cell)
        if shown is None or shown[0] != gene or not len(found):
            return ""
        far = float(self.image.values.reshape(-1)[cell])
        return point_words(gene, self.names, shown[1][:, found[0]].tolist(), far)

    def draw(self, gene: str, values: F32 | None) -> None:
        """Draw where the models disagree about a gene."""
        lattice = self.image.map
        image = np.full((lattice.rows, lattice.columns), np.nan, dtype=np.float32)
        two = len(self.maps) == 2
        limits, label = Limits(-1.0, 1.0) if two else Limits(0.0, 1.0), ""
        if values is not None:
            image.reshape(-1)[self._cells] = values
            reach = symmetric_limit(values)
            limits = Limits(-reach if two else 0.0, reach)
            label = f"{gene}, {self._what}\n{_UNIT}"
        self.image.draw(image, limits, gene=gene, label=label)
        legend = disagreement_key(self.names, LOWER, RAISE) if two and label else ()
        self.image.describe(title=self._title(gene or "gene"), legend=legend)

    @property
    def _what(self) -> str:
        return "where models disagree" if len(self.maps) == 2 else f"{len(self.maps)} models, the farthest apart"

    def _title(self, gene: str) -> str:
        names = " and ".join(self.names) if len(self.maps) == 2 else f"{len(self.maps)} models"
        return f"{gene} · disagreement of {names}"


def check_room(maps: Sequence[ModelMap]) -> None:
    """Raise an Nh2stError where copies of the maps would take too much memory."""
    if sum(each.map.count * each.map.bytes_per_cell for each in maps) > _MOST_BYTES:
        raise Nh2stError(TOO_MANY_TILES)


def compare_maps(
    maps: Sequence[PredictedMap], names: Sequence[str], tell: Tell, cancelled: Cancelled
) -> tuple[ModelComparison, pd.DataFrame]:
    """Compare maps of one slide, gene by gene. Not on the GUI thread."""
    figures = compare_predictions([each.prediction() for each in maps], names)
    return figures, figures.table(tell=tell, cancelled=cancelled)
