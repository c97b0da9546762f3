"""Measured sections as blocks of tissue: pixels, the spots in them, their neighbourhoods and labels.

A batch is a set of windows of a section. The encoder passes once over a window; every spot in it and every
neighbour place is pooled from the same feature map, so tissue is encoded once for targets and neighbours alike, and
training sees what prediction sees.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from torch import distributed as dist
from torch.nn import functional as F
from torch.utils.data import IterableDataset

from napari_nh2st.engine.places import neighbourhood, slide_box
from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, labels
from napari_nh2st.geometry import SELF, TileSet
from napari_nh2st.model.card import Card
from napari_nh2st.slides import Slide, open_slide

FloatArray = npt.NDArray[np.float64]

# A section's crop larger than this is refused rather than swapped to disk.
MAX_CROP_BYTES = 8 * 2**30
# Spots off the slide beyond this part mean that the positions belong to another image.
MAX_SPOTS_OFF = 0.05
READ_BLOCK = 2048
# Optimiser steps of an epoch: as many as it takes to meet each spot once, within these bounds. A few hundred spots so
# get enough steps to learn from, and of many thousand an epoch is still soon over.
FEWEST_STEPS, MOST_STEPS = 30, 1000
# Steps whose windows are sorted by size together: more leave less to be filled up, but mix sizes and sections less.
SORTED_STEPS = 32


@dataclass(eq=False)
class Section:
    """One measured section in model pixels, cropped to its spots.

    Attributes
    ----------
    name, patient, fingerprint : str
    mpp : float
        Of the slide's level 0.
    pixels : (H, W, 3) uint8
        At the model's mpp; the window of the slide that holds every spot's neighbourhood.
    centres : (n, 9, 2) float64
        The nine places of every spot, (x, y) in pixels of the crop; index SELF is the spot.
    present : (n, 9) bool
        Places with tissue.
    measured : (n, 9) int64
        Index of the measured spot within half a pitch of each place, -1 where there is none.
    labels : (n, G) float32
    held_out : (n,) bool
        The inner validation block.
    corner : (2,) int64
        Top-left of the crop (x, y) on the slide, model pixels.
    ids : (n,) str
        Ids of the spots.
    number : int
        Which of a run's sections it is, from 0.
    """

    name: str
    patient: str
    fingerprint: str
    mpp: float
    pixels: npt.NDArray[np.uint8]
    centres: FloatArray
    present: npt.NDArray[np.bool_]
    measured: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float32]
    held_out: npt.NDArray[np.bool_]
    corner: npt.NDArray[np.int64]
    ids: npt.NDArray[np.str_]
    number: int = 0


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


@dataclass
class Targets:
    """Spots to be predicted, and what an encoder sees at their nine places.

    Attributes
    ----------
    embeddings : (m, 9, C) or, for a patch encoder, (m, 9, C, 7, 7)
    present, known : (m, 9) bool
    labels : (m, 9, G)
    spots, sections : (m,) int64
    """

    embeddings: torch.Tensor
    present: torch.Tensor
    known: torch.Tensor
    labels: torch.Tensor
    spots: torch.Tensor
    sections: torch.Tensor

    @classmethod
    def of(cls, window: Window, embeddings: torch.Tensor, inside: torch.Tensor, keep: torch.Tensor) -> Targets:
        """Keep some targets of a window; places outside it count as absent."""
        present = (window.present & inside)[keep]
        return cls(
            embeddings, present, window.known[keep], window.labels[keep], window.spots[keep], window.sections[keep]
        )

    @classmethod
    def join(cls, parts: Sequence[Targets]) -> Targets:
        """Put the targets of several windows together."""
        return cls(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def load_section(sample: Sample, data: Any, card: Card) -> Section:
    """Read a section's pixels at the model's mpp and lay out its spots' neighbourhoods.

    Parameters
    ----------
    sample : Sample
    data : AnnData
        From `read_expression`.
    card : Card
        mpp, patch, pitch and panel of the model to be trained.

    Raises
    ------
    SampleError
        If spots lie off the slide: their positions belong to another image.
    MppNeeded
        If neither the slide nor the sheet says how large a pixel is.
    """
    with open_slide(sample.slide, mpp=sample.mpp) as slide:
        mpp = slide.require_mpp()
        scale = card.scale_on(mpp)
        inside = slide_box(slide).contains(data.obsm["spatial"])
        if (~inside).mean() > MAX_SPOTS_OFF:
            raise SampleError(
                f"sample {sample.sample}: {int((~inside).sum())} of {len(inside)} spots lie off {sample.slide.name}: "
                "are their positions in pixels of this image?"
            )
        data = data[inside]
        spots = TileSet.at(data.obsm["spatial"], scale=scale, pitch=card.pitch)
        places, present = neighbourhood(spots, card, slide_box(slide), slide.tissue())
        centres = places / scale
        margin = card.patch // 2 + card.architecture.stride
        low = np.floor(centres.min(axis=(0, 1)) - margin).astype(np.int64)
        width, height = np.ceil(centres.max(axis=(0, 1)) + margin).astype(np.int64) - low
        if int(width) * int(height) * 3 > MAX_CROP_BYTES:
            raise SampleError(
                f"sample {sample.sample}: its spots span {width} x {height} px at {card.mpp:.3g} um: too large"
            )
        pixels = _read_crop(slide, low, int(width), int(height), scale)
        fingerprint = slide.fingerprint
    return Section(
        sample.sample,
        sample.patient,
        fingerprint,
        mpp,
        pixels,
        centres - low,
        present,
        _measured_at(centres, card.pitch),
        labels(data, card.genes),
        np.zeros(len(data), dtype=bool),
        low,
        np.asarray(data.obs_names, dtype=str),
    )


def _read_crop(
    slide: Slide, corner: npt.NDArray[np.int64], width: int, height: int, scale: float
) -> npt.NDArray[np.uint8]:
    """Read a large crop block by block; `corner` (x, y), width and height in model pixels."""
    out = np.empty((height, width, 3), dtype=np.uint8)
    for y in range(0, height, READ_BLOCK):
        for x in range(0, width, READ_BLOCK):
            w, h = min(READ_BLOCK, width - x), min(READ_BLOCK, height - y)
            out[y : y + h, x : x + w] = slide.read(int(corner[0]) + x, int(corner[1]) + y, w, h, scale)
    return out


def _measured_at(centres: FloatArray, pitch: int) -> npt.NDArray[np.int64]:
    """Nearest measured spot within half a pitch of each of the (n, 9, 2) places, -1 where there is none."""
    spots = centres[:, SELF]
    distance, nearest = cKDTree(spots).query(centres.reshape(-1, 2), distance_upper_bound=pitch / 2)
    return np.where(np.isfinite(distance), nearest, -1).astype(np.int64).reshape(centres.shape[:2])


def hold_out_blocks(sections: Sequence[Section], part: float, seed: int) -> None:
    """Mark a compact block of spots of every section as its inner validation set, in place.

    A block, not scattered spots: neighbouring spots are alike, and scattered ones would be guessed from theirs.
    """
    rng = np.random.default_rng([seed, 1])
    for section in sections:
        spots = section.centres[:, SELF]
        # Round a spot of the outer half, so that the block does not cut the section in two.
        away = np.linalg.norm(spots - spots.mean(axis=0), axis=1)
        seat = rng.choice(np.flatnonzero(away >= np.median(away)))
        order = np.argsort(np.linalg.norm(spots - spots[seat], axis=1), kind="stable")
        section.held_out[:] = False
        section.held_out[order[: max(2, round(part * len(spots)))]] = True


class WindowCutter:
    """Cuts windows out of a section and standardises their labels.

    Parameters
    ----------
    mean, std : (G,) float32
        Of the training labels.
    """

    def __init__(self, mean: npt.NDArray[np.float32], std: npt.NDArray[np.float32]) -> None:
        self.mean, self.std = mean, std

    def cut(
        self, section: Section, corner: npt.NDArray[np.int64], size: tuple[int, int], spots: npt.NDArray[np.int64]
    ) -> Window:
        """Cut the window of this (width, height) whose top-left is at `corner` (x, y); white beyond the crop."""
        x, y = (int(v) for v in corner)
        height, width = section.pixels.shape[:2]
        pixels = np.full((size[1], size[0], 3), 255, dtype=np.uint8)
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + size[0], width), min(y + size[1], height)
        if x1 > x0 and y1 > y0:
            pixels[y0 - y : y1 - y, x0 - x : x1 - x] = section.pixels[y0:y1, x0:x1]
        known, values = self.labels(section, spots)
        return Window(
            torch.from_numpy(pixels),
            torch.from_numpy((section.centres[spots] - corner).astype(np.float32)),
            torch.from_numpy(section.present[spots]),
            torch.from_numpy(known),
            torch.from_numpy(values),
            torch.from_numpy(spots),
            torch.full((len(spots),), section.number),
        )

    def labels(
        self, section: Section, spots: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
        """Give the nine places' labels: which are known (m, 9), and their standardised values (m, 9, G)."""
        measured = section.measured[spots]
        # Training must not see held-out labels, not even as a neighbour's; a validation window shows none at all.
        known = (measured >= 0) & ~section.held_out[measured]
        values = (section.labels[measured] - self.mean) / self.std
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


