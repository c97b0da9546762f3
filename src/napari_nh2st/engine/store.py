"""The durable folder of a prediction: hidden vectors on the slide's lattice, the decoder, and what they depend on.

A zarr v3 group, one chunk a batch, NaN where nothing is; `state` is written after the vectors it vouches for, so a
run that is killed loses at most the chunk in flight.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.errors import ContainsArrayError, GroupNotFoundError

from napari_nh2st.atomic import finished_folder
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import IntArray, TileSet
from napari_nh2st.model.card import Card
from napari_nh2st.model.decoder import Decoder

SUFFIX = ".nh2st"
SCHEMA = 1
EMPTY, PREDICTED, DAMAGED = 0, 1, 2


@dataclass(frozen=True)
class Header:
    """The description of a prediction folder.

    Attributes
    ----------
    signature : dict
        Everything that the numbers depend on; it must match when a run goes on.
    lattice : dict
        ``scale``, ``pitch`` and ``patch``: where tile (row, column) lies.
    card, decoder, slide, provenance
        As in `Prediction`.
    """

    signature: dict[str, Any]
    lattice: dict[str, Any]
    card: Card
    decoder: Decoder
    slide: dict[str, Any]
    provenance: dict[str, Any]

    def meta(self) -> dict[str, Any]:
        """Return the group's attributes; the decoder has arrays of its own."""
        return {
            "schema": SCHEMA,
            "signature": self.signature,
            "lattice": self.lattice,
            "card": self.card.model_dump(mode="json"),
            "slide": self.slide,
            "provenance": self.provenance,
        }


