"""The contract for other people's models, in one class: docs/predictors.md. NumPy only.

A model that keeps to it is listed, loaded and drawn like ours: `model.predictors` finds it, `model.models` loads it and
`engine.predictor_session` asks it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from napari_nh2st import targets

LN1P_CP10K = targets.LN1P_CP10K.unit
"""The unit of measured values, and of our models: errors, not only correlations, can be compared in it."""


@dataclass(frozen=True)
class Tiles:
    """The predictor needs pixels.

    Attributes
    ----------
    size : int
        Side of a tile in pixels.
    mpp : float
        Micrometres per pixel: slides are read at this scale, whatever their own.
    neighbours : bool
        It needs the eight tiles round a tile, too.
    distance : int, optional
        From a tile to its neighbours, and between tiles of the coarse map, in pixels of `mpp`; `size` by default.
    whole_slide : bool
        It needs all tissue tiles of a slide in one batch.

    Examples
    --------
    >>> Tiles(size=256, mpp=0.5).neighbours
    False
    """

    size: int
    mpp: float
    neighbours: bool = False
    distance: int | None = None
    whole_slide: bool = False


@dataclass(frozen=True)
class Embeddings:
    """The predictor needs what an encoder of ours sees.

    Attributes
    ----------
    model : str
        The encoder's model: a bundled one, or a model folder.
    neighbours, whole_slide : bool
        As in `Tiles`; neighbours at the distance of that model.

    Examples
    --------
    >>> Embeddings("her2st").model
    'her2st'
    """

    model: str
    neighbours: bool = False
    whole_slide: bool = False


Needs = Tiles | Embeddings


class Inputs(Protocol):
    """Tiles or embeddings: an array, or something that reads one when it is sliced."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> npt.NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class Batch:
    """Places that a predictor is asked about.

    Attributes
    ----------
    inputs : array
        Tiles (n, size, size, 3) uint8, RGB; with neighbours (n, 9, size, size, 3). Embeddings (n, d) float32; with
        neighbours (n, 9, d). Of a whole slide, only ``inputs[a:b]`` is an array: it is read then.
    present : (n, 9) bool
        Which of the nine places show tissue: row by row from the top left, [:, 4] is the place itself and always True.
        The others are white, or zeros, in `inputs`. Without neighbours, all others are False.
    centres : (n, 2) float64
        (x, y) of the places in micrometres from the slide's top left corner.

    Examples
    --------
    >>> len(Batch(np.zeros((2, 64, 64, 3), np.uint8), np.zeros((2, 9), bool), np.zeros((2, 2))))
    2
    """

    inputs: Any
    present: npt.NDArray[np.bool_]
    centres: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.centres)


class Predictor(ABC):
    """Someone else's model. Making one must be quick: no weights, no torch.

    Attributes
    ----------
    name : str
        In lists, and for ``--model``; the name of its entry point, if it has one.
    version : str
        Another version never goes on with the results of this one.
    genes : sequence of str
        Symbols, each once, in the order of `predict`'s columns.
    unit : str
        Of the values, as colour bars show it: `LN1P_CP10K` if it is that of our models.
    needs : Tiles or Embeddings
    about, tissue, cite, licence : str
        What it is, what tissue it was trained on, how to cite it, under which licence it may be used.
    files : sequence of Path
        Weights and settings that it reads: if one changes, it counts as another model.
    batch_size : int
        Most places in a batch; it shrinks where memory is short.

    Examples
    --------
    >>> class Pink(Predictor):
    ...     name, version, genes, unit = "pink", "1", ["PINK"], "a share"
    ...     needs = Tiles(size=64, mpp=1.0)
    ...
    ...     def predict(self, batch):
    ...         return batch.inputs.mean(axis=(1, 2, 3))[:, None] / 255
    >>> Pink()
    Pink('pink')
    """

    name: str
    version: str
    genes: Sequence[str]
    unit: str
    needs: Needs
    about: str = ""
    tissue: str = ""
    cite: str = ""
    licence: str = "unknown"
    files: Sequence[Path] = ()
    batch_size: int = 32

    OPTIONAL: ClassVar[tuple[str, ...]] = ("about", "tissue", "cite", "licence")

    def load(self, device: str) -> None:  # noqa: B027 (a model may have nothing to load)
        """Get ready on a device, such as "cpu", "cuda:1" or "mps". Import torch and read weights here.

        Called off the window's thread, before `predict`, and again where another device is chosen.
        """

    @abstractmethod
    def predict(self, batch: Batch) -> npt.NDArray[Any]:
        """Return the expression (n, G) of a batch's places, finite numbers, in `unit`.

        A place's answer may not depend on the others of the batch, unless the predictor needs the whole slide. Never
        called twice at once.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self, 'name', '')!r})"
