"""A procedural H&E-like section whose expression is known everywhere.

The tissue is drawn, not photographed, and its genes are invented: it shows how the software works and says nothing
about real tissue. Files have `MARK` in their description, by which `slides` recognises them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from napari_nh2st.atomic import finished_file
from napari_nh2st.demo.genes import GENES, PATCH, PITCH, Amounts
from napari_nh2st.demo.layout import Layout, plan
from napari_nh2st.demo.paint import paint
from napari_nh2st.slides.cache import cache_folder

GENERATOR_VERSION = 2
"""To be raised whenever the same seed would give another picture or another truth."""

MARK = "napari-nh2st procedural tissue"
"""Start of the ImageDescription of a procedural slide."""

TILE = 256
LEVELS = 3
SIZE_MM = (4.5, 4.0)

Image8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Section:
    """One procedural section.

    Attributes
    ----------
    layout : Layout
        The plan, in um.
    mpp : float
        Micrometres per pixel of the image.
    """

    layout: Layout
    mpp: float

    @property
    def seed(self) -> int:
        """The seed of everything in the section."""
        return self.layout.seed

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in level-0 pixels."""
        return round(self.layout.height / self.mpp), round(self.layout.width / self.mpp)

    @property
    def genes(self) -> list[str]:
        """Names of the invented genes, in the order of `truth`."""
        return [gene.name for gene in GENES]

    @cached_property
    def image(self) -> Image8:
        """The picture, (height, width, 3) uint8 RGB; drawn on first use."""
        drawn = paint(self.layout)
        if drawn.shape[:2] == self.shape:
            return drawn
        size = (self.shape[1], self.shape[0])
        return np.asarray(Image.fromarray(drawn).resize(size, Image.Resampling.BICUBIC))

    @cached_property
    def amounts(self) -> Amounts:
        """Amounts of everything in the section."""
        return Amounts.of(self.layout)

    def truth(self, centres: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the true expression at any places.

        Parameters
        ----------
        centres : (n, 2) array
            Centres (x, y), level-0 pixels.

        Returns
        -------
        (n, G) float64
            ln(1 + counts per 10,000), genes in the order of `genes`.
        """
        return self.amounts.truth(self._um(centres))

    def tissue_fraction(self, centres: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Fraction 0..1 of tissue in the patch around (n, 2) centres (x, y), level-0 pixels."""
        return self.amounts.own("tissue", self._um(centres))

    def spots(self, pitch: float = PITCH, fraction: float = 0.5) -> npt.NDArray[np.float64]:
        """Lay a square array of spots over the tissue.

        Parameters
        ----------
        pitch : float
            Distance between spots, um.
        fraction : float
            Smallest share of tissue in a spot's patch.

        Returns
        -------
        (n, 2) float64
            Centres (x, y), level-0 pixels, row by row.
        """
        start = np.random.default_rng([self.seed, 11]).uniform(0, pitch, 2) + PATCH / 2
        x, y = (
            np.arange(s, end - PATCH / 2, pitch)
            for s, end in zip(start, (self.layout.width, self.layout.height), strict=True)
        )
        centres = np.stack([a.ravel() for a in np.meshgrid(x, y)], axis=1) / self.mpp
        return centres[self.tissue_fraction(centres) >= fraction]

    def _um(self, centres: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return np.asarray(centres, dtype=np.float64).reshape(-1, 2) * self.mpp


def make_section(seed: int, *, size_mm: tuple[float, float] = SIZE_MM, mpp: float = 1.0) -> Section:
    """Lay out the section of a seed; its picture is drawn on first use (some 6 s).

    Parameters
    ----------
    seed : int
        Not negative. The same seed and size give the same section on every machine.
    size_mm : (width, height)
        Size in mm.
    mpp : float
        Micrometres per pixel. The picture is drawn at 1 um and resampled for anything else.

    Raises
    ------
    ValueError
        If the seed is negative or the mpp not positive.
    """
    if seed < 0 or not mpp > 0:
        raise ValueError(f"a section needs a seed of 0 or more and a positive mpp, got {seed} and {mpp}")
    return Section(plan(seed, size_mm), float(mpp))


def write_slide(section: Section, path: str | Path) -> Path:
    """Write the section as a tiled pyramidal TIFF (RGB, JPEG), first beside its final name.

    The resolution tags, in pixels per centimetre, give the section's mpp; the description begins with `MARK`.
    """
    image = Image.fromarray(section.image)
    with finished_file(path) as draft, tifffile.TiffWriter(draft) as file:
        for level in range(LEVELS):
            per_cm = _per_cm(section.mpp * 2**level)
            file.write(
                np.asarray(image if level == 0 else image.reduce(2**level)),
                photometric="rgb",
                tile=(TILE, TILE),
                compression="jpeg",
                compressionargs={"level": 90},
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                description=None if level else f"{MARK}, seed {section.seed}. Invented genes; not real tissue.",
                metadata=None,
                software=f"napari-nh2st procedural tissue generator {GENERATOR_VERSION}",
                subifds=0 if level else LEVELS - 1,
                subfiletype=1 if level else 0,
            )
    return Path(path)


def _per_cm(mpp: float) -> tuple[int, int]:
    """Pixels per centimetre as a fraction of whole numbers that gives exactly the mpp."""
    return 10_000 * 10_000, round(mpp * 10_000)


def sample_slide(seed: int = 0, *, size_mm: tuple[float, float] = SIZE_MM) -> Path:
    """Return the procedural slide of a seed from the user's cache, written there on first use.

    The environment variable NH2ST_CACHE sets another cache folder, as for embeddings.
    """
    size = "" if size_mm == SIZE_MM else f"-{size_mm[0]:g}x{size_mm[1]:g}"
    path = cache_folder() / "demo" / f"procedural-{seed}{size}-v{GENERATOR_VERSION}.tif"
    return path if path.exists() else write_slide(make_section(seed, size_mm=size_mm), path)
