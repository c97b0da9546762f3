"""A small h5ad file, to be changed before it is written and damaged afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np

GENES = ["A", "B", "C", "D"]
COUNTS = np.arange(24, dtype=np.float32).reshape(6, 4) + 1
CENTRES = np.stack([np.arange(6) * 100.0, np.arange(6) * 10.0], axis=1)


def made(
    path: Path, change: Callable[[Any], Any] = lambda data: None, damage: Callable[[Any], Any] = lambda file: None
) -> Path:
    """Write six spots and four genes; `change` may return another AnnData, `damage` gets the open file."""
    data = ad.AnnData(COUNTS.copy())
    data.obs_names, data.var_names = [f"spot{i}" for i in range(6)], GENES
    data.obsm["spatial"] = CENTRES.copy()
    changed = change(data)
    (data if changed is None else changed).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        damage(file)
    return path


def text(word: str) -> bytes:
    return word.encode()