def spots_a_step(spots: int) -> int:
    """How many targets an optimiser step takes: 16 of 500 spots, more of more, with their square root."""
    return int(np.clip(round(16 * (spots / 500) ** 0.5), 12, 256))


def windows_a_step(spots: int, each: float) -> int:
    """How many windows hold so many targets: an even number, of which two threads take as many each."""
    return max(2, 2 * round(spots / each / 2))


class Batches(IterableDataset[Any]):
    """What the steps of an epoch are made of, in any order but always the same one.

    Deterministic in (seed, epoch): a resumed run meets the batches it would have met. Several processes draw the same
    and each takes its share.

    Parameters
    ----------
    batch : int
        What one process draws for a step.
    seed : int
    processes : int
        How many train together.
    parts : int
        A step's share is handed out in so many pieces, one after another, where memory does not hold it at once.
    """

    def __init__(self, batch: int, seed: int, processes: int = 1, parts: int = 1) -> None:
        super().__init__()
        self.batch, self.seed, self.processes, self.parts = batch, seed, processes, min(parts, batch)
        self.epoch = 0

    @property
    def steps(self) -> int:
        """Optimiser steps of an epoch."""
        return int(np.clip(round(self.whole() / self.batch / self.processes), FEWEST_STEPS, MOST_STEPS))

    def __len__(self) -> int:
        return self.steps * self.parts

    @abstractmethod
    def whole(self) -> float:
        """How much there is to draw until each spot has been met once."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Iterator[Any]:
        """Draw without end."""

    @abstractmethod
    def make(self, drawn: list[Any]) -> Any:
        """Turn what was drawn into a batch."""

    def __iter__(self) -> Iterator[Any]:
        rng = np.random.default_rng([self.seed, 2, self.epoch])
        self.epoch += 1
        source = self.draw(rng)
        rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
        for _ in range(self.steps):
            share = [next(source) for _ in range(self.batch * self.processes)][rank :: self.processes]
            for part in range(self.parts):
                yield self.make(share[part :: self.parts])


@dataclass(frozen=True, eq=False)
class Block:
    """Where a training window is to be cut, and how it is then turned.

    Attributes
    ----------
    section : Section
    low, high : (2,) float64
        First and last (x, y) of its targets, in pixels of the crop.
    size : tuple of int
        What it takes to hold them whole, as it lies after turning: (width, height), the width never the smaller.
    quarter : int
    mirror : bool
    slack : (2,) float64
        In [0, 1): which part of the room that is left lies before the targets.
    """

    section: Section
    low: FloatArray
    high: FloatArray
    size: tuple[int, int]
    quarter: int
    mirror: bool
    slack: FloatArray


class TrainingWindows(Batches):
    """Batches of windows round randomly chosen training spots, cropped to the patches that fit in whole.

    Nothing is encoded that no target needs: round the spots of a window as it was drawn lies a margin of half its area.
    The windows of a step are of about the same size, so that little has to be added to make them equal.

    Parameters
    ----------
    side : int
        Of a window before it is cropped, model pixels; more where a patch needs more.
    """

    def __init__(
        self,
        sections: Sequence[Section],
        cutter: WindowCutter,
        card: Card,
        side: int,
        batch: int,
        seed: int,
        processes: int = 1,
        parts: int = 1,
    ) -> None:
        super().__init__(batch, seed, processes, parts)
        self.sections, self.cutter = sections, cutter
        stride = self.stride = card.architecture.stride
        # What a window has to hold before and beyond a spot. A map's cells stand on the first pixel of their stride.
        dense = card.architecture.variant == "context"
        self.margins = np.array([3 * stride, 4 * stride] if dense else [card.patch // 2] * 2)
        self.side = max(side, 4 * int(self.margins.max()))  # the spot that it is drawn round fits in wherever it lies

    def whole(self) -> float:
        """Count the windows that hold as many spots as there are."""
        return sum(float((~s.held_out).sum()) / spots_a_window(s, self.side) for s in self.sections)

    def draw(self, rng: np.random.Generator) -> Iterator[Block]:
        """Draw the blocks of some steps at once, and give those of like size to the same step."""
        weight = np.array([(~s.held_out).sum() for s in self.sections], dtype=float)
        each = self.batch * self.processes
        while True:
            drawn = [self._draw(rng, weight / weight.sum()) for _ in range(SORTED_STEPS * each)]
            drawn.sort(key=lambda block: block.size)
            for step in rng.permutation(SORTED_STEPS).tolist():
                yield from drawn[step * each : (step + 1) * each]

    def _draw(self, rng: np.random.Generator, weight: FloatArray) -> Block:
        section = self.sections[int(rng.choice(len(self.sections), p=weight))]
        spots = section.centres[~section.held_out, SELF]
        corner = rng.choice(spots) - self.side / 2 + rng.uniform(-0.25, 0.25, 2) * self.side
        whole = (spots >= corner + self.margins[0]) & (spots <= corner + self.side - self.margins[1])
        low, high = (f(spots[whole.all(axis=1)], axis=0) for f in (np.min, np.max))
        needed = high - low + self.margins.sum() + 1  # a pixel, because corners are whole ones
        width, height = (int(v) for v in np.ceil(needed / self.stride) * self.stride)
        # Turned so that it lies: windows of like size then fit together whichever way they lay in the tissue.
        quarter = int(rng.integers(4)) if width == height else 2 * int(rng.integers(2)) + (width < height)
        size = (max(width, height), min(width, height))
        return Block(section, low, high, size, quarter, bool(rng.integers(2)), rng.random(2))

    def make(self, drawn: list[Block]) -> list[Window]:
        """Cut the windows, all as large as the largest."""
        width, height = (max(block.size[i] for block in drawn) for i in (0, 1))
        return [self._cut(block, (height, width) if block.quarter % 2 else (width, height)) for block in drawn]

    def _cut(self, block: Block, size: tuple[int, int]) -> Window:
        section = block.section
        spots = section.centres[:, SELF]
        flipped = np.array([block.quarter in (1, 2), block.quarter in (2, 3)])
        flipped[block.quarter % 2] ^= block.mirror  # the axis that lies across after turning
        before, beyond = np.where(flipped, self.margins[::-1, None], self.margins[:, None])
        room = size - (block.high - block.low) - before - beyond - 1
        corner = np.floor(block.low - before - block.slack * room).astype(np.int64)
        inside = ((spots >= corner) & (spots < corner + size)).all(axis=1) & ~section.held_out
        window = self.cutter.cut(section, corner, size, np.flatnonzero(inside))
        return turn(window, block.quarter, block.mirror)


def spots_a_window(section: Section, side: int) -> float:
    """Guess how many spots a window holds whole, at the section's own density of spots."""
    spots = section.centres[:, SELF]
    spacing = np.median(cKDTree(spots).query(spots, 2)[0][:, 1]) if len(spots) > 1 else side
    return max(1.0, (side / max(float(spacing), 1.0)) ** 2 / 2)


