"""Measured sections in memory: pixels, spots with their nine places, labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.places import neighbourhood, slide_box
from napari_nh2st.engine.section_descriptor import UNDESCRIBED, SectionDescriptor, describe_section
from napari_nh2st.engine.slide_sample import sample_places
from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, spot_counts
from napari_nh2st.expression.panel_match import match_panel
from napari_nh2st.geometry import SELF, TileSet
from napari_nh2st.model.card import Card
from napari_nh2st.model.gene_names import other_symbols
from napari_nh2st.slides import Slide, TissueMask, open_slide
from napari_nh2st.training.sections.examine import examine
from napari_nh2st.training.sections.findings import SectionFindings
from napari_nh2st.training.sections.place_labels import PlaceLabels

FloatArray = npt.NDArray[np.float64]

# A section's crop larger than this is refused rather than swapped to disk.
MAX_CROP_BYTES = 8 * 2**30
READ_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class SampledTissue:
    """The slide's sample, for heads that look at it; see `engine.slide_sample`.

    Attributes
    ----------
    centres : (K, 2) float64
        (x, y) in pixels of the section's crop, whole numbers for patches of an even side.
    beyond : dict of int to (side, side, 3) uint8
        Windows round the places that do not lie whole in the crop; see `sample_window`.
    """

    centres: FloatArray
    beyond: dict[int, npt.NDArray[np.uint8]]


NO_SAMPLE = SampledTissue(np.zeros((0, 2)), {})


def sample_window(card: Card) -> tuple[int, int]:
    """Return how far a window round a sampled place begins before it, and its side, in model pixels.

    The place lies on a cell of the encoder's, and all that its embedding can see lies in the window.
    """
    stride, halo = card.architecture.stride, card.architecture.halo
    return 4 * stride + halo, 8 * stride + 2 * halo


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
    measured : PlaceLabels
        The spots whose labels stand for each place.
    labels : (n, G) float32
    depth : (n,) float64
        Library size of each spot: raw counts over all measured genes.
    held_out : (n,) bool
        Spots that nothing is learnt from: the blocks, or all of a section that is only scored.
    inner : (n,) bool
        Those of them that choose the best epoch.
    corner : (2,) int64
        Top-left of the crop (x, y) on the slide, model pixels.
    ids : (n,) str
        Ids of the spots.
    number : int
        Which of a run's sections it is, from 0.
    left_out : int
        Spots that lie off the slide.
    doubts : tuple of str
        What to know of the section, a line each.
    descriptor : SectionDescriptor
        By which it is known again.
    sample : SampledTissue
    """

    name: str
    patient: str
    fingerprint: str
    mpp: float
    pixels: npt.NDArray[np.uint8]
    centres: FloatArray
    present: npt.NDArray[np.bool_]
    measured: PlaceLabels
    labels: npt.NDArray[np.float32]
    depth: FloatArray
    held_out: npt.NDArray[np.bool_]
    inner: npt.NDArray[np.bool_]
    corner: npt.NDArray[np.int64]
    ids: npt.NDArray[np.str_]
    number: int = 0
    left_out: int = 0
    doubts: tuple[str, ...] = ()
    descriptor: SectionDescriptor = UNDESCRIBED
    sample: SampledTissue = NO_SAMPLE

    def micrometres(self, mpp: float) -> FloatArray:
        """Return each spot's place on its slide, (n, 2), µm (x, y), at the model's mpp."""
        return np.asarray((self.centres[:, SELF] + self.corner) * mpp, dtype=np.float64)

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        """Held-out spots that choose nothing and are reported, (n,) bool."""
        return self.held_out & ~self.inner

    def cut(self, x: int, y: int, width: int, height: int) -> npt.NDArray[np.uint8]:
        """Cut a box of pixels whose top-left is at (x, y) in the crop, (height, width, 3); white beyond the crop."""
        out = np.full((height, width, 3), 255, dtype=np.uint8)
        bottom, right = self.pixels.shape[:2]
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, right), min(y + height, bottom)
        if x1 > x0 and y1 > y0:
            out[y0 - y : y1 - y, x0 - x : x1 - x] = self.pixels[y0:y1, x0:x1]
        return out


