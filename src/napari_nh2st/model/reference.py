"""A reference of the training tissue: `reference.safetensors` in the model folder. NumPy only.

A tile is compared with it by the Mahalanobis distance of its embedding, with Ledoit and Wolf's shrunk covariance (J.
Multivar. Anal. 2004), once for each part of an embedding: what the encoder sees, and how the tissue is stained.
A distance of 1 is exceeded by only 1% of the tiles that were held out of the training tissue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import ModelError, Nh2stError
from napari_nh2st.reading import reason

REFERENCE = "reference.safetensors"
UNUSUAL, UNLIKE = 1.0, 1.5
"""A tile farther than `UNUSUAL` is farther than 99% of held-out training tiles; hardly one is farther than `UNLIKE`."""

FEWEST = 100  # training tiles below which nothing can be said
_FOLDS, _SIDES = 4, 4  # a section is cut into 4 x 4 blocks; those of a fold are nowhere neighbours
_SHARE = 99.0
_FLAT = 0.05
_VERSION = "1"

F32 = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Part:
    """One part of an embedding, entries `start` to `stop`.

    Attributes
    ----------
    mean : (k,) float32
        Over the training tiles.
    turn : (k, k) float16
        ``(x / std - mean / std) @ turn`` has the identity as its covariance.
    std : (k,) float32
    usual : float
        The distance that is 1.
    """

    start: int
    stop: int
    mean: F32
    std: F32
    turn: npt.NDArray[np.float16]
    usual: float

    def distance(self, embeddings: npt.NDArray[np.floating]) -> F32:
        """Mahalanobis distance (n,) of embeddings (n, d)."""
        flat = (embeddings[:, self.start : self.stop].astype(np.float32) - self.mean) / self.std
        out: F32 = np.linalg.norm(flat @ self.turn.astype(np.float32), axis=1)
        return out


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference of a model's training tissue.

    Attributes
    ----------
    parts : sequence of Part
    colours : (s, 3) float32
        Mean optical density of the tissue of every training section: red, green, blue.
    tiles : int
        Number of training tiles that it was made from.
    """

    parts: Sequence[Part]
    colours: F32
    tiles: int

    @property
    def dim(self) -> int:
        """Length of the embeddings that it takes."""
        return self.parts[-1].stop

    def novelty(self, embeddings: npt.NDArray[np.floating]) -> F32:
        """Return how unlike training tissue tiles are.

        Parameters
        ----------
        embeddings : (n, d) float
            From `Session.embed` of the same model.

        Returns
        -------
        (n,) float32
            Only 1% of held-out training tiles exceed 1; see `UNUSUAL` and `UNLIKE`. NaN where an embedding is NaN.

        Raises
        ------
        Nh2stError
            If the embeddings are another model's.
        """
        if embeddings.shape[1] != self.dim:
            raise Nh2stError(
                f"the record of the training tissue ({REFERENCE}) is not this model's: remove it, or train again"
            )
        out: F32 = np.max([part.distance(embeddings) / np.float32(part.usual) for part in self.parts], axis=0)
        return out


def fit_reference(
    embeddings: npt.NDArray[np.floating],
    centres: FloatArray,
    section: npt.NDArray[np.integer],
    colours: npt.NDArray[np.floating],
    *,
    patch: float,
    cut: int | None = None,
) -> Reference | None:
    """Describe training tissue.

    Each section is cut into 4 x 4 blocks in four folds. The unit of distance comes from the tiles of each fold,
    compared with the other folds without the tiles that overlap it: a model has seen its training tissue, but a slide
    to be judged is new.

    Parameters
    ----------
    embeddings : (n, d) float
        Of training tiles.
    centres : (n, 2) float64
        (x, y), in any unit.
    section : (n,) int
        Section of each tile.
    colours : (s, 3) float
        Mean optical density of the sections' tissue.
    patch : float
        Side of a tile in the unit of `centres`.
    cut : int, optional
        Entry of an embedding at which the stain statistics begin; by default an embedding is one part.

    Returns
    -------
    Reference or None
        None if there are fewer than `FEWEST` tiles.
    """
    if len(embeddings) < FEWEST:
        return None
    folds = list(_folds(centres, section, patch))
    bounds = [0, embeddings.shape[1]] if cut is None else [0, cut, embeddings.shape[1]]
    parts = [Part(a, b, *_whiten(embeddings[:, a:b]), usual=1.0) for a, b in pairwise(bounds)]
    # The larger of two distances exceeds 1 more often than each of them, so the unit is set for both together.
    held_out = [_held_out_distances(embeddings[:, part.start : part.stop], folds) for part in parts]
    usual = [float(np.percentile(found, _SHARE)) for found in held_out]
    both = float(np.percentile(np.max([d / u for d, u in zip(held_out, usual, strict=True)], axis=0), _SHARE))
    settled = [
        Part(p.start, p.stop, p.mean, p.std, p.turn, u * both) for p, u in zip(parts, usual, strict=True)
    ]  # fmt: skip
    return Reference(settled, np.asarray(colours, dtype=np.float32).reshape(-1, 3), len(embeddings))


