"""Small pictures of single nuclei and structures, as amounts of stain, to be stamped into a section.

A stamp is (k, k) or (k, k, 4) uint8 with k odd, one pixel a micrometre, the object in its middle up to a subpixel
shift. 100 is one unit of stain. The last axis of structures is hematoxylin, eosin, pigment, and the percentage of the
ground that stays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_nh2st.demo.fields import Float64

Stamp = npt.NDArray[np.uint8]

ANGLES = 24
"""Directions, over half a turn, for which spindle nuclei are drawn."""


def _grid(side: int, shift: Float64) -> tuple[Float64, Float64]:
    axis = np.arange(side) - side // 2
    return axis[None, :] - shift[0], axis[:, None] - shift[1]


def _ellipse(side: int, shift: Float64, long: float, short: float, angle: float) -> Float64:
    """Distance from the centre in units of the ellipse's border, (side, side)."""
    x, y = _grid(side, shift)
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    distance: Float64 = np.sqrt((u / long) ** 2 + (v / short) ** 2)
    return distance


def _solid(distance: Float64, radius: float) -> Float64:
    """Coverage with a border about a pixel wide."""
    return np.clip((1 - distance) * radius + 0.5, 0, 1)


def _stamp(amount: Float64) -> Stamp:
    return np.clip(amount, 0, 255).astype(np.uint8)


def tumour_nuclei(rng: np.random.Generator, count: int = 160) -> list[Stamp]:
    """Large vesicular nuclei: pale inside, a dark rim, clumped chromatin, sometimes a nucleolus."""
    stamps = []
    for _ in range(count):
        short = rng.uniform(3.2, 4.9)
        long = short * rng.uniform(1.05, 1.5)
        shift = rng.uniform(-0.5, 0.5, 2)
        distance = _ellipse(17, shift, long, short, rng.uniform(0, np.pi))
        chromatin = ndimage.gaussian_filter(rng.standard_normal((17, 17)), 0.8) * 0.55
        inside = rng.uniform(0.62, 0.95) + chromatin + 0.28 * np.exp(-(((distance - 0.85) / 0.2) ** 2))
        if rng.uniform() < 0.4:
            x, y = _grid(17, shift + rng.uniform(-1.5, 1.5, 2))
            inside += 0.5 * np.exp(-(x**2 + y**2) / 1.2)
        stamps.append(_stamp(100 * inside * _solid(distance, short) * rng.uniform(0.8, 1.15)))
    return stamps


def spindle_nuclei(rng: np.random.Generator, per_angle: int = 12) -> list[Stamp]:
    """Slender nuclei of fibroblasts, `per_angle` for each of `ANGLES` directions, in that order."""
    stamps = []
    for index in range(ANGLES):
        for _ in range(per_angle):
            short, long = rng.uniform(1.1, 1.9), rng.uniform(4.5, 7.5)
            angle = index * np.pi / ANGLES + rng.normal(0, 0.12)
            distance = _ellipse(19, rng.uniform(-0.5, 0.5, 2), long, short, angle)
            stamps.append(_stamp(rng.uniform(75, 125) * _solid(distance, short)))
    return stamps


def immune_nuclei(rng: np.random.Generator, count: int = 96) -> list[Stamp]:
    """Small round dark nuclei of lymphocytes."""
    stamps = []
    for _ in range(count):
        short = rng.uniform(2.4, 3.1)
        distance = _ellipse(11, rng.uniform(-0.5, 0.5, 2), short * rng.uniform(1, 1.15), short, rng.uniform(0, 3))
        clumps = ndimage.gaussian_filter(rng.standard_normal((11, 11)), 0.7) * 0.35
        stamps.append(_stamp(100 * (rng.uniform(1.15, 1.5) + clumps) * _solid(distance, short)))
    return stamps


def cell_bodies(rng: np.random.Generator, count: int = 24) -> list[Stamp]:
    """Soft bodies of tumour cells, in eosin; the gaps between them show the cell borders."""
    stamps = []
    for _ in range(count):
        radius = rng.uniform(6.3, 7.6)
        distance = _ellipse(21, rng.uniform(-0.5, 0.5, 2), radius * 1.1, radius, rng.uniform(0, np.pi))
        stamps.append(_stamp(rng.uniform(36, 52) * np.clip((1.12 - distance) * 3.2, 0, 1)))
    return stamps


def _wobbly(rng: np.random.Generator, side: int, radius: float, wobble: float = 0.08) -> Float64:
    """Distance from the centre in units of an uneven, slightly stretched border of this mean radius."""
    x, y = _grid(side, np.zeros(2))
    angle = np.arctan2(y, x)
    border = np.full((side, side), 1.0)
    for wave in (2, 3, 4):
        border += wobble * rng.uniform(0.3, 1) * np.cos(wave * (angle - rng.uniform(0, 2 * np.pi)))
    distance: Float64 = np.hypot(x, y) / (radius * border)
    return distance


def _nuclei_along(rng: np.random.Generator, distance: Float64, count: int, along: float, across: float) -> Float64:
    """Hematoxylin of `count` nuclei on the line distance = 1, `along` it and `across` it half axes, um."""
    side = distance.shape[0]
    amount = np.zeros((side, side))
    x, y = _grid(side, np.zeros(2))
    turn = rng.uniform(0, 2 * np.pi)
    for index in range(count):
        angle = turn + 2 * np.pi * (index + rng.uniform(-0.25, 0.25)) / count
        ray = np.hypot(x - 99 * np.cos(angle), y - 99 * np.sin(angle)) + 30 * np.abs(distance - 1)
        row, column = np.unravel_index(int(ray.argmin()), ray.shape)
        centre = np.array([x[0, column], y[row, 0]]) + rng.uniform(-0.5, 0.5, 2)
        nucleus = _ellipse(side, centre, along, across, np.arctan2(centre[1], centre[0]) + np.pi / 2)
        amount = np.maximum(amount, rng.uniform(80, 125) * _solid(nucleus, min(along, across)))
    return amount


