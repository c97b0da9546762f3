"""The plan of a procedural section: outline, compartments, nuclei and small structures.

The truth is computed from the layout; `paint` only draws it. Coordinates are micrometres, x right, y down, from the
section's top-left corner. Everything follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from napari_nh2st.demo.fields import STEP, Float32, Float64, sample, smooth_noise

STRUCTURES = ("vessel", "gland", "lymphoid", "calcification", "pigment")
"""Small structures, scattered evenly, on which context genes depend."""

STRUCTURE_RADIUS = {"vessel": 29.0, "gland": 28.0, "lymphoid": 28.0, "calcification": 20.0, "pigment": 22.0}
"""Outer radius in um: less than the 32 um between neighbouring patches, so that a structure whose centre lies in one
patch is not seen in the next."""

STRUCTURES_PER_MM2 = 14.0
"""Density of each kind, the same in every compartment: a patch of 112 um holds 0.18 of them on average."""

NUCLEI = ("tumour", "stroma", "immune")


@dataclass(frozen=True)
class Stain:
    """Stain variation of a section: factors near 1 on the amounts, and a hue shift near 0."""

    hematoxylin: float
    eosin: float
    hue: float
    backdrop: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Layout:
    """The plan of one section.

    Attributes
    ----------
    seed : int
    width, height : int
        Size in um.
    tissue, tumour, fat : (rows, columns) float32
        Signed coarse fields, roughly in um from the border, positive inside. Tumour and fat are valid inside tissue
        only, fat outside tumour only.
    infiltrate : (rows, columns) float32
        Density of scattered immune cells, 0..1.
    flow : (2, rows, columns) float32
        Warped coordinates (u along, v across) of the collagen fibres, um.
    nuclei, structures : dict of (n, 2) float64
        Centres (x, y), um, by kind.
    stain : Stain
    """

    seed: int
    width: int
    height: int
    tissue: Float32
    tumour: Float32
    fat: Float32
    infiltrate: Float32
    flow: Float32
    nuclei: dict[str, Float64]
    structures: dict[str, Float64]
    stain: Stain

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the coarse grid."""
        rows, columns = self.tissue.shape
        return int(rows), int(columns)


def plan(seed: int, size_mm: tuple[float, float] = (4.5, 4.0)) -> Layout:
    """Lay out the section of a seed.

    Parameters
    ----------
    seed : int
        Not negative; the same seed and size give the same section everywhere.
    size_mm : (width, height)
        Size in mm; rounded to whole cells of the coarse grid.
    """
    columns, rows = (max(16, round(side * 1000 / STEP)) for side in size_mm)
    shape = (rows, columns)
    rng = np.random.default_rng([seed, 20250623])
    tissue = _outline(rng, shape)
    tumour = _level(smooth_noise(rng, shape, 62) + 0.33 * smooth_noise(rng, shape, 18), tissue, 0.40) * 55
    fat_noise = smooth_noise(rng, shape, 135) + 0.2 * smooth_noise(rng, shape, 30)
    fat = np.minimum(_level(fat_noise, tissue, 0.22) * 90, -tumour - 14)
    infiltrate = np.clip(0.55 * smooth_noise(rng, shape, 46) + 0.1, 0, 1).astype(np.float32)
    flow = _fibres(rng, shape)
    structures = _place_structures(rng, tissue)
    nuclei = _place_nuclei(rng, tissue, tumour, fat, infiltrate, structures)
    return Layout(
        seed, int(columns * STEP), int(rows * STEP), tissue, tumour, fat, infiltrate, flow, nuclei, structures,
        _stain(rng),
    )  # fmt: skip


def _outline(rng: np.random.Generator, shape: tuple[int, int]) -> Float32:
    """Approximate signed distance (um) to an irregular outline with a margin and a few tears."""
    rows, columns = shape
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    x, y = (2 * x + 1) / columns - 1, (2 * y + 1) / rows - 1
    radius = (np.abs(x) ** 2.6 + np.abs(y) ** 2.6) ** (1 / 2.6)
    half = min(shape) * STEP / 2
    wobble = 0.085 * smooth_noise(rng, shape, 330) + 0.018 * smooth_noise(rng, shape, 60)
    field = (0.84 + wobble - radius) * half
    tear = 16 * smooth_noise(rng, shape, 320) - 22 - 450 * np.abs(smooth_noise(rng, shape, 240))
    outline: Float32 = np.minimum(field, -tear).astype(np.float32)
    return outline


def _level(field: Float32, tissue: Float32, share: float) -> Float32:
    """Shift a field so that this share of the tissue is positive."""
    inside = field[tissue > 0]
    shifted: Float32 = (field - np.quantile(inside, 1 - share)).astype(np.float32)
    return shifted


