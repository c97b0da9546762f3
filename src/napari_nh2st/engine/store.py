"""The durable folder of a prediction: hidden vectors on the slide's lattice, the decoder, and what they depend on.

    zarr.json        a zarr v3 group: the description, with a checksum over itself
    hidden           (rows, columns, h) float16, one chunk a batch, NaN where nothing is
    seal             (rows, columns) uint64: a checksum of each tile's vector, its place and its state
    state            (rows, columns) uint8: EMPTY, PREDICTED or DAMAGED
    count            tiles of each chunk that are not EMPTY
    weight, bias     the decoder
    lock             who writes just now

A tile is written in this order, each file in one step, so that a run that is killed loses at most the chunk in flight,
and a reader meets only tiles that are complete. A tile without its seal, and a chunk with fewer tiles than its count,
are damaged: `predict` computes them again, and everybody else is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.atomic import finished_folder
from napari_nh2st.engine.file_lock import FolderLock
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.engine.result_folder import add_command, fill, refuse_another, start_again, take_card, write_decoder
from napari_nh2st.engine.result_header import DamagedResult, Facts, Header, digest_of, read_header
from napari_nh2st.engine.seals import Seals
from napari_nh2st.engine.tile_arrays import METADATA, ArrayFolder, Place, remove_drafts
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import IntArray, TileSet
from napari_nh2st.model.decoder import Decoder, ValuesDecoder

SUFFIX = ".nh2st"
EMPTY, PREDICTED, DAMAGED = 0, 1, 2
PART_LOCK = ".part.lock"
_ATTEMPTS = 5
_SAVED_CHUNK = 64

_States = npt.NDArray[np.uint8]


class PredictionStore:
    """Hidden vectors by lattice index, on disk.

    Parameters
    ----------
    path : Path
        A folder; by custom it ends in ``.nh2st``. Opened so, it is only read.

    Attributes
    ----------
    meta : dict
        The description, as in `Header.meta`.
    mended : int
        Tiles that were found damaged when it was opened for writing, and are to be computed again.

    Raises
    ------
    DamagedResult, NewerResult
        If the folder cannot be believed, or not be understood.
    """

    _lock: FolderLock | None = None
    _command = ""

    def __init__(self, path: str | Path) -> None:
        self._open(Path(path))
        for name, array in self._arrays.items():
            if not array.is_as_described():
                raise DamagedResult(self.path, f"its {name} is not what its description says")
        self._decoder()
        counts = self._arrays["count"].read((0, 0))  # before the states, which a living writer writes earlier
        if counts is None:
            raise DamagedResult(self.path, "its count of tiles cannot be read")
        self._counts = counts
        for place in self._chunks():
            states = self._read_states(place)
            if states is None or np.count_nonzero(states) < counts[place]:
                raise DamagedResult(self.path, f"tiles are missing in part {place[0]}, {place[1]}")
            self._put(place, states)

    def _open(self, path: Path) -> None:
        self.path, self.mended = path, 0
        self.meta, self._stored = read_header(path)
        self._arrays = {name: ArrayFolder(path / name, spec) for name, spec in self._stored.specs.items()}
        self.states: _States = np.zeros(self._arrays["state"].spec.shape, dtype=np.uint8)
        self._seals = Seals(self.meta["signature"], self._stored.arrays.hidden)

    @classmethod
    def create(cls, path: str | Path, grid: tuple[int, int], chunk: int, header: Header) -> PredictionStore:
        """Open the folder for writing where its signature matches, or make it. What is damaged is emptied.

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
            If the folder holds something else, and the message says what; or another process writes it.
        """
        path, meta = Path(path), header.meta(grid, chunk)
        for _ in range(_ATTEMPTS):
            try:
                if not path.exists():
                    with finished_folder(path) as draft:
                        fill(draft, meta, header.decoder)
                lock = FolderLock(path)
            except FileExistsError:
                if not path.is_dir():
                    raise
                continue  # another process was first
            except (FileNotFoundError, NotADirectoryError):
                if path.exists():
                    raise
                continue  # another process has just replaced it
            return cls._locked(path, meta, header.decoder, lock)
        raise Nh2stError(f"{path} is being made and removed by other processes: wait until they have ended")

    @classmethod
    def _locked(cls, path: Path, meta: Facts, decoder: Decoder, lock: FolderLock) -> PredictionStore:
        """Open the folder that this process may write, or start it again where nothing in it can be believed."""
        store = cls.__new__(cls)
        store._lock = lock
        try:
            try:
                store._open(path)
            except DamagedResult:
                store._lock = start_again(path, meta, decoder, lock)
                store._open(path)
            else:
                refuse_another(path, store.meta, meta)
                if take_card(path, store.meta, meta):
                    store._open(path)
                store._command = str(meta["provenance"].get("command") or "")
            store._mend(decoder)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Let other processes write the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __del__(self) -> None:
        """Let other processes write the folder, where nobody has said so."""
        self.close()

    def _mend(self, decoder: Decoder) -> None:
        """Empty every tile that its seal does not vouch for, and write again what is known without computing."""
        remove_drafts(self.path)
        for left in self.path.glob(f".*{PART_LOCK}"):
            left.unlink(missing_ok=True)
        for array in self._arrays.values():
            if not array.is_as_described():
                array.write_metadata()
        try:
            self._decoder()
        except DamagedResult:
            write_decoder(self._arrays, decoder)
        counts = self._arrays["count"].read((0, 0))
        empty = self._arrays["count"].spec.empty_chunk()
        self._counts = empty if counts is None else counts
        before = self._counts.copy()
        for place in self._chunks():
            self._mend_chunk(place)
        if counts is None or (self._counts != before).any():
            self._arrays["count"].write((0, 0), self._counts)

    def _mend_chunk(self, place: Place) -> None:
        found = self._read_states(place)
        states = self._arrays["state"].spec.empty_chunk() if found is None else found
        if states.any():
            hidden, seals = (self._arrays[name].read(place) for name in ("hidden", "seal"))
            if hidden is None or seals is None:
                bad = states != EMPTY
            else:
                bad = (states != EMPTY) & ~self._sealed(place, states, hidden, seals)
            states[bad] = EMPTY
            if bad.any():
                found = None
        count = int(np.count_nonzero(states))
        self.mended += max(0, int(self._counts[place]) - count)
        if found is None:
            self._arrays["state"].write(place, states)
        self._counts[place] = count
        self._put(place, states)

    @property
    def chunk(self) -> int:
        """Tiles per side of a chunk."""
        return self._stored.arrays.chunk

    @property
    def done(self) -> int:
        """Tiles that are there."""
        return int(np.count_nonzero(self.states))

    def state_at(self, grid: IntArray) -> _States:
        """State of tiles by (n, 2) lattice index (row, column)."""
        states: _States = self.states[grid[:, 0], grid[:, 1]]
        return states

    def read(self, grid: IntArray) -> npt.NDArray[np.float16]:
        """Hidden vectors (n, h) by lattice index, NaN rows where there is none.

        Raises
        ------
        DamagedResult
            If a tile does not match its seal.
        """
        out = np.full((len(grid), self._stored.arrays.hidden), np.nan, dtype=np.float16)
        for place, rows in self._by_chunk(grid):
            within = tuple((grid[rows] - self._corner(place)).T)
            states = self.state_at(grid[rows])
            if not states.any():
                continue
            hidden, seals = (self._arrays[name].read(place) for name in ("hidden", "seal"))
            if hidden is None or seals is None:
                raise DamagedResult(self.path, f"part {place[0]}, {place[1]} is missing or cannot be read")
            whole = np.zeros((self.chunk, self.chunk), dtype=np.uint8)
            whole[within] = states
            sealed = self._sealed(place, whole, hidden, seals)[within]
            if not sealed[states != EMPTY].all():
                raise DamagedResult(self.path, f"part {place[0]}, {place[1]} does not match its checksums")
            out[rows[states != EMPTY]] = hidden[within][states != EMPTY]
        return out

    def write(self, grid: IntArray, hidden: npt.NDArray[np.float16], state: _States) -> None:
        """Write tiles: the vectors first, then what vouches for them."""
        self._name_command()
        for place, rows in self._by_chunk(grid):
            within = tuple((grid[rows] - self._corner(place)).T)
            states = self._take(place)
            parts: dict[str, npt.NDArray[Any]] = {}
            for name in ("hidden", "seal"):
                array = self._arrays[name]
                stored = array.read(place) if states.any() else None
                parts[name] = array.spec.empty_chunk() if stored is None else stored
            parts["hidden"][within], states[within] = hidden[rows], state[rows]
            parts["seal"][within] = self._seals.of(grid[rows], hidden[rows], state[rows])
            for name, values in parts.items():
                self._arrays[name].write(place, values)
            self._arrays["state"].write(place, states)
            self._put(place, states)
            self._counts[place] = np.count_nonzero(states)
        self._write_counts()

    def _name_command(self) -> None:
        """Name a later command that adds tiles, beside the one that made the folder."""
        command, self._command = self._command, ""
        if command:
            self.meta = add_command(self.path, self.meta, command)

    def _write_counts(self) -> None:
        self._arrays["count"].write((0, 0), self._counts)

    def prediction(self) -> Prediction:
        """Return all tiles predicted so far, row by row.

        Raises
        ------
        DamagedResult
            If a tile does not match its seal.
        """
        grid = np.argwhere(self.states != EMPTY).astype(np.int64)
        hidden, predicted = self.read(grid), self.state_at(grid) == PREDICTED
        grid = grid[predicted]
        lattice = self._stored.lattice
        centres = (grid[:, ::-1] * float(lattice.pitch) + lattice.patch / 2) * lattice.scale
        places = TileSet(centres, lattice.scale, lattice.pitch, grid)
        facts = self.meta["slide"], self.meta["provenance"]
        return Prediction(places, hidden[predicted], self._decoder(), self._stored.card, *facts)

    def _decoder(self) -> Decoder:
        if self._stored.direct:
            return ValuesDecoder(len(self._stored.card.genes))
        weight, bias = self._arrays["weight"].read((0, 0)), self._arrays["bias"].read((0,))
        if weight is not None and bias is not None:
            decoder = Decoder(weight, bias)
            if digest_of(decoder) == self._stored.arrays.decoder and np.isfinite(weight).all():
                return decoder
        raise DamagedResult(self.path, "its decoder does not match its checksum")

    def _read_states(self, place: Place) -> _States | None:
        """Return the states of a chunk, EMPTY where none was written yet; None where they are damaged."""
        array = self._arrays["state"]
        if not array.file(place).exists():
            return array.spec.empty_chunk()
        states: _States | None = array.read(place)
        if states is None or states.max() > DAMAGED:
            return None
        rows, columns = np.array(self.states.shape) - self._corner(place)
        outside = states[rows:].any() or states[:, columns:].any()
        return None if outside else states

    def _chunks(self) -> Iterator[Place]:
        return iter(np.ndindex(self._arrays["state"].spec.chunk_grid))

    def _by_chunk(self, grid: IntArray) -> Iterator[tuple[Place, IntArray]]:
        """Group tiles (n, 2) by their chunk: its place, and positions (k,) in the grid."""
        if not len(grid):
            return
        places, which = np.unique(grid // self.chunk, axis=0, return_inverse=True)
        order = np.argsort(which.ravel(), kind="stable")
        ends = np.cumsum(np.bincount(which.ravel()))
        for place, rows in zip(places.tolist(), np.split(order, ends[:-1]), strict=True):
            yield tuple(place), rows

    def _sealed(
        self, place: Place, states: _States, hidden: npt.NDArray[np.float16], seals: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.bool_]:
        """Tell which tiles of a chunk can be believed."""
        sealed = self._seals.match(self._corner(place), states, hidden, seals)
        believed: npt.NDArray[np.bool_] = sealed & ((states != PREDICTED) | np.isfinite(hidden).all(axis=2))
        return believed

    def _corner(self, place: Place) -> IntArray:
        """Return the lattice index (row, column) of a chunk's first tile."""
        return np.array(place, dtype=np.int64) * self.chunk

    def _within(self, place: Place) -> _States:
        """Return the part of `states` that belongs to a chunk; a view, smaller at the lattice's edges."""
        top, left = self._corner(place)
        return self.states[top : top + self.chunk, left : left + self.chunk]

    def _take(self, place: Place) -> _States:
        part, out = self._within(place), self._arrays["state"].spec.empty_chunk()
        out[: part.shape[0], : part.shape[1]] = part
        states: _States = out
        return states

    def _put(self, place: Place, states: _States) -> None:
        part = self._within(place)
        part[:] = states[: part.shape[0], : part.shape[1]]


