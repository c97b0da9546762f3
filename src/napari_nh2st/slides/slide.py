"""A slide: lazy levels, a pixel size with its provenance, and reading at any scale."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_nh2st.errors import MppNeeded, SlideError
from napari_nh2st.geometry import Box
from napari_nh2st.slide_path import slide_stem, split_picture
from napari_nh2st.slides import mpp as pixel_size
from napari_nh2st.slides.companions import main_file
from napari_nh2st.slides.formats import open_source
from napari_nh2st.slides.mpp import Mpp
from napari_nh2st.slides.overviews import Overviews, Tell, never
from napari_nh2st.slides.picture import Picture
from napari_nh2st.slides.pyramid import complete_levels
from napari_nh2st.slides.resample import Rgb, read_scaled, snap
from napari_nh2st.slides.sniff import refuse_obvious
from napari_nh2st.slides.source import Source
from napari_nh2st.slides.tissue import TissueMask
from napari_nh2st.terminal import option

if TYPE_CHECKING:
    from napari_nh2st.slides.artefacts import ArtefactMap
    from napari_nh2st.slides.tissue_fields import TissueFields

# A level may be this much coarser than requested: 4.0002 instead of 4 is a rounded side, not a loss.
COARSER = 1.005
MAX_READ_PIXELS = 400_000_000
REACH = 3  # pixels beyond a rectangle that resampling looks at, at most


class Slide:
    """An opened slide, made by `open_slide`.

    Places are continuous level-0 pixels, x right and y down, unless stated to be model pixels: with `scale` level-0
    pixels per model pixel, model pixel (i, j) covers level-0 rows [i, i + 1) * scale and columns [j, j + 1) * scale.

    Attributes
    ----------
    path : Path
        As given, with the number of a picture if one was given.
    pictures : list of Picture
        All pictures of the file, in its order.
    picture : int
        The number of this one.
    format : str
        Its name in `FORMATS`.
    levels : list of zarr.Array
        uint8 (H, W, 3), finest first, lazy: for napari as it is.
    overviews : Overviews or None
        What makes the levels that the file lacks, for those who need much of one at once; None if it lacks none.
    fingerprint : str
        32 hexadecimal digits of the content; the same for a renamed copy.
    synthetic : bool
        True if the file says that it is procedural tissue of this package.

    Examples
    --------
    >>> with open_slide("slide.svs") as slide:  # doctest: +SKIP
    ...     pixels = slide.read(0, 0, 512, 512, scale=4)  # doctest: +SKIP
    """

    def __init__(
        self,
        path: Path,
        name: str,
        source: Source,
        levels: list[zarr.Array[Any]],
        mpp: Mpp,
        overviews: Overviews | None = None,
    ) -> None:
        self.path = path
        self.format = name
        self.levels = levels
        self.fingerprint = source.fingerprint
        self.pictures = source.pictures or [Picture(1, source.shape)]
        self.picture = source.picture
        self.synthetic = source.synthetic
        self.overviews = overviews
        self._source = source
        self._mpp = mpp
        self._tissue: TissueMask | None = None
        self._fields: TissueFields | None = None
        self._artefacts: ArtefactMap | None = None

    def __repr__(self) -> str:
        height, width = self.shape
        return f"Slide({self.path.name!r}, {self.format}, {width} x {height} px, mpp {self.mpp} from {self.mpp_source})"

    def _repr_html_(self) -> str:
        """Show a notebook the facts and a small picture."""
        from napari_nh2st.slides.thumbnail import html_of

        return html_of(self)

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __copy__(self) -> Slide:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)  # the same open file: `__reduce__` would open it again
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path, self.fingerprint, self._mpp)

    @property
    def stem(self) -> str:
        """The name for results: `slide` for `slide.tif`, `slide#2` for `slide.tif#2`."""
        return slide_stem(self.path)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of level 0."""
        return self.level_shapes[0]

    @property
    def level_shapes(self) -> list[tuple[int, int]]:
        """Height and width of every level, in its own pixels."""
        return [(level.shape[0], level.shape[1]) for level in self.levels]

    @property
    def downsamples(self) -> list[tuple[float, float]]:
        """Level-0 pixels per level pixel in y and x, from the shapes."""
        height, width = self.shape
        return [(height / h, width / w) for h, w in self.level_shapes]

    @property
    def mpp(self) -> float | None:
        """Micrometres per level-0 pixel, None if nothing believable is known."""
        return self._mpp.value

    @property
    def mpp_source(self) -> str:
        """Source of the pixel size: "user", "aperio", "ome", "ndpi", "tiff resolution", ... or "none"."""
        return self._mpp.source

    @property
    def warnings(self) -> list[str]:
        """Sentences for the user; damaged tiles are added as they are met, and what `tissue` left out."""
        problem = [f"{self.path.name} {self._mpp.problem}"] if self._mpp.problem else []
        left_out = [self._tissue.remark] if self._tissue is not None and self._tissue.remark else []
        return [*self._source.warnings, *problem, *self._source.damage.sentences(), *left_out]

    @property
    def read_failures(self) -> int:
        """How often its file could not be read since it was opened: what was read meanwhile is white in places."""
        return self._source.file.failures

    def require_mpp(self) -> float:
        """Return the micrometres per level-0 pixel.

        Raises
        ------
        MppNeeded
            If the pixel size is not known; the line names the option, or the argument in Python.
        """
        if self._mpp.value is None:
            give = f"give the right value with {option('mpp')}, or in the column mpp of a sample sheet"
            raise MppNeeded(f"{self.path} {self._mpp.problem}; {give}")
        return self._mpp.value

    def with_mpp(self, mpp: float, source: str = "user") -> Slide:
        """Return the same open slide with another pixel size (micrometres); both share the file.

        Raises
        ------
        SlideError
            If `mpp` is not finite or outside 0.05 to 10.
        """
        size = pixel_size.from_user(mpp)
        if size.value is None:
            raise SlideError(size.problem)
        other = copy.copy(self)
        other._mpp = Mpp(size.value, source)
        other._tissue = other._fields = other._artefacts = None
        return other

    def level_for(self, scale: float) -> int:
        """Return the index of the coarsest level that is not coarser than `scale` level-0 pixels per pixel."""
        fine = [i for i, step in enumerate(self.downsamples) if max(step) <= scale * COARSER]
        return max(fine, default=0)

    def read(self, x0: int, y0: int, width: int, height: int, scale: float) -> Rgb:
        """Read a rectangle of model pixels.

        A pixel is the same, bit for bit, in whichever rectangle it is read. Safe from any thread.

        Parameters
        ----------
        x0, y0 : int
            Top left corner in model pixels; may be negative.
        width, height : int
            Size in model pixels.
        scale : float
            Level-0 pixels per model pixel. If it is 1, or a level's own step, pixels are copied; else they are
            resampled with an antialiased triangle filter from the nearest finer level.

        Returns
        -------
        uint8 (height, width, 3)
            White outside the slide and where a tile is damaged.

        Raises
        ------
        SlideError
            If the slide was closed, has changed or can no longer be read, or if the rectangle is too large.
        """
        if not (math.isfinite(scale) and scale > 0 and width >= 0 and height >= 0):
            raise ValueError(f"cannot read {width} x {height} pixels at scale {scale}")
        if self._source.file.closed:
            raise SlideError(f"{self.path.name} was closed: open it again before reading")
        if width == 0 or height == 0:
            return np.empty((height, width, 3), np.uint8)
        index = self.level_for(scale)
        level, shape = self.levels[index], self.level_shapes[index]
        step = (snap(scale / self.downsamples[index][0], shape[0]), snap(scale / self.downsamples[index][1], shape[1]))
        if max(width * height, width * step[1] * height * step[0]) > MAX_READ_PIXELS:
            raise SlideError(f"{width} x {height} pixels at scale {scale:g} are too many at once: read a smaller part")

        def fetch(top: int, left: int, bottom: int, right: int) -> Rgb:
            return np.asarray(level[top:bottom, left:right], dtype=np.uint8)

        failures = self._source.file.failures
        pixels = read_scaled(fetch, shape, (y0, x0), (height, width), step)
        self._source.file.verify(failures)  # also of pixels that came from the cache
        return pixels

    def prepare(
        self,
        scale: float,
        box: Box | None = None,
        *,
        tell: Tell = lambda done, total: None,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        """Make the overviews that `read` needs at a scale, where the file has none: with all cores, and with progress.

        Without it `read` makes what it looks at, too; this tells how far it is, and can be stopped.

        Parameters
        ----------
        scale : float
            Level-0 pixels per model pixel.
        box : Box, optional
            The part that is to be read, level-0 pixels; the whole slide by default.
        tell : callable
            Told (done, total) in tiles of the file, in this thread; not at all if nothing is missing.
        cancelled : callable
            Asked in this thread, some twenty times a second.

        Raises
        ------
        Cancelled
            Within a fraction of a second. What was made stays in the cache.
        SlideError
            If the slide was closed, has changed or can no longer be read.
        """
        if self.overviews is None:
            return
        if box is not None:  # reading looks at the pixels around, too
            reach = REACH * scale
            box = Box(box.x0 - reach, box.y0 - reach, box.x1 + reach, box.y1 + reach)
        self.overviews.make(self.level_for(scale), box, tell, cancelled)

    def tissue(self, *, tell: Tell = lambda done, total: None, cancelled: Callable[[], bool] = never) -> TissueMask:
        """Return the tissue mask; it is computed at the first call and kept.

        A slide without levels has to be decoded for it, once: `tell` and `cancelled` are those of `prepare`.
        """
        if self._tissue is None:
            from napari_nh2st.slides.find_tissue import find_tissue, mask_step  # half a second of scipy, scikit-image

            self.prepare(mask_step(self.shape, self.mpp), tell=tell, cancelled=cancelled)
            self._tissue = find_tissue(self.read, self.shape, self.mpp)
        return self._tissue

    @property
    def tissue_at_hand(self) -> bool:
        """Tell whether `tissue` answers without making overviews first."""
        if self._tissue is not None or self.overviews is None:
            return True
        from napari_nh2st.slides.find_tissue import mask_step

        return self.overviews.complete(self.level_for(mask_step(self.shape, self.mpp)))

    def artefacts(self, *, tell: Tell = lambda done, total: None, cancelled: Callable[[], bool] = never) -> ArtefactMap:
        """Return where tissue is out of focus, folded, or under ink or a bubble; found at the first call, and kept.

        All of the tissue is read at 2 um per pixel: some seconds for a large section.

        Parameters
        ----------
        tell : callable
            Told (done, total) in blocks of 2 mm.
        cancelled : callable
            Asked before each block.

        Raises
        ------
        MppNeeded
            If the pixel size is not known.
        Cancelled
        SlideError
            As `read`.
        """
        if self._artefacts is None:
            from napari_nh2st.slides.find_artefacts import find_artefacts

            self.require_mpp()
            self._artefacts = find_artefacts(self, self.tissue(cancelled=cancelled), tell, cancelled)
        return self._artefacts

    @property
    def artefact_shares(self) -> dict[str, float] | None:
        """The shares of the tissue that artefacts cover, by kind; None before `artefacts` has looked for them."""
        return None if self._artefacts is None else self._artefacts.shares

    def tissue_fields(self) -> TissueFields:
        """Return the tissue as it is found field by field, for a view of a slide whose overviews are not made yet."""
        if self._fields is None:
            from napari_nh2st.slides.tissue_fields import TissueFields

            self._fields = TissueFields(self)
        return self._fields

    def damaged(self, box: Box, scale: float | None = None) -> bool:
        """Return True if a box touches a tile that is known to be missing or undecodable.

        Parameters
        ----------
        box : Box
            Level-0 pixels.
        scale : float, optional
            Check only the level that `read` takes at this scale; by default every level.
        """
        return self._source.damage.touches(box, None if scale is None else self.level_for(scale))

    def close(self) -> None:
        """Close the file. Reading from it, or from a `with_mpp` twin, then raises a `SlideError`."""
        self._source.file.close()


def open_slide(path: str | Path, *, mpp: float | None = None) -> Slide:
    """Open a slide without reading its pixels.

    Overviews that the file lacks are made where somebody looks at them, once. The cache folder (NH2ST_CACHE, or the
    user's) keeps them, and the decoded image of a JPEG, a PNG or a TIFF in one piece, which has to be decoded first.

    Parameters
    ----------
    path : str or Path
        A pyramidal or plain TIFF (Aperio SVS, Hamamatsu NDPI, OME-TIFF, generic), JPEG or PNG. `slide.tif#2` opens
        the second picture of a file; without a number it is the largest.
    mpp : float, optional
        Micrometres per level-0 pixel; overrides the file.

    Returns
    -------
    Slide
        Its `mpp` is None, with a warning, if the file has no believable pixel size.

    Raises
    ------
    SlideError
        If the file is missing, damaged, cut short, or not in a known format; one line says why.

    Examples
    --------
    >>> from napari_nh2st import open_slide
    >>> slide = open_slide("slide.svs", mpp=0.5)  # doctest: +SKIP
    >>> slide.shape, slide.mpp_source  # doctest: +SKIP
    ((42000, 36000), 'user')
    """
    name, source, size = _open(path, mpp)
    try:
        levels, overviews = complete_levels(source)
    except BaseException:
        source.file.close()
        raise
    return Slide(Path(path), name, source, levels, size, overviews)


@dataclass(frozen=True)
class SlideHeader:
    """The facts of a slide that are known before any pixel is decoded.

    Attributes
    ----------
    shape : (height, width)
        Level-0 pixels.
    mpp : float or None
        Micrometres per level-0 pixel.
    """

    shape: tuple[int, int]
    mpp: float | None


def read_header(path: str | Path, *, mpp: float | None = None) -> SlideHeader:
    """Read what a file says of its slide, and no pixels.

    Raises
    ------
    SlideError
        As `open_slide`, but for damage that only decoding finds.
    """
    _, source, size = _open(path, mpp)
    source.file.close()
    return SlideHeader(source.shape, size.value)


def _open(path: str | Path, mpp: float | None) -> tuple[str, Source, Mpp]:
    """Open a file; return its format, what is in it, and the pixel size that holds."""
    given = None if mpp is None else pixel_size.from_user(mpp)
    file, number = split_picture(path)
    file = main_file(file)
    refuse_obvious(file)
    if given is not None and given.value is None:
        raise SlideError(given.problem)
    name, source = open_source(file, number)
    return name, source, given or source.mpp


def _reopen(path: Path, fingerprint: str, mpp: Mpp) -> Slide:
    """Open a slide again in another process."""
    slide = open_slide(path)
    if slide.fingerprint != fingerprint:
        slide.close()
        raise SlideError(f"{path} has changed since it was opened: open it again")
    slide._mpp = mpp
    return slide