def _fibres(rng: np.random.Generator, shape: tuple[int, int]) -> Float32:
    rows, columns = shape
    y, x = np.mgrid[:rows, :columns] * STEP
    angle = rng.uniform(0, np.pi)
    u = x * np.cos(angle) + y * np.sin(angle) + 60 * smooth_noise(rng, shape, 70)
    v = -x * np.sin(angle) + y * np.cos(angle) + 150 * smooth_noise(rng, shape, 130)
    v += 6 * smooth_noise(rng, shape, 14)
    return np.stack([u, v]).astype(np.float32)


def _place_structures(rng: np.random.Generator, tissue: Float32) -> dict[str, Float64]:
    """Scatter every kind evenly over the tissue, never touching, so that a patch and its surroundings are unrelated."""
    rows, columns = tissue.shape
    area = rows * columns * STEP**2 / 1e6
    counts = rng.poisson(1.5 * STRUCTURES_PER_MM2 * area, size=len(STRUCTURES))
    kinds = rng.permutation(np.repeat(np.arange(len(STRUCTURES)), counts))
    places = rng.uniform(0, 1, (len(kinds), 2)) * np.array([columns, rows]) * STEP
    radii = np.array([STRUCTURE_RADIUS[k] for k in STRUCTURES])[kinds]
    allowed = sample(tissue, places) > radii + 4
    for i, j in sorted(cKDTree(places).query_pairs(2 * max(radii, default=0.0) + 4)):
        if allowed[i] and allowed[j] and np.hypot(*(places[i] - places[j])) < radii[i] + radii[j] + 3:
            allowed[j] = False
    return {kind: places[allowed & (kinds == index)] for index, kind in enumerate(STRUCTURES)}


def _jittered(rng: np.random.Generator, shape: tuple[int, int], spacing: float) -> Float64:
    """Points on a shaken hexagonal grid of this spacing (um) over the whole section."""
    rows, columns = int(shape[0] * STEP / (spacing * 0.866)), int(shape[1] * STEP / spacing)
    row, column = (a.ravel() for a in np.mgrid[:rows, :columns])
    grid = np.stack([(column + 0.5 * (row % 2) + 0.25) * spacing, (row + 0.5) * spacing * 0.866], axis=1)
    points: Float64 = grid + rng.uniform(-0.36, 0.36, grid.shape) * spacing
    return points


def _place_nuclei(
    rng: np.random.Generator,
    tissue: Float32,
    tumour: Float32,
    fat: Float32,
    infiltrate: Float32,
    structures: dict[str, Float64],
) -> dict[str, Float64]:
    shape = (tissue.shape[0], tissue.shape[1])
    patchy = smooth_noise(rng, shape, 40)
    found = {}
    for kind, spacing in (("tumour", 11.5), ("stroma", 17.0), ("immune", 9.0)):
        points = _jittered(rng, shape, spacing)
        at_tumour, at_fat, at_tissue = (sample(f, points) for f in (tumour, fat, tissue))
        chance: Float64
        if kind == "tumour":
            chance = (at_tumour > 3).astype(float) * (0.84 + 0.13 * sample(patchy, points))
        elif kind == "stroma":
            chance = (at_tumour < -2).astype(float) * np.where(at_fat > 0, 0.06, 0.5 + 0.15 * sample(patchy, points))
        else:
            density = sample(infiltrate, points)
            chance = density * np.where(at_tumour > 0, 0.12, np.where(at_fat > 0, 0.12, 0.85))
        keep = (at_tissue > 3) & (rng.uniform(size=len(points)) < chance)
        found[kind] = _clear_of(points[keep], structures)
    return found


def _clear_of(points: Float64, structures: dict[str, Float64]) -> Float64:
    """Drop the points that lie inside a structure."""
    keep = np.ones(len(points), dtype=bool)
    for kind, centres in structures.items():
        if len(centres) and len(points):
            distance, _ = cKDTree(centres).query(points, distance_upper_bound=60)
            keep &= distance > STRUCTURE_RADIUS[kind] + 2.5
    return points[keep]


def _stain(rng: np.random.Generator) -> Stain:
    r, g, b = np.array([244, 242, 244]) + rng.uniform(-2.5, 2.5, 3)
    return Stain(
        hematoxylin=float(rng.uniform(0.88, 1.12)),
        eosin=float(rng.uniform(0.86, 1.14)),
        hue=float(rng.uniform(-0.04, 0.04)),
        backdrop=(float(r), float(g), float(b)),
    )
