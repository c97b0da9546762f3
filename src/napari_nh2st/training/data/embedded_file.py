"""A file of embedded sections, so that a run encodes its tissue once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from napari_nh2st.atomic import finished_file
from napari_nh2st.model.card import Card
from napari_nh2st.model.heads.seen import SlideSample
from napari_nh2st.model.nh2st import NH2ST
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.embedded import EmbeddedSection
from napari_nh2st.training.sections.section import Section


def origin_of(net: NH2ST, sections: Sequence[Section], card: Card, config: TrainingConfig) -> str:
    """Name everything that embeddings depend on: encoder, geometry, views, slides."""
    weights = hashlib.blake2b(digest_size=16)
    for tensor in net.encoder.state_dict().values():
        weights.update(tensor.cpu().numpy().tobytes())
    geometry = f"{card.mpp} {card.pitch} {card.architecture.landmarks > 0} {config.views} {config.stain_jitter}"
    geometry += " stain in views" * (card.architecture.columns > 0)
    geometry += " with the slide's sample" * ("sample" in net.needs)
    slides = " ".join(f"{s.fingerprint}/{len(s.labels)}" for s in sections)
    return f"{weights.hexdigest()} {geometry} {slides}"


def save_embedded(embedded: Sequence[EmbeddedSection], path: Path, origin: str) -> None:
    """Write embedded sections; `origin` is that of `origin_of`."""
    tensors: dict[str, torch.Tensor] = {}
    for i, e in enumerate(embedded):
        tensors |= {f"{i}.plain": e.plain, f"{i}.views": e.views, f"{i}.centres": e.centres}
        tensors |= {} if e.sample is None else {f"{i}.sample.{name}": t for name, t in vars(e.sample).items()}
    with finished_file(path) as draft:
        draft.write_bytes(save(tensors, {"belongs_to": origin}))


def load_embedded(path: Path, origin: str) -> list[EmbeddedSection] | None:
    """Read embedded sections; None if there is no such file, or if it is of another origin."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("belongs_to") != origin:
                return None
            count = 1 + max((int(key.split(".")[0]) for key in file.keys()), default=-1)  # noqa: SIM118 (it is no dict)
            return [_section(file, i) for i in range(count)]
    except (SafetensorError, OSError, ValueError):
        return None


def _section(file: Any, i: int) -> EmbeddedSection:
    plain, views, centres = (file.get_tensor(f"{i}.{name}") for name in ("plain", "views", "centres"))
    if f"{i}.sample.present" not in file.keys():  # noqa: SIM118 (it is no dict)
        return EmbeddedSection(plain, views, centres)
    sample = (file.get_tensor(f"{i}.sample.{field.name}") for field in fields(SlideSample))
    return EmbeddedSection(plain, views, centres, SlideSample(*sample))