def validation_windows(sections: Sequence[Section], cutter: WindowCutter, card: Card, side: int) -> list[list[Window]]:
    """Cut the held-out spots of each section into windows; see `cover`.

    Returns
    -------
    list of list of Window
        One list per section.
    """
    return [cover(section, np.flatnonzero(section.held_out), cutter, card, side) for section in sections]


def cover(section: Section, spots: npt.NDArray[np.int64], cutter: WindowCutter, card: Card, side: int) -> list[Window]:
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


def grid(extent: FloatArray, card: Card, side: int) -> tuple[npt.NDArray[np.int64], FloatArray, npt.NDArray[np.int64]]:
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


def part_of(section: Section, spots: npt.NDArray[np.int64]) -> Section:
    """Take some spots of a section, (k,) indices; the others are as if they had never been measured."""
    number = np.full(len(section.labels) + 1, -1)  # the last stands for what was not measured
    number[spots] = np.arange(len(spots))
    each = {k: getattr(section, k)[spots] for k in ("centres", "present", "labels", "held_out", "ids")}
    return replace(section, **each, measured=number[section.measured[spots]])


def sample_cells(maps: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Sample maps bilinearly: (B, C, h, w) at fractional cells (B, m, 2) as (x, y) -> (B, m, C)."""
    height, width = maps.shape[-2:]
    size = torch.tensor([max(width - 1, 1), max(height - 1, 1)], device=maps.device, dtype=torch.float32)
    grid = cells / size * 2 - 1
    out = F.grid_sample(maps.float(), grid[:, :, None], mode="bilinear", padding_mode="border", align_corners=True)
    return out[..., 0].transpose(1, 2)
