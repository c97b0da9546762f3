"""Making a prediction folder in one step. It may replace a damaged one, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from napari_nh2st.atomic import finished_folder
from napari_nh2st.engine.file_lock import LOCK, FolderLock
from napari_nh2st.engine.result_header import Facts, checked, read_header, write_header
from napari_nh2st.engine.tile_arrays import METADATA, ArrayFolder
from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.decoder import Decoder, ValuesDecoder
from napari_nh2st.terminal import option

_OURS = {METADATA, LOCK, "hidden", "seal", "state", "count", "weight", "bias"}
_DESKTOPS = {"Thumbs.db", "desktop.ini", "Icon\r"}  # file managers leave them in every folder
# Facts of a card that give its weights a meaning.
_COMMANDS = 50  # later ones that are kept
_READ_BY = ("architecture", "mpp", "pitch", "genes", "label_recipe", "predictor")


def write_decoder(arrays: dict[str, ArrayFolder], decoder: Decoder) -> None:
    """Write weight and bias, where there are any."""
    if isinstance(decoder, ValuesDecoder):
        return
    arrays["weight"].write((0, 0), decoder.weight)
    arrays["bias"].write((0,), decoder.bias)


def fill(folder: Path, meta: Facts, decoder: Decoder) -> None:
    """Make an empty folder a prediction without tiles."""
    (folder / LOCK).touch()
    write_header(folder, meta)
    _, stored = read_header(folder)
    arrays = {name: ArrayFolder(folder / name, spec) for name, spec in stored.specs.items()}
    for array in arrays.values():
        array.write_metadata()
    write_decoder(arrays, decoder)
    count = arrays["count"]
    count.write((0, 0), count.spec.empty_chunk())


def start_again(path: Path, meta: Facts, decoder: Decoder, lock: FolderLock) -> FolderLock:
    """Replace a folder in which nothing can be believed by one without tiles, and lock that.

    Raises
    ------
    Nh2stError
        If other files are in it.
    """
    others = sorted(p.name for p in path.iterdir() if p.name not in _OURS | _DESKTOPS and not p.name.startswith("."))
    if others:
        raise Nh2stError(
            f"{path} holds no prediction that can be read, but other files ({', '.join(others[:3])}): "
            f"choose another {option('out')} or remove it"
        )
    if os.name == "nt":  # a folder with an open file in it cannot be renamed there
        lock.release()
    with finished_folder(path, overwrite=True) as draft:
        fill(draft, meta, decoder)
    lock.release()
    return FolderLock(path)


def refuse_another(path: Path, stored: Facts, asked: Facts) -> None:
    """Make sure that a folder holds what is asked for.

    Raises
    ------
    Nh2stError
        Naming what differs.
    """
    pairs = {name: (stored["signature"].get(name), asked["signature"].get(name)) for name in stored["signature"]}
    pairs |= {name: (None, asked["signature"][name]) for name in asked["signature"] if name not in pairs}
    pairs["lattice"] = stored["lattice"], asked["lattice"]
    if stored["signature"].get("model") == asked["signature"].get("model"):  # the same weights
        cards = stored["card"], asked["card"]
        pairs |= {f"{name} on the model's card": (cards[0].get(name), cards[1].get(name)) for name in _READ_BY}
    differs = sorted(name for name, (there, wanted) in pairs.items() if there != wanted)
    if "lattice" in differs and len(differs) > 1:  # it follows from the others
        differs.remove("lattice")
    if differs:
        raise Nh2stError(
            f"{path} holds a prediction with another {', '.join(differs)}: choose another {option('out')} or remove it"
        )


def take_card(path: Path, stored: Facts, asked: Facts) -> bool:
    """Write what has become known of the model since, such as its held-out figures; True if there was something."""
    if stored["card"] == asked["card"]:
        return False
    write_header(path, checked({**stored, "card": asked["card"]}))
    return True


def add_command(path: Path, stored: Facts, command: str) -> Facts:
    """Write down a command that adds to a folder which another one has made; return the description."""
    origin = stored["provenance"]
    later = list(origin.get("later_commands") or [])
    if command in (origin.get("command"), *later):
        return stored
    meta = checked({**stored, "provenance": {**origin, "later_commands": [*later, command][-_COMMANDS:]}})
    write_header(path, meta)
    return meta