def load_sections(
    samples: Sequence[Sample],
    counts: Sequence[Any],
    card: Card,
    findings: Sequence[SectionFindings],
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[Section]:
    """Load examined sections one after the other; see `load_section`."""
    sections: list[Section] = []
    for sample, data, found in zip(samples, counts, findings, strict=True):
        progress(len(sections), len(samples))
        sections.append(load_section(sample, data, card, found))
    return sections


def load_section(sample: Sample, data: Any, card: Card, findings: SectionFindings | None = None) -> Section:
    """Read a section's pixels at the model's mpp and lay out its spots' neighbourhoods.

    Parameters
    ----------
    sample : Sample
    data : AnnData
        From `read_expression`.
    card : Card
        mpp, patch, pitch and panel of the model to be trained.
    findings : SectionFindings, optional
        Of `examine.examine`, where the section was examined already.

    Raises
    ------
    SampleError
        If the section is refused (`examine.examine`).
    MppNeeded
        If neither the slide nor the sheet says how large a pixel is.
    """
    with open_slide(sample.slide, mpp=sample.mpp) as slide:
        findings = examine(sample, data, slide) if findings is None else findings
        data = findings.admit(sample.sample, data)
        mpp = slide.require_mpp()
        scale = card.scale_on(mpp)
        data, _ = match_panel(data, card.genes, card.ensembl, other_symbols)
        spots = TileSet.at(data.obsm["spatial"], scale=scale, pitch=card.pitch)
        places, present = neighbourhood(spots, card, slide_box(slide), findings.tissue)
        centres = places / scale  # (n, 9, 2) model pixels
        margin = card.patch // 2 + card.architecture.stride
        corner = np.floor(centres.min(axis=(0, 1)) - margin).astype(np.int64)
        width, height = np.ceil(centres.max(axis=(0, 1)) + margin).astype(np.int64) - corner
        if int(width) * int(height) * 3 > MAX_CROP_BYTES:
            raise SampleError(
                f"sample {sample.sample}: its spots span {width} x {height} px at {card.mpp:.3g} um: too large"
            )
        pixels = _read_crop(slide, corner, int(width), int(height), scale)
        sampled = _sample(slide, card, findings.tissue, corner, pixels.shape[:2])
        fingerprint = slide.fingerprint
        descriptor = describe_section(slide, data)
    counts = spot_counts(data, card.genes)
    return Section(
        sample.sample,
        sample.patient,
        fingerprint,
        mpp,
        pixels,
        centres - corner,
        present,
        PlaceLabels.of(centres),
        card.labels(counts),
        counts.depth,
        np.zeros(len(data), dtype=bool),
        np.zeros(len(data), dtype=bool),
        corner,
        np.asarray(data.obs_names, dtype=str),
        left_out=findings.off_slide,
        doubts=findings.doubts,
        descriptor=descriptor,
        sample=sampled,
    )


def _sample(
    slide: Slide, card: Card, tissue: TissueMask, corner: npt.NDArray[np.int64], crop: tuple[int, ...]
) -> SampledTissue:
    """Find the slide's sample, and read what of it lies beyond the crop, whose top-left is at `corner` (x, y)."""
    scale = card.scale_on(slide.require_mpp())
    centres = sample_places(slide, card, tissue).centres / scale
    before, side = sample_window(card)
    beyond = {}
    for i, (x, y) in enumerate(np.round(centres - before).astype(np.int64).tolist()):
        left, top = x - int(corner[0]), y - int(corner[1])
        if min(left, top) < 0 or left + side > crop[1] or top + side > crop[0]:
            beyond[i] = slide.read(x, y, side, side, scale)
    return SampledTissue(centres - corner, beyond)


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


def part_of(section: Section, spots: npt.NDArray[np.int64]) -> Section:
    """Take some spots of a section, (k,) indices; the others are as if they had never been measured."""
    columns = ("centres", "present", "labels", "depth", "held_out", "inner", "ids")
    each = {k: getattr(section, k)[spots] for k in columns}
    return replace(section, **each, measured=section.measured.part(spots))
