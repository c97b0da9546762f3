"""Measured sections made for a test: what is measured is how dark the tissue is, so that it can be learnt."""

from pathlib import Path

import anndata as ad
import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from support.slides import tiff

GENES = ["DARK", "LIGHT", "NOISE", "REST"]
PITCH = 144  # level-0 pixels at 1 um
STAIN = (1.0, 0.6, 0.9)  # grey is no tissue


def section(folder: Path, name: str, patient: str, seed: int, side: int = 1600) -> str:
    """Write a slide and its counts; return the line of the sheet."""
    rng = np.random.default_rng(seed)
    dark = gaussian_filter(rng.normal(size=(side // 8, side // 8)), 8)
    dark = np.kron((dark - dark.mean()) / dark.std(), np.ones((8, 8)))[:side, :side]
    grey = np.clip(170 - 35 * dark[..., None] + rng.normal(0, 4, (side, side, 3)), 20, 235)
    pixels = (grey * STAIN).astype(np.uint8)
    spots, level = _array(dark)
    rates = np.stack([np.exp(level), np.exp(-level), np.ones_like(level), np.full_like(level, 20)], axis=1)
    _write(folder / name, pixels, spots, rng.poisson(rates * 60), GENES)
    return _line(name, patient)


def sheet(folder: Path, *sections: tuple[str, str, int]) -> Path:
    """Write a sheet of (name, patient, seed)."""
    return _sheet(folder, [section(folder, *s) for s in sections])


def detailed_section(folder: Path, name: str, patient: str, seed: int, side: int = 1600) -> str:
    """Write a section with detail that can be recognised, 30 genes and counts that no other has; return its line."""
    rng = np.random.default_rng(seed)
    fine, wide = (gaussian_filter(rng.normal(size=(side // 8, side // 8)), sigma) for sigma in (1.5, 8))
    dark = zoom(30 * fine / fine.std() + 25 * wide / wide.std(), 8, order=1)
    pixels = np.clip(np.array([170, 120, 165]) - dark[..., None] * [1, 1.2, 0.8], 20, 250).astype(np.uint8)
    spots, level = _array(dark)
    rates = np.exp(np.outer(level / 40, np.linspace(-1, 1, 30))) * np.linspace(5, 80, 30)
    _write(folder / name, pixels, spots, rng.poisson(rates), [f"G{i}" for i in range(30)])
    return _line(name, patient)


def detailed_sheet(folder: Path, *sections: tuple[str, str, int]) -> Path:
    """Write a sheet of (name, patient, seed), with `detailed_section`."""
    return _sheet(folder, [detailed_section(folder, *s) for s in sections])


def _array(dark: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return spots in a square array, and the mean of `dark` under each."""
    at = np.arange(200, len(dark) - 200, PITCH)
    spots = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2).astype(float)
    return spots, np.array([dark[int(y) - 56 : int(y) + 56, int(x) - 56 : int(x) + 56].mean() for x, y in spots])


def _write(path: Path, pixels: np.ndarray, spots: np.ndarray, counts: np.ndarray, genes: list[str]) -> None:
    """Write a slide of 1 um a pixel and its counts, as path.tif and path.h5ad."""
    tiff(path.with_name(f"{path.name}.tif"), pixels, resolution=(1e4, 1e4), resolutionunit=3)
    data = ad.AnnData(counts.astype(np.float32))
    data.obs_names, data.var_names = [f"{path.name}-{i}" for i in range(len(spots))], genes
    data.obsm["spatial"] = spots
    data.write_h5ad(path.with_name(f"{path.name}.h5ad"))


def _line(name: str, patient: str) -> str:
    return f"{name},{patient},{name}.tif,{name}.h5ad,h5ad,"


def _sheet(folder: Path, lines: list[str]) -> Path:
    path = folder / "samples.csv"
    path.write_text("sample,patient,slide,expression,format,mpp\n" + "\n".join(lines) + "\n", "utf-8")
    return path
