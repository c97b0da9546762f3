"""Artefacts of a section: a table of their kinds, and a coarse map of where they are.

The kinds are those that HistoQC (Janowczyk et al., JCO Clinical Cancer Informatics 2019) reports. The rules are in
`artefact_rules`; no weights are learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_nh2st.slides.tissue import FloatArray, Ground, Mask, TissueMask

Labels = npt.NDArray[np.uint8]

ARTEFACT_UM = 8.0
"""Micrometres per pixel of the map, at any slide's pixel size."""

RULES_VERSION = 1
"""To be raised whenever the same slide would give another map: a prediction that leaves artefacts out depends on it."""

LIMIT = 0.25
"""A tile of which artefacts cover a larger part is left out, where they are to be left out."""


@dataclass(frozen=True)
class Kind:
    """One kind of artefact.

    Attributes
    ----------
    name : str
        In JSON, in files and in Python.
    title : str
        In the window.
    about : str
        What it looks for.
    colour : str
        In the window and in pictures.
    method : str
        Its rule, and where that comes from.
    """

    name: str
    title: str
    about: str
    colour: str
    method: str


KINDS = (
    Kind(
        name="pen",
        title="pen",
        about="blue, green and black ink; red ink looks like eosin",
        colour="#2e6f40",
        method="more density in red than in green, or the same high density in all colours",
    ),
    Kind(
        name="fold",
        title="folds",
        about="bands of tissue that lies on tissue",
        colour="#e4572e",
        method="saturation minus intensity above its surroundings, in a band (Palokangas et al., EMBC 2007)",
    ),
    Kind(
        name="bubble",
        title="bubbles",
        about="air under the coverslip: a thin grey rim round a bright disc",
        colour="#3fa7d6",
        method="a closed thin line of the same density in all colours round a bright, even, round field",
    ),
    Kind(
        name="blur",
        title="out of focus",
        about="fields without fine detail",
        colour="#f2c14e",
        method="energy of the Laplacian beside that of coarser detail (Pech-Pacheco et al., ICPR 2000)",
    ),
)
"""Where two meet, the first of them counts. Label k of a map is kind k - 1."""


@dataclass(frozen=True, eq=False)
class ArtefactMap:
    """A coarse map of artefacts.

    Attributes
    ----------
    labels : (h, w) uint8
        0 where there is none, else 1 + the place of the kind in `KINDS`. Pixel (i, j) covers level-0 rows
        [i, i + 1) * step and columns [j, j + 1) * step.
    step : float
        Level-0 pixels per pixel of the map.
    ground : int
        How many of its pixels are tissue, or covered by an artefact beside it.
    kinds : tuple of str
        Names of the kinds that were looked for.
    remark : str
        A sentence on what could not be looked for, or "".
    """

    labels: Labels
    step: float
    ground: int
    kinds: tuple[str, ...] = tuple(kind.name for kind in KINDS)
    remark: str = ""

    @property
    def shares(self) -> dict[str, float]:
        """The share of the tissue that each kind covers, 0 to 1, of the kinds that were looked for."""
        counts = np.bincount(self.labels.ravel(), minlength=len(KINDS) + 1)
        ground = max(1, self.ground)
        return {kind.name: int(counts[k]) / ground for k, kind in enumerate(KINDS, 1) if kind.name in self.kinds}

    def shares_at(self, centres: npt.ArrayLike, side: float) -> FloatArray:
        """Return the share of each kind in squares of a side around places, both in level-0 pixels.

        Returns
        -------
        (n, kinds) float64
            In the order of `KINDS`.
        """
        places = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
        out = np.zeros((len(places), len(KINDS)))
        for k in range(len(KINDS)):
            there = self.labels == k + 1
            if there.any():
                out[:, k] = self._mask(there).fraction_at(places, side)
        return out

    def any(self) -> TissueMask:
        """Return where there is an artefact of any kind."""
        return self._mask(self.labels > 0)

    def _mask(self, there: Mask) -> TissueMask:
        return TissueMask(there, (self.step, self.step))


class CleanTissue:
    """Tissue without the places that artefacts cover.

    Parameters
    ----------
    tissue : Ground
    artefacts : ArtefactMap
    limit : float
        A square of which artefacts cover a larger part has no tissue.
    """

    def __init__(self, tissue: Ground, artefacts: ArtefactMap, limit: float = LIMIT) -> None:
        self._tissue, self._covered, self._limit = tissue, artefacts.any(), limit

    def fraction_at(self, centres: npt.ArrayLike, side: float) -> FloatArray:
        """Return the share of tissue in a square around each place; see `TissueMask.fraction_at`."""
        covered = self._covered.fraction_at(centres, side)
        return np.where(covered > self._limit, 0.0, self._tissue.fraction_at(centres, side))


def count_kinds(shares: FloatArray, limit: float = LIMIT) -> dict[str, int]:
    """Count places by the kind that covers most of them, of those that all kinds together cover beyond a limit.

    Parameters
    ----------
    shares : (n, kinds)
        As `ArtefactMap.shares_at` gives them.
    limit : float
    """
    covered = shares[shares.sum(axis=1) > limit]
    most = np.bincount(covered.argmax(axis=1), minlength=len(KINDS)) if len(covered) else np.zeros(len(KINDS), int)
    return {kind.name: int(n) for kind, n in zip(KINDS, most, strict=True)}


def rounded_shares(shares: Mapping[str, float]) -> dict[str, float]:
    """Return shares as JSON and provenance have them: to a hundredth of a percent."""
    return {name: round(share, 4) for name, share in shares.items()}


def shares_in_words(artefacts: ArtefactMap) -> str:
    """Say what share of the tissue each kind covers; what covers less than a thousandth is none."""
    there = [
        f"{kind.title} {artefacts.shares[kind.name]:.1%}"
        for kind in KINDS
        if artefacts.shares.get(kind.name, 0) >= 5e-4
    ]
    return ", ".join(there) or artefacts.remark or "none found"


def counts_in_words(counts: Mapping[str, int]) -> str:
    """Say how many tiles each kind covers: "12 (pen 10, folds 2)"."""
    total = sum(counts.values())
    kinds = ", ".join(f"{kind.title} {counts[kind.name]}" for kind in KINDS if counts.get(kind.name))
    return f"{total} ({kinds})" if total else "0"
