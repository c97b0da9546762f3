"""Draw a layout: stains in optical density, then light through them, one pixel a micrometre.

Light follows Beer and Lambert: what comes through is backdrop x exp(-sum of stain amounts x stain colours).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_nh2st.demo import stamps as drawn
from napari_nh2st.demo.fields import Float32, Float64, enlarge, sample, smooth_noise
from napari_nh2st.demo.layout import Layout
from napari_nh2st.demo.stamps import Stamp

Canvas = npt.NDArray[np.uint8]

# Optical density per unit of stain in red, green and blue.
HEMATOXYLIN = (0.80, 0.86, 0.44)
EOSIN = (0.09, 0.72, 0.38)
PIGMENT = (0.28, 0.55, 0.95)


def paint(layout: Layout) -> Canvas:
    """Return the section as (height, width, 3) uint8 RGB, one pixel a micrometre."""
    rng = np.random.default_rng([layout.seed, 7])
    shape = (layout.height, layout.width)
    tissue = _soft(enlarge(layout.tissue, shape), 3.0)
    hematoxylin, eosin = _ground(rng, layout, tissue)
    pigment = np.zeros(shape, dtype=np.uint8)
    _paint_nuclei(rng, layout, hematoxylin, eosin)
    _paint_structures(rng, layout, (hematoxylin, eosin, pigment))
    return _light(rng, layout, [_blur(c) for c in (hematoxylin, eosin, pigment)])


def _soft(field: Float32, width: float) -> Float32:
    """Turn a signed field into coverage 0..1 with a border `width` um wide, in place."""
    field *= 1 / width
    field += 0.5
    return np.clip(field, 0, 1, out=field)


def _blur(canvas: Canvas) -> Canvas:
    return np.asarray(Image.fromarray(canvas).filter(ImageFilter.GaussianBlur(0.55)))


def _ground(rng: np.random.Generator, layout: Layout, tissue: Float32) -> tuple[Canvas, Canvas]:
    """Paint everything but nuclei and structures: collagen, tumour cytoplasm, fat; hematoxylin and eosin."""
    shape = (layout.height, layout.width)
    tumour = _soft(enlarge(layout.tumour, shape), 4.0)
    cleft = 1 - 0.75 * np.exp(-(((enlarge(layout.tumour, shape) + 3.5) / 2.2) ** 2)) * _soft(
        enlarge(smooth_noise(rng, layout.shape, 40), shape), 0.5
    )
    fibres = _collagen(rng, layout)
    shade = 1 + 0.10 * enlarge(smooth_noise(rng, layout.shape, 90), shape)
    fat, walls = _fat(rng, layout)
    solid = cleft * tissue * shade
    hematoxylin = ((3 + 0.07 * fibres) * (1 - tumour) + 17 * tumour) * (1 - fat) * solid
    eosin = ((fibres * (1 - tumour) + 26 * tumour) * (1 - fat) + walls) * solid
    return np.clip(hematoxylin, 0, 255).astype(np.uint8), np.clip(eosin, 0, 255).astype(np.uint8)


def _collagen(rng: np.random.Generator, layout: Layout) -> Float32:
    """Eosin of wavy fibres: a stretched noise texture read along the layout's warped coordinates."""
    side = 1024
    fine = ndimage.gaussian_filter(rng.standard_normal((side, side)), (0.8, 13), mode="wrap")
    bundle = ndimage.gaussian_filter(rng.standard_normal((side, side)), (3.2, 42), mode="wrap")
    texture = fine / fine.std() * 0.65 + bundle / bundle.std()
    gaps = np.clip((texture + 1.75) * 1.5, 0.22, 1)  # clefts between bundles
    grain = ndimage.gaussian_filter(rng.standard_normal((side, side)), (0.6, 2.5), mode="wrap")
    texture = ((50 + 10 * texture + 7 * grain / grain.std()) * gaps).astype(np.float32)
    u, v = (enlarge(f, (layout.height, layout.width)).astype(np.int32) & (side - 1) for f in layout.flow)
    fibres: Float32 = texture[v, u]
    return fibres


