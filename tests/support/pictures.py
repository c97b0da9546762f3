"""Pictures of which slides are made, and the plainest of slides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image


def picture(height: int = 301, width: int = 233, seed: int = 0) -> np.ndarray:
    """Smooth colour, different everywhere: (height, width, 3) uint8."""
    y, x = np.mgrid[:height, :width].astype(float)
    rng = np.random.default_rng(seed)
    waves = [127 + 100 * np.sin(x * a + y * b + c) for a, b, c in rng.uniform(0.02, 0.2, (3, 3))]
    return np.stack(waves, axis=2).round().astype(np.uint8)


def shrunk(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The same view with other sides, averaged."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.HAMMING))


def tiff(path: Path, pixels: np.ndarray, levels: list[np.ndarray] | None = None, **options: Any) -> Path:
    """A tiled TIFF with its further levels as reduced pages after it."""
    options = {"tile": (64, 64), "photometric": "rgb", "metadata": None, **options}
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, **options)
        for level in levels or []:
            file.write(level, **{**options, "subfiletype": 1, "description": None})
    return path
