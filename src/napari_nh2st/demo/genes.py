"""The invented genes of the procedural tissue, and their true expression at any place.

Two groups. An `own` gene depends on the patch itself (a square of `PATCH` um around the place). A `context` gene
depends on the eight patches around it, at `PITCH` um, and on nothing in the patch itself: the small structures that
drive it are scattered evenly and independently, so the patch alone says almost nothing about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_nh2st.demo.fields import STEP, Float64, Summed, count_map
from napari_nh2st.demo.layout import NUCLEI, STRUCTURES, Layout
from napari_nh2st.geometry import NEIGHBOUR_STEPS, SELF

PATCH = 112.0
"""Side of a patch, um."""

PITCH = 144.0
"""Distance between the centres of neighbouring patches, um."""

RANGE = (0.1, 6.0)
"""Bounds of a true label, ln(1 + counts per 10,000)."""


@dataclass(frozen=True)
class Gene:
    """An invented gene: label = base + sum of weight x amount.

    Amounts: of ground ("tumour", "stroma", "fat") fractions of the patch; of nuclei ("tumour nuclei", "stroma nuclei",
    "immune nuclei") hundreds in the patch; of structures their number in the patch.
    """

    name: str
    group: Literal["own", "context"]
    base: float
    weights: Mapping[str, float]


OWN_GENES = (
    Gene("DEMO-TUMORIN", "own", 1.6, {"tumour": 2.4}),
    Gene("DEMO-NESTALIN", "own", 1.3, {"tumour nuclei": 3.6}),
    Gene("DEMO-STROMIN", "own", 1.5, {"stroma": 2.2}),
    Gene("DEMO-FIBRALIN", "own", 1.6, {"stroma nuclei": 7.5, "stroma": 0.6}),
    Gene("DEMO-IMMUNIN", "own", 1.6, {"immune nuclei": 2.6}),
    Gene("DEMO-LYMPHALIN", "own", 1.5, {"lymphoid": 1.5, "immune nuclei": 0.8}),
    Gene("DEMO-ADIPALIN", "own", 1.6, {"fat": 3.2}),
    Gene("DEMO-NUCLEIN", "own", 1.2, {"tumour nuclei": 2.0, "immune nuclei": 2.0, "stroma nuclei": 2.0}),
    Gene("DEMO-BORDERIN", "own", 1.7, {"tumour": 1.3, "immune nuclei": 1.7}),
    Gene("DEMO-VASCULIN", "own", 1.7, {"vessel": 1.5, "stroma": 0.6}),
    Gene("DEMO-GLANDULIN", "own", 1.7, {"gland": 1.5, "tumour": 0.5}),
    Gene("DEMO-CALCIFIN", "own", 1.9, {"calcification": 1.6}),
    Gene("DEMO-PIGMENTIN", "own", 1.9, {"pigment": 1.6}),
)

CONTEXT_GENES = (
    Gene("DEMO-NEARVESSEL", "context", 1.5, {"vessel": 4.4}),
    Gene("DEMO-NEARGLAND", "context", 1.5, {"gland": 4.4}),
    Gene("DEMO-NEARLYMPH", "context", 1.5, {"lymphoid": 4.4}),
    Gene("DEMO-NEARCALC", "context", 1.5, {"calcification": 4.4}),
    Gene("DEMO-NEARPIGMENT", "context", 1.5, {"pigment": 4.4}),
    Gene("DEMO-PERFUSIN", "context", 2.6, {"vessel": 3.8, "calcification": -2.6}),
    Gene("DEMO-SECRETIN", "context", 1.3, {"gland": 3.4, "vessel": 2.6}),
    Gene("DEMO-SENTRIN", "context", 2.6, {"lymphoid": 3.8, "pigment": -2.6}),
    Gene("DEMO-SCARALIN", "context", 1.3, {"calcification": 3.4, "pigment": 2.8}),
    Gene("DEMO-CROWDIN", "context", 1.2, {"gland": 2.6, "lymphoid": 2.6, "pigment": 2.2}),
)

GENES = OWN_GENES + CONTEXT_GENES


@dataclass(frozen=True, eq=False)
class Amounts:
    """Amounts of everything in the squares of a section; see `Gene` for units."""

    tables: dict[str, Summed]

    @classmethod
    def of(cls, layout: Layout) -> Amounts:
        """Sum up a layout."""
        tissue, tumour, fat = (np.clip(f / STEP + 0.5, 0, 1) for f in (layout.tissue, layout.tumour, layout.fat))
        tumour, fat = tumour * tissue, fat * tissue * (1 - tumour)
        cell = (STEP / PATCH) ** 2
        ground = {"tissue": tissue, "tumour": tumour, "fat": fat, "stroma": tissue - tumour - fat}
        tables = {name: Summed.of(cells * cell) for name, cells in ground.items()}
        for kind in NUCLEI:
            tables[f"{kind} nuclei"] = Summed.of(count_map(layout.nuclei[kind], layout.shape) / 100)
        for kind in STRUCTURES:
            tables[kind] = Summed.of(count_map(layout.structures[kind], layout.shape))
        return cls(tables)

    def own(self, name: str, centres: Float64) -> Float64:
        """Amount in the patches around (n, 2) centres (x, y), um."""
        return self.tables[name].square(centres, PATCH)

    def around(self, name: str, centres: Float64) -> Float64:
        """Amount per patch of tissue in the eight patches around (n, 2) centres (x, y), um."""
        steps = np.delete(NEIGHBOUR_STEPS, SELF, axis=0) * PITCH
        places = (centres[:, None, :] + steps).reshape(-1, 2)
        amount, tissue = (self.tables[n].square(places, PATCH).reshape(-1, 8) for n in (name, "tissue"))
        covered: Float64 = amount.sum(axis=1) / np.maximum(tissue.sum(axis=1), 1.0)
        return covered

    def truth(self, centres: Float64, genes: tuple[Gene, ...] = GENES) -> Float64:
        """Compute the true expression (n, G), ln(1 + counts per 10,000), at (n, 2) centres (x, y), um."""
        out = np.empty((len(centres), len(genes)))
        for column, gene in enumerate(genes):
            amount = self.own if gene.group == "own" else self.around
            out[:, column] = gene.base
            for name, weight in gene.weights.items():
                out[:, column] += weight * amount(name, centres)
        return np.clip(out, *RANGE)
