"""Descriptors of the training sections: `sections.safetensors` in the model folder. About 20 kB a section."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.atomic import finished_file
from napari_nh2st.engine.section_descriptor import SectionDescriptor
from napari_nh2st.errors import ModelError
from napari_nh2st.geometry import Box
from napari_nh2st.model.card import TrainingSample
from napari_nh2st.model.folder import CARD
from napari_nh2st.reading import parse_json, reason
from napari_nh2st.slides.keypoints import LEVELS, WORD, Keypoints

DESCRIPTORS = "sections.safetensors"
_VERSION = "1"
_MOST_BYTES = 2**28

Key = tuple[str, str | None]  # name of a training section, fingerprint of its slide
Arrays = Mapping[str, npt.NDArray[Any]]


def key_of(sample: TrainingSample) -> Key:
    """Return what joins a training section of a card to its descriptor."""
    return sample.sample, sample.fingerprint


def put_descriptors(described: Mapping[Key, SectionDescriptor], folder: Path) -> None:
    """Put the descriptors of training sections into a model folder."""
    from safetensors.numpy import save_file

    tensors: dict[str, npt.NDArray[Any]] = {}
    for i, descriptor in enumerate(described.values()):
        tensors |= {f"{name}.{i}": np.ascontiguousarray(a) for name, a in _arrays(descriptor).items()}
    metadata = {"version": _VERSION, "sections": json.dumps(list(described))}
    with finished_file(folder / DESCRIPTORS) as draft:
        save_file(tensors, draft, metadata=metadata)
        draft.chmod((folder / CARD).stat().st_mode)  # safetensors writes for the owner alone


def read_descriptors(folder: Path) -> dict[Key, SectionDescriptor]:
    """Read the descriptors of a model folder; none where it has no such file.

    Raises
    ------
    ModelError
        If the file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / DESCRIPTORS
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        with safe_open(path, framework="numpy") as file:
            meta = file.metadata() or {}
            if meta.get("version") != _VERSION:
                raise ModelError(f"{path} was written by another version of napari-nh2st: update it")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        keys = [(str(name), None if of is None else str(of)) for name, of in parse_json(meta["sections"])]
        return {key: _descriptor(key[1], tensors, i) for i, key in enumerate(keys)}
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise ModelError(
            f"{path} cannot be read ({reason(error)}): put it back, or remove it; without it, only unchanged copies of "
            "the training sections are recognised"
        ) from error


def _arrays(descriptor: SectionDescriptor) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a descriptor; two entries of a word share a byte."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    if (box := descriptor.spots) is not None:
        arrays["spots"] = np.array([box.x0, box.y0, box.x1, box.y1], dtype=np.float32)
    if descriptor.marks is not None:
        arrays["marks"] = descriptor.marks
    if (points := descriptor.keypoints) is not None:
        arrays |= {
            "places": points.places,
            "shapes": np.stack([points.sizes, points.angles], axis=1).astype(np.float16),
            "words": points.words[:, ::2] * np.uint8(LEVELS) + points.words[:, 1::2],
        }
    return arrays


def _descriptor(fingerprint: str | None, tensors: Arrays, i: int) -> SectionDescriptor:
    spots, marks = tensors.get(f"spots.{i}"), tensors.get(f"marks.{i}")
    return SectionDescriptor(
        fingerprint,
        None if spots is None else Box(*_shaped(spots, (4,), np.float32).astype(float).tolist()),
        _keypoints(tensors, i) if f"words.{i}" in tensors else None,
        None if marks is None else np.unique(_shaped(marks, (len(marks),), np.uint32)),
    )


def _keypoints(tensors: Arrays, i: int) -> Keypoints:
    packed = tensors[f"words.{i}"]
    n = len(packed)
    _shaped(packed, (n, WORD // 2), np.uint8)
    places = _shaped(tensors[f"places.{i}"], (n, 2), np.float32)
    shapes = _shaped(tensors[f"shapes.{i}"], (n, 2), np.float16).astype(np.float32)
    words = np.stack([packed // LEVELS, packed % LEVELS], axis=2).reshape(n, WORD)
    return Keypoints(places, shapes[:, 0], shapes[:, 1], words)


def _shaped(array: npt.NDArray[Any], shape: Sequence[int], kind: type[np.generic]) -> npt.NDArray[Any]:
    if array.shape != tuple(shape) or array.dtype != kind or not np.isfinite(array).all():
        raise ValueError(f"an array of {array.shape} {array.dtype} is there instead of {tuple(shape)}")
    return array