class PredictionStore:
    """Hidden vectors by lattice index, on disk.

    Parameters
    ----------
    path : Path
        A folder; by custom it ends in ``.nh2st``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._group = zarr.open_group(self.path, mode="r+")
            self.meta: dict[str, Any] = dict(self._group.attrs["nh2st"])  # type: ignore[arg-type]
            self._hidden: Any = self._group["hidden"]
            self._state: Any = self._group["state"]
        except (GroupNotFoundError, ContainsArrayError, FileNotFoundError, KeyError) as error:
            raise Nh2stError(f"{self.path} holds no prediction: give the folder that nh2st predict wrote") from error
        if self.meta.get("schema") != SCHEMA:
            raise Nh2stError(f"{self.path} was written by another version of napari-nh2st: predict again")

    @classmethod
    def create(cls, path: str | Path, grid: tuple[int, int], chunk: int, header: Header) -> PredictionStore:
        """Open the folder where its signature matches, or make it.

        Parameters
        ----------
        path : path
        grid : (rows, columns)
            Lattice of the whole slide.
        chunk : int
            Tiles per side of a chunk.
        header : Header

        Raises
        ------
        Nh2stError
            If the folder holds a prediction of something else; the message names what differs.
        """
        path = Path(path)
        if (path / "zarr.json").exists():
            store = cls(path)
            stored, asked = store.meta["signature"], header.signature
            differs = [k for k in sorted({*stored, *asked}) if stored.get(k) != asked.get(k)]
            if differs:
                raise Nh2stError(
                    f"{path} holds a prediction with another {', '.join(differs)}: choose another --out or remove it"
                )
            return store
        group = zarr.open_group(path, mode="a")
        rows, columns = grid
        width = header.decoder.weight.shape[1]
        compressors = [ZstdCodec(level=1), Crc32cCodec()]
        group.create_array(
            "hidden", shape=(rows, columns, width), chunks=(chunk, chunk, width), dtype="float16", fill_value=np.nan,
            compressors=compressors,
        )  # fmt: skip
        group.create_array(
            "state",
            shape=(rows, columns),
            chunks=(chunk, chunk),
            dtype="uint8",
            fill_value=EMPTY,
            compressors=compressors,
        )
        for name, values in (("weight", header.decoder.weight), ("bias", header.decoder.bias)):
            group.create_array(name, data=values, compressors=compressors)
        group.attrs["nh2st"] = header.meta()  # last: a folder without it is not yet a prediction
        return cls(path)

    @property
    def chunk(self) -> int:
        """Tiles per side of a chunk."""
        return int(self._state.chunks[0])

    def state_at(self, grid: IntArray) -> npt.NDArray[np.uint8]:
        """State of tiles by (n, 2) lattice index (row, column)."""
        out: npt.NDArray[np.uint8] = np.asarray(self._state[:])[grid[:, 0], grid[:, 1]]
        return out

    def read(self, grid: IntArray) -> npt.NDArray[np.float16]:
        """Hidden vectors (n, h) by lattice index, NaN rows where there is none."""
        if not len(grid):
            return np.empty((0, self._hidden.shape[2]), dtype=np.float16)
        (r0, c0), (r1, c1) = grid.min(axis=0), grid.max(axis=0) + 1
        part: npt.NDArray[np.float16] = np.asarray(self._hidden[r0:r1, c0:c1])
        out: npt.NDArray[np.float16] = part[grid[:, 0] - r0, grid[:, 1] - c0]
        return out

    def write(self, grid: IntArray, hidden: npt.NDArray[np.float16], state: npt.NDArray[np.uint8]) -> None:
        """Write tiles of one chunk: the vectors first, then the state that vouches for them."""
        (r0, c0), (r1, c1) = grid.min(axis=0), grid.max(axis=0) + 1
        row, column = (grid - (r0, c0)).T
        values = np.asarray(self._hidden[r0:r1, c0:c1])
        values[row, column] = hidden
        self._hidden[r0:r1, c0:c1] = values
        states = np.asarray(self._state[r0:r1, c0:c1])
        states[row, column] = state
        self._state[r0:r1, c0:c1] = states

    def prediction(self) -> Prediction:
        """Return all tiles predicted so far, row by row."""
        grid = np.argwhere(np.asarray(self._state[:]) == PREDICTED).astype(np.int64)
        lattice = self.meta["lattice"]
        scale, pitch = float(lattice["scale"]), int(lattice["pitch"])
        centres = (grid[:, ::-1] * float(pitch) + lattice["patch"] / 2) * scale
        decoder = Decoder(np.asarray(self._group["weight"][:]), np.asarray(self._group["bias"][:]))  # type: ignore[index]
        return Prediction(
            TileSet(centres, scale, pitch, grid),
            self.read(grid),
            decoder,
            Card.model_validate(self.meta["card"]),
            self.meta["slide"],
            self.meta["provenance"],
        )


def find_prediction(path: str | Path) -> Path:
    """Find the prediction that a path means: the folder itself, or the only one in the folder.

    Raises
    ------
    Nh2stError
        If there is none, or more than one.
    """
    path = Path(path)
    if (path / "zarr.json").is_file():
        return path
    inside = sorted(p.parent for p in path.glob(f"*{SUFFIX}/zarr.json")) if path.is_dir() else []
    if len(inside) != 1:
        names = ", ".join(p.name for p in inside) or "none"
        raise Nh2stError(f"{path} is not a prediction: give one folder that ends in {SUFFIX} (found there: {names})")
    return inside[0]


def open_prediction(path: str | Path) -> Prediction:
    """Open a result of `nh2st predict`: the `.nh2st` folder, or the folder that holds only one.

    Raises
    ------
    Nh2stError
        If there is no prediction there.
    """
    return PredictionStore(find_prediction(path)).prediction()


def save_prediction(prediction: Prediction, path: str | Path) -> Path:
    """Write a prediction on the lattice as a durable folder.

    Raises
    ------
    Nh2stError
        If the places do not lie on the lattice, or nothing is predicted.
    """
    done = prediction.only_done()
    grid = done.places.grid
    if grid is None or not len(done):
        raise Nh2stError("there is nothing to save: a prediction on the lattice is needed")
    lattice = {"scale": done.places.scale, "pitch": done.places.pitch, "patch": done.card.patch}
    path = Path(path)
    rows, columns = (int(n) for n in grid.max(axis=0) + 1)
    with finished_folder(path, overwrite=True) as parts:
        header = Header({"saved": True}, lattice, done.card, done.decoder, done.slide, done.provenance)
        store = PredictionStore.create(parts, (rows, columns), 64, header)
        store.write(grid, done.hidden, np.full(len(done), PREDICTED, dtype=np.uint8))
    return path
