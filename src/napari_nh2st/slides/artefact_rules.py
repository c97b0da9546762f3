"""The rules by which artefacts are found, in a view of 8 um per pixel.

Their numbers were set on procedural sections with planted artefacts (`demo.artefacts`, seeds 0 to 3) and so that the
real sections B4 and C2 to C4 of her2st stay nearly clean. `docs/scripts/artefacts.py` scores them on other seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_nh2st.slides.find_tissue import without_specks
from napari_nh2st.slides.tissue import Mask

Floats = npt.NDArray[np.float32]

FINE_UM, PER = 2.0, 4
"""Sharpness is measured at so many um per pixel; so many of these pixels are the side of one of the map."""
REACH = 16
"""Pixels of the map that `sharpness` looks at around a view."""

# In log2 of the energies: a field is blurred if it is so much below the slide's median, but for these two limits.
BLURRED, SHARPEST, SOFTEST = 2.0, -0.5, -1.6
# Green and blue ink have this much more density in red than in green (H&E: up to 0.12), and this much in red.
INK, INK_RED = 0.15, 0.3
# Black ink: the least density of the three colours, and how much of the greatest the colours may differ by
BLACK, BLACK_RANGE = 0.75, 0.35
# Pixels of the smallest piece of each kind
SMALLEST = {"pen": 60, "fold": 120, "bubble": 400, "blur": 150}
# Saturation minus intensity of a fold: above the local mean, and above the slide's median by so much, or by so many
# times the distance of the upper quartile
FOLD_LOCAL, FOLD_ABOVE, FOLD_QUARTILES = 0.22, 0.27, 2.2
# A band that was found grows by so many pixels into what is above these parts of the limits.
FOLD_GROWS, FOLD_WEAKER = 3, 0.6
# A fold's band: the radius of its surroundings, half its greatest width, its least length, and length to width
FOLD_AROUND, FOLD_HALF, FOLD_LONG, FOLD_SLENDER = 25, 11, 36, 4.0
# The rim of a bubble: density above its surroundings in each colour, and how far these reach
RIM, RIM_AROUND = 0.2, 3
# A bubble's area to that of the largest disc in it, and how much less sharp than the slide's median it is
ROUND, BUBBLE_SOFT = 1.7, 0.6


@dataclass(frozen=True)
class Norms:
    """Measures of the tissue of the whole slide: medians, and an upper quartile."""

    sharpness: float
    depth: float
    depth_upper: float
    density: float


@dataclass(frozen=True, eq=False)
class View:
    """A part of a slide at 8 um per pixel.

    Attributes
    ----------
    light : (h, w, 3) float32
        Mean light of each pixel, 0 to 255.
    sharpness : (h, w) float32
        See `sharpness`.
    tissue : (h, w) bool
    norms : Norms
    """

    light: Floats
    sharpness: Floats
    tissue: Mask
    norms: Norms

    @property
    def density(self) -> Floats:
        """Optical density of each colour, (h, w, 3)."""
        return -np.log10((self.light + 1) / 256)


def sharpness(pixels: npt.NDArray[np.uint8]) -> Floats:
    """Measure the sharpness of a view at 2 um per pixel.

    Returns
    -------
    (h / 4, w / 4) float32
        log2 of the energy of the Laplacian over that of detail of 3 to 8 um, both within some 32 um of a place. It
        does not depend on how strong the stain is.
    """
    light = pixels[:, :, 0].astype(np.float32) + pixels[:, :, 1] + pixels[:, :, 2]
    grey = -np.log10(light / 3 / 256 + 1 / 256)
    fine = ndimage.laplace(ndimage.gaussian_filter(grey, 0.7))
    coarse = ndimage.gaussian_filter(grey, 1.5) - ndimage.gaussian_filter(grey, 4.0)
    return np.log2((_energy(fine) + 1e-9) / (_energy(coarse) + 1e-7)).astype(np.float32)


def _energy(detail: Floats) -> Floats:
    return np.asarray(ndimage.gaussian_filter(pooled(detail * detail), 4.0), dtype=np.float32)


def pooled(values: Floats) -> Floats:
    """Average (h, w, ...) over squares of `PER` pixels."""
    height, width = (side // PER * PER for side in values.shape[:2])
    rows = np.add.reduce([values[k:height:PER] for k in range(PER)])  # sooner done than a mean over two axes
    return np.asarray(np.add.reduce([rows[:, k:width:PER] for k in range(PER)]) / PER**2, dtype=np.float32)


def depth(light: Floats) -> Floats:
    """Return saturation minus intensity, -1 to 1: high where stain is thick."""
    brightest = light.max(axis=2)
    saturation = (brightest - light.min(axis=2)) / np.maximum(brightest, 1)
    return np.asarray(saturation - light.mean(axis=2) / 255, dtype=np.float32)


def blur(view: View) -> Mask:
    """Find fields out of focus."""
    limit = np.clip(view.norms.sharpness - BLURRED, SOFTEST, SHARPEST)
    soft = (view.sharpness < limit) & view.tissue
    return _large(ndimage.binary_opening(soft, iterations=2), SMALLEST["blur"])


def pen(view: View) -> Mask:
    """Find blue, green and black ink."""
    density = view.density
    red, green = density[:, :, 0], density[:, :, 1]
    coloured = (red - green > INK) & (red > INK_RED)
    least, greatest = density.min(axis=2), density.max(axis=2)
    black = (least > BLACK) & (greatest - least < BLACK_RANGE * greatest)
    return _grown(_large(ndimage.binary_opening(coloured | black), SMALLEST["pen"]), 1)


def fold(view: View) -> Mask:
    """Find folds: slender bands in which tissue lies on tissue."""
    deep, side = ndimage.gaussian_filter(depth(view.light), 1.5), 2 * FOLD_AROUND + 1
    weight = ndimage.uniform_filter(view.tissue.astype(np.float32), side)
    around = ndimage.uniform_filter(np.where(view.tissue, deep, 0), side) / np.maximum(weight, 1e-3)
    norms = view.norms
    above = max(FOLD_ABOVE, FOLD_QUARTILES * (norms.depth_upper - norms.depth))
    excess = np.minimum((deep - around) / FOLD_LOCAL, (deep - norms.depth) / above)
    bands = _bands((excess > 1) & view.tissue)
    return _grown(bands, FOLD_GROWS, excess > FOLD_WEAKER)


def _bands(mask: Mask) -> Mask:
    """Keep pieces that are long and slender."""
    pieces, _ = ndimage.label(mask, np.ones((3, 3)))
    out = np.zeros_like(mask)
    for i, place in enumerate(ndimage.find_objects(pieces), 1):
        piece = pieces[place] == i
        area = int(piece.sum())
        if area < SMALLEST["fold"]:
            continue
        half = float(ndimage.distance_transform_edt(np.pad(piece, 1)).max())
        length = area / (2 * half)
        if half <= FOLD_HALF and length >= max(FOLD_LONG, FOLD_SLENDER * 2 * half):
            out[place] |= piece
    return out


def bubble(view: View) -> Mask:
    """Find bubbles: even, round fields inside a closed thin rim that is grey."""
    density = view.density
    size = 2 * RIM_AROUND + 1
    above = [density[:, :, k] - ndimage.grey_opening(density[:, :, k], (size, size)) for k in range(3)]
    rim: Mask = np.minimum(np.minimum(above[0], above[1]), above[2]) > RIM
    if not rim.any():
        return rim
    closed = np.pad(rim, 2)
    closed = np.asarray(ndimage.binary_closing(closed, iterations=2)[2:-2, 2:-2], dtype=bool)
    fields, _ = ndimage.label(~closed)
    grey = density.mean(axis=2)
    out = np.zeros(rim.shape, bool)
    for i, place in enumerate(ndimage.find_objects(fields), 1):
        field = fields[place] == i
        area = int(field.sum())
        if area < SMALLEST["bubble"] or not _inside(place, rim.shape):
            continue
        disc = np.pi * float(ndimage.distance_transform_edt(np.pad(field, 1)).max()) ** 2
        even = np.median(view.sharpness[place][field]) < view.norms.sharpness - BUBBLE_SOFT
        if area <= ROUND * disc and even and np.median(grey[place][field]) < view.norms.density:
            out[place] |= field
    return _grown(out, RIM_AROUND)


def _inside(place: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    return all(at.start > 0 and at.stop < side for at, side in zip(place, shape, strict=True))


def _grown(mask: Mask, pixels: int, into: Mask | None = None) -> Mask:
    return np.asarray(ndimage.binary_dilation(mask, iterations=pixels, mask=into), dtype=bool)


def _large(mask: Mask, smallest: int) -> Mask:
    return without_specks(mask, smallest - 1)


RULES: dict[str, Callable[[View], Mask]] = {"pen": pen, "fold": fold, "bubble": bubble, "blur": blur}