def _fat(rng: np.random.Generator, layout: Layout) -> tuple[Float32, Float32]:
    """Polygonal empty cells with thin walls: coverage 0..1, and the eosin of the walls. Drawn at 2 um."""
    half = (layout.height // 2, layout.width // 2)
    field = enlarge(layout.fat, half)
    rows, columns = np.nonzero(field > -12)
    covered, walls = np.zeros(half, dtype=np.float32), np.zeros(half, dtype=np.float32)
    if len(rows):
        centres = _fat_cells(rng, layout)
        places = np.stack([columns, rows], axis=1) * 2.0 + 1
        distance, nearest = cKDTree(centres).query(places, k=2)
        whole = sample(layout.fat, centres)[nearest[:, 0]] > -4  # a cell is there or not: no cut cells
        coverage = np.clip((distance[:, 1] - distance[:, 0]) / 2.5, 0, 1)
        covered[rows, columns] = whole * np.maximum(coverage, field[rows, columns] > 8)
        walls[rows, columns] = whole * 55 * np.clip(1.25 - (distance[:, 1] - distance[:, 0]) / 3.6, 0, 1)
    return enlarge(covered, (layout.height, layout.width)), enlarge(walls, (layout.height, layout.width))


def _fat_cells(rng: np.random.Generator, layout: Layout) -> Float64:
    spacing = 44.0
    rows, columns = int(layout.height / spacing) + 1, int(layout.width / spacing) + 1
    row, column = (a.ravel() for a in np.mgrid[:rows, :columns])
    grid = np.stack([column + 0.5 * (row % 2), row], axis=1) * spacing
    centres: Float64 = grid + rng.uniform(-0.3, 0.3, grid.shape) * spacing
    return centres


def _put(canvas: Canvas, stamps: list[Stamp], which: npt.NDArray[np.int64], places: Float64) -> None:
    """Stamp (n, 2) places, um, keeping the darker of old and new."""
    reach = stamps[0].shape[0] // 2
    height, width = canvas.shape
    corners = np.floor(places).astype(np.int64) - reach
    side = 2 * reach + 1
    fits = (corners >= 0).all(axis=1) & (corners[:, 0] + side <= width) & (corners[:, 1] + side <= height)
    for index, (x, y) in zip(which[fits].tolist(), corners[fits].tolist(), strict=True):
        view = canvas[y : y + side, x : x + side]
        np.maximum(view, stamps[index], out=view)


def _paint_nuclei(rng: np.random.Generator, layout: Layout, hematoxylin: Canvas, eosin: Canvas) -> None:
    def pick(stamps: list[Stamp], places: Float64) -> npt.NDArray[np.int64]:
        return rng.integers(len(stamps), size=len(places))

    places = layout.nuclei["tumour"]
    bodies, tumour, immune = drawn.cell_bodies(rng), drawn.tumour_nuclei(rng), drawn.immune_nuclei(rng)
    _put(eosin, bodies, pick(bodies, places), places)
    _put(hematoxylin, tumour, pick(tumour, places), places)
    spindle = drawn.spindle_nuclei(rng)
    places = layout.nuclei["stroma"]
    per_angle = len(spindle) // drawn.ANGLES
    bins = np.rint(_fibre_angle(layout, places) / np.pi * drawn.ANGLES).astype(np.int64) % drawn.ANGLES
    _put(hematoxylin, spindle, bins * per_angle + rng.integers(per_angle, size=len(places)), places)
    places = layout.nuclei["immune"]
    _put(hematoxylin, immune, pick(immune, places), places)


def _fibre_angle(layout: Layout, places: Float64) -> Float64:
    """Direction of the fibres at (n, 2) places, um; the coordinate across is constant along it."""
    down, right = np.gradient(layout.flow[1])
    return np.arctan2(-sample(right, places), sample(down, places))


def _paint_structures(rng: np.random.Generator, layout: Layout, canvases: tuple[Canvas, Canvas, Canvas]) -> None:
    """Clear the ground under each structure, then draw it, turned at random."""
    for kind, places in layout.structures.items():
        stamps = drawn.STRUCTURE_STAMPS[kind](rng)
        side = stamps[0].shape[0]
        for place in places:
            left, top = (int(c) - side // 2 for c in np.floor(place))
            stamp = np.rot90(stamps[int(rng.integers(len(stamps)))], int(rng.integers(4)))
            for channel, canvas in enumerate(canvases):
                view = canvas[top : top + side, left : left + side]
                if view.shape == stamp.shape[:2]:
                    view[...] = view * (stamp[:, :, 3] / np.float32(100))
                    np.maximum(view, stamp[:, :, channel], out=view)


def _light(rng: np.random.Generator, layout: Layout, canvases: list[Canvas]) -> Canvas:
    """Shine light through the stains and add the camera's noise."""
    stain = layout.stain
    amount = np.arange(256) / 100
    colours = (np.array(HEMATOXYLIN) * stain.hematoxylin, np.array(EOSIN) * stain.eosin, np.array(PIGMENT))
    colours[0][0] += stain.hue
    colours[1][2] -= stain.hue
    shape = canvases[0].shape
    noise = rng.normal(0, 2.2, (512, 512)).astype(np.float32)
    noise = np.tile(noise, (shape[0] // 512 + 1, shape[1] // 512 + 1))[: shape[0], : shape[1]]
    out = np.empty((*shape, 3), dtype=np.uint8)
    for channel in range(3):
        tables = [np.exp(-amount * colour[channel]).astype(np.float32) for colour in colours]
        light = tables[0][canvases[0]]
        light *= tables[1][canvases[1]]
        light *= tables[2][canvases[2]]
        light *= np.float32(stain.backdrop[channel])
        light += np.roll(noise, channel * 101, axis=1)
        out[:, :, channel] = np.clip(light, 0, 255, out=light)
    return out