def _whiten(x: npt.NDArray[np.floating]) -> tuple[F32, F32, npt.NDArray[np.float16]]:
    from sklearn.covariance import LedoitWolf

    x = x.astype(np.float64)
    mean, std = x.mean(axis=0), x.std(axis=0)
    std = np.maximum(std, _FLAT * np.median(std) + 1e-6)  # channels that no training tile wakes
    precision = LedoitWolf(assume_centered=True).fit((x - mean) / std).precision_
    turn = np.linalg.cholesky(precision + 1e-9 * np.trace(precision) / len(precision) * np.eye(len(precision)))
    return mean.astype(np.float32), std.astype(np.float32), turn.astype(np.float16)


def _folds(centres: FloatArray, section: npt.NDArray[np.integer], patch: float) -> list[tuple[Bools, Bools]]:
    """Return (held out, trained on) of every fold that has both."""
    from scipy.spatial import cKDTree

    fold = np.zeros(len(centres), dtype=np.int64)
    for one in np.unique(section):
        mine = section == one
        inner = np.arange(1, _SIDES) / _SIDES
        across, down = (np.searchsorted(np.quantile(centres[mine, i], inner), centres[mine, i]) for i in (0, 1))
        fold[mine] = down % 2 * 2 + across % 2
    out = []
    for k in range(_FOLDS):
        held_out = fold == k
        near = np.zeros(len(centres), dtype=bool)
        for one in np.unique(section[held_out]):
            mine = section == one
            near[mine] = cKDTree(centres[mine & held_out]).query(centres[mine])[0] < patch
        if held_out.any() and (~near).sum() > 1:
            out.append((held_out, ~near))
    return out


def _held_out_distances(x: npt.NDArray[np.floating], folds: list[tuple[Bools, Bools]]) -> F32:
    """Distances of all held-out tiles, fold by fold."""
    distances = []
    for held_out, trained in folds:
        part = Part(0, x.shape[1], *_whiten(x[trained]), usual=1.0)
        distances.append(part.distance(x[held_out]))
    return np.concatenate(distances)


def save_reference(reference: Reference, path: Path) -> None:
    """Write the file."""
    from safetensors.numpy import save_file

    tensors = {
        "bounds": np.array([[p.start, p.stop] for p in reference.parts], dtype=np.int32),
        "usual": np.array([p.usual for p in reference.parts], dtype=np.float32),
        "colours": np.ascontiguousarray(reference.colours),
    }
    for i, part in enumerate(reference.parts):
        tensors |= {f"mean.{i}": part.mean, f"std.{i}": part.std, f"turn.{i}": np.ascontiguousarray(part.turn)}
    save_file(tensors, path, metadata={"version": _VERSION, "tiles": str(reference.tiles)})


def read_reference(path: Path) -> Reference | None:
    """Read the file; None if there is none.

    Raises
    ------
    ModelError
        If it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            meta = file.metadata() or {}
            if meta.get("version") != _VERSION:
                raise ModelError(f"{path} was written by another version of napari-nh2st: update it")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        parts = [
            Part(int(a), int(b), tensors[f"mean.{i}"], tensors[f"std.{i}"], tensors[f"turn.{i}"], float(usual))
            for i, ((a, b), usual) in enumerate(zip(tensors["bounds"], tensors["usual"], strict=True))
        ]
        _check(parts, tensors["colours"])
        return Reference(parts, tensors["colours"], int(meta["tiles"]))
    except (SafetensorError, KeyError, ValueError, TypeError, IndexError, OSError) as error:
        raise ModelError(
            f"{path} cannot be read ({reason(error)}): remove it, and the model works without it"
        ) from error


def _check(parts: Sequence[Part], colours: F32) -> None:
    """Refuse parts that do not follow one another, or whose tables have other sizes than they say.

    Raises
    ------
    ValueError
    """
    stops = [0, *(part.stop for part in parts)]
    sound = bool(parts) and colours.ndim == 2 and colours.shape[1] == 3 and np.isfinite(colours).all()
    for part, start in zip(parts, stops, strict=False):
        n = part.stop - part.start
        sound &= part.start == start and n > 0 and part.usual > 0
        sound &= part.mean.shape == part.std.shape == (n,) and part.turn.shape == (n, n)
        sound &= all(bool(np.isfinite(table).all()) for table in (part.mean, part.std, part.turn))
    if not sound:
        raise ValueError("its tables do not fit together")
