"""Windows of tissue: pixels, the spots in them, their nine places and labels.

The encoder passes once over a window; every spot in it and every neighbour place is pooled from the same feature map,
so tissue is encoded once for targets and neighbours alike, and training sees what prediction sees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.sections.section import FloatArray, Section

Indices = npt.NDArray[np.int64]


@dataclass(eq=False)
class Window:
    """A block of tissue with some spots.

    Attributes
    ----------
    pixels : (H, W, 3) uint8
    centres : (m, 9, 2) float32
        Pixels of the window, (x, y).
    present, known : (m, 9) bool
        Places with tissue inside the window; places with a measured label.
    labels : (m, 9, G) float32
        Standardised labels, 0 where not known.
    spots, sections : (m,) int64
        Which spots of which section they are.
    """

    pixels: torch.Tensor
    centres: torch.Tensor
    present: torch.Tensor
    known: torch.Tensor
    labels: torch.Tensor
    spots: torch.Tensor
    sections: torch.Tensor


@dataclass(frozen=True, eq=False)
class WindowCutter:
    """Cuts windows out of a section and standardises their labels."""

    scale: LabelScale

    def cut(self, section: Section, corner: Indices, size: tuple[int, int], spots: Indices) -> Window:
        """Cut the window of this (width, height) whose top-left is at `corner` (x, y); white beyond the crop."""
        known, values = self.labels(section, spots)
        return Window(
            torch.from_numpy(section.cut(int(corner[0]), int(corner[1]), *size)),
            torch.from_numpy((section.centres[spots] - corner).astype(np.float32)),
            torch.from_numpy(section.present[spots]),
            torch.from_numpy(known),
            torch.from_numpy(values),
            torch.from_numpy(spots),
            torch.full((len(spots),), section.number),
        )

    def labels(self, section: Section, spots: Indices) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
        """Return the nine places' labels: which are known (m, 9), and their standardised values (m, 9, G)."""
        # Training must not see held-out labels, not even as a neighbour's; a validation window shows none at all.
        known = section.measured.known(spots, section.held_out)
        values = self.scale.standardise(section.measured.labels(spots, section.labels))
        values[~known & (np.arange(9) != SELF)] = 0
        return known, values.astype(np.float32)


def turn(window: Window, quarter: int, mirror: bool) -> Window:
    """Turn a window by quarters (counter-clockwise) and mirror it, with the places in it."""
    pixels, centres = window.pixels, window.centres
    for _ in range(quarter % 4):
        centres = torch.stack([centres[..., 1], pixels.shape[1] - centres[..., 0]], dim=-1)
        pixels = torch.rot90(pixels, 1, (0, 1))
    if mirror:
        pixels = pixels.flip(1)
        centres = torch.stack([pixels.shape[1] - centres[..., 0], centres[..., 1]], dim=-1)
    return replace(window, pixels=pixels, centres=centres)


def spots_a_window(section: Section, side: int) -> float:
    """Guess how many spots a window holds whole, at the section's own density of spots."""
    spots = section.centres[:, SELF]
    spacing = np.median(cKDTree(spots).query(spots, 2)[0][:, 1]) if len(spots) > 1 else side
    return max(1.0, (side / max(float(spacing), 1.0)) ** 2 / 2)


def cover(section: Section, spots: Indices, cutter: WindowCutter, card: Card, side: int) -> list[Window]:
    """Cut windows that hold the whole neighbourhoods of some spots.

    Parameters
    ----------
    spots : (k,) int64
        Which spots of the section.
    side : int
        Of a window at most, model pixels; more where one neighbourhood needs more.

    Returns
    -------
    list of Window
        Each of the spots stands in exactly one.
    """
    if not len(spots):
        return []
    reach = card.pitch + card.patch
    places = section.centres[spots, SELF]
    low, extent = places.min(axis=0), np.ptp(places, axis=0)
    count, cell, size = grid(extent, card, side)
    index = np.minimum((places - low) // cell, count - 1).astype(np.int64)
    _, which = np.unique(index, axis=0, return_inverse=True)
    which = which.reshape(-1)
    windows = []
    for k in range(which.max() + 1):
        inside = which == k
        corner = np.floor(low + index[inside][0] * cell - reach).astype(np.int64)
        windows.append(cutter.cut(section, corner, (int(size[0]), int(size[1])), spots[inside]))
    return windows


def grid(extent: FloatArray, card: Card, side: int) -> tuple[Indices, FloatArray, Indices]:
    """Lay windows over spots: as few equal cells as fit, each with a neighbourhood's margin round it.

    So hardly any pixel is covered twice.

    Parameters
    ----------
    extent : (2,) float64
        Of the spots' places, (x, y) in model pixels.
    side : int
        As for `cover`.

    Returns
    -------
    count : (2,) int64
        Cells across and down.
    cell : (2,) float64
        Side of a cell without its margin.
    size : (2,) int64
        Of a window.
    """
    reach = card.pitch + card.patch
    count = np.maximum(1, np.ceil(extent / max(side - 2 * reach, card.pitch))).astype(np.int64)
    cell: FloatArray = extent / count + 1e-6
    size = np.ceil(cell).astype(np.int64) + 2 * reach + 1
    size += -size % card.architecture.stride
    return count, cell, size