class PartStore(PredictionStore):
    """Some chunks of a prediction folder, open for writing while other processes write the others.

    The counts of tiles stay as they are. Whoever opens the folder next with `PredictionStore.create` counts all parts.

    Parameters
    ----------
    path : Path
        A folder that `PredictionStore.create` has made.
    chunks : iterable of (row, column)
        What is written here, as indices of chunks; a part never has a chunk of another one.
    header : Header
        What the folder must hold.

    Raises
    ------
    FolderBusy
        If a process writes the whole folder, or this part.
    Nh2stError
        If the folder holds something else.
    """

    _part: FolderLock | None = None

    def __init__(self, path: Path, chunks: Iterable[Place], header: Header) -> None:
        own = sorted(chunks)
        self._lock = FolderLock(path, shared=True)
        try:
            self._part = FolderLock(path, f".{own[0][0]}-{own[0][1]}{PART_LOCK}")
            self._open(path)
            refuse_another(path, self.meta, header.meta(self.states.shape, self.chunk))
            self._counts = self._arrays["count"].spec.empty_chunk()
            for place in own:
                self._mend_chunk(place)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let other processes write the folder."""
        if self._part is not None:
            self._part.release()
            self._part = None
        super().close()

    def _write_counts(self) -> None:
        """Leave them to the next one who has the folder alone: many write parts at once."""


def find_prediction(path: str | Path) -> Path:
    """Find the prediction that a path means: the folder itself, or the only one in the folder.

    Raises
    ------
    Nh2stError
        If there is none, or more than one.
    """
    path = Path(path)
    if (path / METADATA).is_file() or (path.suffix == SUFFIX and path.is_dir()):
        return path
    inside = sorted(p for p in path.glob(f"*{SUFFIX}") if p.is_dir()) if path.is_dir() else []
    if len(inside) != 1:
        names = ", ".join(p.name for p in inside) or "none"
        raise Nh2stError(f"{path} is not a prediction: give one folder that ends in {SUFFIX} (found there: {names})")
    return inside[0]


def open_prediction(path: str | Path) -> Prediction:
    """Open a result of `nh2st predict`: the `.nh2st` folder, or the folder that holds only one.

    Raises
    ------
    Nh2stError
        If there is no prediction there, or it is damaged.
    """
    return PredictionStore(find_prediction(path)).prediction()


def save_prediction(prediction: Prediction, path: str | Path) -> Path:
    """Write a prediction on the lattice as a durable folder.

    Raises
    ------
    Nh2stError
        As `fill_folder`.
    """
    path = Path(path)
    with finished_folder(path, overwrite=True) as parts:
        fill_folder(prediction, parts)
    return path


def fill_folder(prediction: Prediction, folder: Path) -> None:
    """Write a prediction on the lattice into an empty folder.

    Raises
    ------
    Nh2stError
        If the places do not lie on the lattice, nothing is predicted, or it was read from a file of values: a folder
        keeps hidden vectors in half precision, which the values of genes do not bear.
    """
    done = prediction.only_done()
    grid = done.places.grid
    if grid is None or not len(done):
        raise Nh2stError("there is nothing to save: a prediction on the lattice is needed")
    if done.hidden.dtype != np.float16:
        raise Nh2stError(f"values that were read from a file cannot be a {SUFFIX} folder: choose another format")
    lattice = {"scale": done.places.scale, "pitch": done.places.pitch, "patch": done.card.patch}
    rows, columns = (int(n) for n in grid.max(axis=0) + 1)
    header = Header({"saved": True}, lattice, done.card, done.decoder, done.slide, done.provenance)
    fill(folder, header.meta((rows, columns), _SAVED_CHUNK), done.decoder)
    store = PredictionStore.create(folder, (rows, columns), _SAVED_CHUNK, header)
    store.write(grid, done.hidden, np.full(len(done), PREDICTED, dtype=np.uint8))
    store.close()
