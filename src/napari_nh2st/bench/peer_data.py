"""The slide as scanners write it, the model with either encoder, and the machine: both programs get the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from PIL import Image

from napari_nh2st.bench.contenders import with_released_encoder
from napari_nh2st.bench.run import cpu_name
from napari_nh2st.engine.device import has_fast_bf16
from napari_nh2st.model.folder import find_model, load_model, save_model
from napari_nh2st.slides import open_slide

TILE = 256


def with_theirs(name: str, folder: Path) -> tuple[Path, Path]:
    """Return the folder of a model, and of one with an untrained ResNet-18 of width 64 in its place, written now."""
    model = with_released_encoder(load_model(name))
    return find_model(name), save_model(model.net, model.card, folder / "resnet18")


def write_svs(picture: Path, mpp: float, path: Path, levels: int, copies: int = 1) -> Path:
    """Write a picture as an Aperio SVS of JPEG tiles; the sides of each level are a quarter of the last one's.

    `copies` down and across make it a larger slide; every second one is mirrored, so that glass meets glass.
    """
    with open_slide(picture, mpp=mpp) as slide:
        finest = slide.read(0, 0, slide.shape[1], slide.shape[0], 1.0)
    for axis in (0, 1):
        finest = np.concatenate([np.flip(finest, axis) if i % 2 else finest for i in range(copies)], axis)
    height, width = finest.shape[:2]
    with tifffile.TiffWriter(path) as file:
        for level in range(levels):
            image = np.asarray(Image.fromarray(finest).reduce(4**level)) if level else finest
            part = f"-> {image.shape[1]}x{image.shape[0]}" if level else f"[0,0 {width}x{height}] ({TILE}x{TILE})"
            file.write(
                image,
                photometric="rgb",
                tile=(TILE, TILE),
                compression="jpeg",
                compressionargs={"level": 90},
                description=f"Aperio Image Library v11.2.1\r\n{width}x{height} {part} JPEG/RGB Q=90|MPP = {mpp:.4f}",
                metadata=None,
            )
    return path


def machine() -> dict[str, Any]:
    """Describe the processor."""
    simd, bf16 = torch.backends.cpu.get_cpu_capability(), has_fast_bf16(torch.device("cpu"))
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "simd": simd, "bf16": bf16}