def _layers(hematoxylin: Float64, eosin: Float64, pigment: Float64, ground: Float64) -> Stamp:
    """Stack a structure's stains; `ground` 0..1 is the share of the old ground that stays."""
    return _stamp(np.stack([hematoxylin, eosin, pigment, 100 * np.clip(ground, 0, 1)], axis=2))


def vessels(rng: np.random.Generator, count: int = 24) -> list[Stamp]:
    """Capillaries: packed red cells, a thin wall, a few flat endothelial nuclei."""
    stamps = []
    for _ in range(count):
        side, radius = 65, rng.uniform(19.5, 23.5)
        distance = _wobbly(rng, side, radius)
        cells = ndimage.gaussian_filter(rng.standard_normal((side, side)), 1.5)
        filled = np.clip(0.85 + 2.6 * cells, 0, 1.0) * _solid(distance * 1.04, radius)
        wall = np.clip(1 - np.abs(distance - 1.09) * radius / 2.6, 0, 1)
        nuclei = _nuclei_along(rng, distance / 1.13, int(rng.integers(7, 11)), 4.4, 1.5)
        stamps.append(_layers(nuclei, 95 * filled + 62 * wall, 55 * filled, (distance - 1.14) * radius / 2))
    return stamps


def glands(rng: np.random.Generator, count: int = 24) -> list[Stamp]:
    """Small ducts: cuboidal cells in a ring round an empty lumen."""
    stamps = []
    for _ in range(count):
        side, radius = 65, rng.uniform(23.5, 26.5)
        distance = _wobbly(rng, side, radius, 0.06)
        lumen = _wobbly(rng, side, radius * rng.uniform(0.40, 0.55), 0.14)
        body = _solid(distance, radius) * (1 - _solid(lumen, 11))
        nuclei = _nuclei_along(rng, distance / 0.80, int(rng.integers(17, 21)), 2.8, 4.2)
        rim = 34 * np.clip(1 - np.abs(distance - 1.02) * radius / 1.5, 0, 1)
        stamps.append(_layers(nuclei * body + 12 * body, 44 * body + rim, 0 * body, (distance - 1) * radius / 2))
    return stamps


def lymphoid(rng: np.random.Generator, count: int = 24) -> list[Stamp]:
    """Tight clumps of lymphocytes with a ragged edge."""
    single = immune_nuclei(rng, 40)
    stamps = []
    for _ in range(count):
        side = 81
        distance = _wobbly(rng, side, 24.5, 0.08)
        amount = np.zeros((side, side))
        for row in range(-5, 6):
            for column in range(-5, 6):
                centre = np.array([(column + 0.5 * (row % 2)) * 5.8, row * 5.1]) + rng.uniform(-1.3, 1.3, 2)
                x, y = (round(float(c)) + side // 2 for c in centre)
                if distance[y, x] < 1:
                    view = amount[y - 5 : y + 6, x - 5 : x + 6]
                    np.maximum(view, single[int(rng.integers(len(single)))], out=view)
        soft = np.clip((1.1 - distance) * 4, 0, 1)
        stamps.append(_layers(np.maximum(amount, 24 * soft), 20 * soft, 0 * soft, 1 - soft))
    return stamps


def calcifications(rng: np.random.Generator, count: int = 24) -> list[Stamp]:
    """Layered, almost black-violet concretions with a narrow cleft round them."""
    stamps = []
    for _ in range(count):
        side, radius = 49, rng.uniform(13.0, 17.0)
        distance = _wobbly(rng, side, radius, 0.07)
        rings = 0.88 + 0.18 * np.cos(distance * radius * 2 * np.pi / rng.uniform(4.0, 6.0))
        rough = 1 + 0.9 * ndimage.gaussian_filter(rng.standard_normal((side, side)), 1.0)
        body = _solid(distance, radius) * rings * np.clip(rough, 0.5, 1.3)
        ground = (distance - 1.08) * radius / 1.5
        stamps.append(_layers(165 * body, 62 * body, 0 * body, ground))
    return stamps


def pigment(rng: np.random.Generator, count: int = 24) -> list[Stamp]:
    """Clusters of macrophages laden with brown granules, lying in what was there."""
    stamps = []
    for _ in range(count):
        side = 51
        granules, nuclei = np.zeros((side, side)), np.zeros((side, side))
        for _ in range(int(rng.integers(20, 25))):
            angle, radius = rng.uniform(0, 2 * np.pi), 16.5 * np.sqrt(rng.uniform())
            centre = radius * np.array([np.cos(angle), np.sin(angle)])
            granules = np.maximum(granules, _solid(_ellipse(side, centre, 4.8, 3.9, angle), 3.9))
            nuclei = np.maximum(nuclei, _solid(_ellipse(side, centre * 0.8 + 1.5, 2.3, 1.9, angle), 1.9))
        grain = np.clip(0.75 + 0.8 * rng.standard_normal((side, side)), 0.1, 1.5)
        brown = ndimage.gaussian_filter(granules * grain, 0.6)
        around = ndimage.gaussian_filter(granules, 1.0)
        stamps.append(_layers(50 * nuclei, 32 * granules, 112 * brown, 1 - 0.9 * around))
    return stamps


STRUCTURE_STAMPS = {
    "vessel": vessels,
    "gland": glands,
    "lymphoid": lymphoid,
    "calcification": calcifications,
    "pigment": pigment,
}
