"""The pictures of a TIFF: which pages are levels of which picture, and which are pictures of their own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tifffile import TiffFile, TiffPage, TiffPageSeries

from napari_nh2st.errors import SlideError
from napari_nh2st.reading.xml import elements, parsed_xml
from napari_nh2st.slides.file import SlideFile
from napari_nh2st.slides.same_picture import Spot, is_tiny, other_picture, same_picture, telling_spots
from napari_nh2st.slides.source import MAX_SIDE
from napari_nh2st.slides.tiff_level import TiffLevel

# Series that tifffile puts together from sizes alone: every page is looked at anew.
OPEN_KINDS = {"generic", "uniform", "shaped"}
SAME_ASPECT = 0.01
REDUCED, MASK = 1, 4  # TIFF 6.0, NewSubfileType
MAX_PAGES = 256  # more pages than this are the planes of a stack
MAX_COMPARED = 24  # pages that are compared with others, for the time that it takes
_OTHER_NAMES = {"", "Baseline", "Resolution", "Unknown", "Other"}
_ASSOCIATED = re.compile(
    r"\s*(?:label|macro|thumbnail|overview|map|probability|slide ?preview)(?:[ _]?image)?(?:\s+\d+\s*x\s*\d+.*)?\s*",
    re.I,
)


@dataclass(eq=False)
class TiffPicture:
    """One picture of a TIFF.

    Attributes
    ----------
    pages : list of TiffPage
        Its levels, finest first.
    series : TiffPageSeries or None
        The series that begins with it, with its planes and its place in the metadata.
    name : str
    associated : bool
        True for a label, a macro photograph, a thumbnail.
    reason : str
        Why it is no level of another picture (see `Picture.reason`).
    """

    pages: list[TiffPage]
    series: TiffPageSeries | None = None
    name: str = ""
    associated: bool = False
    reason: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the finest level."""
        return int(self.pages[0].imagelength), int(self.pages[0].imagewidth)

    def finer_than(self, page: TiffPage) -> TiffPage | None:
        """Return the level after which a page comes in size; None if the page cannot be a level."""
        finer = [p for p in self.pages if p.imagelength * p.imagewidth > page.imagelength * page.imagewidth]
        coarser = next((p for p in self.pages if p not in finer), None)
        fits = bool(finer) and is_level(page, finer[-1], self.pages[0])
        return finer[-1] if fits and (coarser is None or is_level(coarser, page, self.pages[0])) else None

    def add(self, page: TiffPage) -> None:
        """Add a level in its place."""
        self.pages = sorted([*self.pages, page], key=lambda p: -p.imagelength * p.imagewidth)


@dataclass(eq=False)
class _Item:
    """A page that is a picture or a level of one; `of` is the page whose SubIFD it is."""

    page: TiffPage
    series: TiffPageSeries | None = None
    of: TiffPage | None = None
    further: list[TiffPage] = field(default_factory=list)


def tiff_pictures(tif: TiffFile, file: SlideFile) -> list[TiffPicture]:
    """Return the pictures of a TIFF in the order of the file.

    A page is a level of another if the file says so (a vendor's or OME's series, a SubIFD, a page marked as reduced
    that follows; the latter two unless they plainly show something else), or if both show the same (`same_picture`).
    Everything else is a picture of its own.

    Raises
    ------
    SlideError
        If there is none, or a size is impossible.
    """
    items = list(_items(tif))
    if not items:
        raise SlideError(f"{file.path} is a TIFF without an image")
    _check_sizes([item.page for item in items], file.path)
    rank = {id(item): order for order, item in enumerate(items)}
    sorting = _Sorting(file, rank)
    for item in sorted(items, key=lambda i: -i.page.imagelength * i.page.imagewidth):
        sorting.place(item)
    return sorting.in_order()


class _Sorting:
    """Gives each page its picture, from the largest page to the smallest."""

    def __init__(self, file: SlideFile, rank: dict[int, int]) -> None:
        self._file, self._rank = file, rank
        self._pictures: list[tuple[int, TiffPicture]] = []
        self._levels: dict[int, TiffLevel | None] = {}
        self._spots: dict[int, list[Spot]] = {}
        self._compared = 0

    def in_order(self) -> list[TiffPicture]:
        return [picture for _, picture in sorted(self._pictures, key=lambda pair: pair[0])]

    def place(self, item: _Item) -> None:
        page, rank, name = item.page, self._rank[id(item)], _name(item)
        kind = int(page.subfiletype or 0)
        picture = TiffPicture([page], item.series, name, bool(_ASSOCIATED.fullmatch(name)))
        larger = [(r, p) for r, p in self._pictures if p.finer_than(page) is not None]
        if kind & MASK:
            picture.name, picture.reason = name or "mask", "is a mask"
        elif not picture.associated and self._is_level(item, kind, rank, larger, picture):
            return
        self._pictures.append((rank, picture))
        for level in sorted(item.further, key=lambda p: -p.imagelength * p.imagewidth):
            if picture.finer_than(level) is not None:
                picture.add(level)

    def _is_level(
        self, item: _Item, kind: int, rank: int, larger: list[tuple[int, TiffPicture]], picture: TiffPicture
    ) -> bool:
        """Add the page to the picture of which it is a level, if there is one."""
        before = [pair for pair in larger if pair[0] < rank]
        if item.of is not None:
            own = [p for _, p in before if p.pages[0] is item.of]
            return bool(own) and self._add_marked(own[0], item.page, picture)
        if kind & REDUCED and before:
            marked = max(before, key=lambda pair: pair[0])[1]
            return self._add_marked(marked, item.page, picture)
        larger = [pair for pair in larger if not pair[1].associated]
        if item.further or not larger:
            return False
        for other_rank, other in sorted(larger, key=lambda pair: pair[0], reverse=True):
            finer = other.finer_than(item.page)
            if finer is not None and self._same(finer, item.page):
                if other_rank < rank:
                    other.add(item.page)
                    return True
                picture.name, picture.associated = picture.name or "thumbnail", True
                return False
        if is_tiny(picture.shape):
            picture.name, picture.associated = picture.name or "thumbnail", True
        else:
            picture.reason = "shows something else"
        return False

    def _add_marked(self, owner: TiffPicture, page: TiffPage, picture: TiffPicture) -> bool:
        """Add a page that the file calls a level, unless it plainly shows something else."""
        finer = owner.finer_than(page)
        levels = None if finer is None else self._comparable(finer, page)
        if levels is not None and other_picture(*levels):
            picture.reason = "is marked as a level and shows something else"
            return False
        owner.add(page)
        return True

    def _same(self, fine: TiffPage, coarse: TiffPage) -> bool:
        levels = self._comparable(fine, coarse)
        if levels is None:
            return False
        if id(coarse) not in self._spots:
            self._spots[id(coarse)] = telling_spots(levels[1])
        return same_picture(*levels, self._spots[id(coarse)])

    def _comparable(self, fine: TiffPage, coarse: TiffPage) -> tuple[TiffLevel, TiffLevel] | None:
        """Return two pages to be compared; None if one cannot be read in parts, or after many of them."""
        self._compared += 1
        levels = self._level(fine), self._level(coarse)
        if self._compared > MAX_COMPARED or levels[0] is None or levels[1] is None:
            return None
        return levels[0], levels[1]

    def _level(self, page: TiffPage) -> TiffLevel | None:
        if id(page) not in self._levels:
            try:
                level = TiffLevel(self._file, page, 0)
            except SlideError:
                self._levels[id(page)] = None
            else:
                self._levels[id(page)] = None if level.flat else level
        return self._levels[id(page)]


def is_level(page: TiffPage, finer: TiffPage, base: TiffPage) -> bool:
    """Return True if a page has the size and the samples for the next level of a picture."""
    if not page.imagelength or not page.imagewidth:
        return False
    if page.imagelength >= finer.imagelength or page.imagewidth >= finer.imagewidth:
        return False
    if (page.samplesperpixel, page.bitspersample) != (base.samplesperpixel, base.bitspersample):
        return False
    y, x = base.imagelength / page.imagelength, base.imagewidth / page.imagewidth
    rounding = 1 / min(page.imagelength, page.imagewidth)
    return bool(abs(y - x) / min(y, x) < SAME_ASPECT + rounding)


def _items(tif: TiffFile) -> Iterator[_Item]:
    """List the pages that may be pictures, in the order of the file."""
    series = [s for s in _series(tif) if "Y" in s.axes and "X" in s.axes]
    macro = _leica_macro(tif) if tif.is_scn else None
    if macro is not None and macro < len(tif.series):
        tif.series[macro].name = "Macro"
    if all(s.kind in OPEN_KINDS and not _has_planes_in_one_page(s) for s in series) and len(tif.pages) <= MAX_PAGES:
        for page in _whole_pages(tif):
            yield _Item(page, next((s for s in series if s.keyframe.index == page.index and len(s.pages) == 1), None))
            yield from (_Item(level, of=page) for level in _sub_pages(page))
        return
    listed: set[int] = set()
    items: list[_Item] = []
    for s in series:
        if s.kind == "svs" and s.name == "Thumbnail" and s.keyframe.is_tiled:  # no scanner's: it may be anything
            s.name = ""
        levels = [level.keyframe for level in s.levels[1:]]
        listed |= {p.index for level in s.levels for p in level.pages if p is not None}
        rest = [*levels, *(p for p in _sub_pages(s.keyframe))]
        items.append(_Item(s.keyframe, s, further=[p for p in rest if is_level(p, s.keyframe, s.keyframe)]))
        items += [_Item(p) for p in levels if not is_level(p, s.keyframe, s.keyframe)]
    if len(tif.pages) <= MAX_PAGES:
        items += [_Item(page) for page in _whole_pages(tif, listed)]
    yield from sorted(items, key=lambda item: item.page.index)


def _series(tif: TiffFile) -> list[TiffPageSeries]:
    """Return tifffile's series; of a Philips TIFF also if its pixel spacings make no sense."""
    if not tif.is_philips:
        return list(tif.series)
    try:
        return list(tif.series)
    except (ValueError, ArithmeticError):
        pages = [page for page in _whole_pages(tif) if page.is_tiled]
    for n, page in enumerate(pages[1:], 1):  # levels are padded to whole tiles, and each is half of the one before
        page.imagewidth = max(pages[0].imagewidth >> n, page.imagewidth - page.tilewidth + 1)
        page.imagelength = max(pages[0].imagelength >> n, page.imagelength - page.tilelength + 1)
    series = [TiffPageSeries([page], page.shape, page.dtype, page.axes, kind="philips") for page in pages]
    series[0].levels.extend(series[1:])
    return series[:1]


def _leica_macro(tif: TiffFile) -> int | None:
    """Return the series of a Leica SCN whose view is as large as the whole collection: the macro photograph."""
    collection = next(iter(elements(parsed_xml(tif.pages.first.description), "collection")), None)
    if collection is None:
        return None
    whole = [collection.get(f"size{axis}") for axis in "XY"]
    views = [elements(image, "view") for image in elements(collection, "image")]
    sizes = [[view[0].get(f"size{axis}") for axis in "XY"] if view else [] for view in views]
    return sizes.index(whole) if whole in sizes and len(sizes) > 1 else None


def _has_planes_in_one_page(series: TiffPageSeries) -> bool:
    return (
        len(series.pages) == 1
        and series.keyframe.shape != tuple(n for n in series.shape if n > 1)
        and _planes(series) > 1
    )


def _planes(series: TiffPageSeries) -> int:
    count = 1
    for axis, size in zip(series.axes, series.shape, strict=True):
        count *= size if axis not in "YXS" else 1
    return count


def _whole_pages(tif: TiffFile, but: Collection[int] = ()) -> Iterator[TiffPage]:
    for index in range(len(tif.pages)):
        if index in but:
            continue
        page = tif.pages[index]
        whole = page if isinstance(page, TiffPage) else page.aspage()
        if whole.imagelength and whole.imagewidth:
            yield whole


def _sub_pages(page: TiffPage) -> list[TiffPage]:
    return [sub for sub in (page.pages or []) if isinstance(sub, TiffPage)]


def _name(item: _Item) -> str:
    """Return the name of a picture in the file: of its series, its page, or one short line of its description."""
    name = str(item.series.name or "") if item.series is not None else ""
    if name not in _OTHER_NAMES:
        return name[:60]
    lines = str(item.page.description or "").strip().splitlines()
    named = [str(item.page.tags.valueof(285) or "")[:60], *(line.strip() for line in lines[:2])]
    plain = (text for text in named if text and (len(lines) == 1 or _ASSOCIATED.fullmatch(text)))
    return next((text[:60] for text in plain if not set("=<{") & set(text)), "")


def _check_sizes(pages: list[TiffPage], path: Path) -> None:
    for page in pages:
        if max(page.imagelength, page.imagewidth) > MAX_SIDE:
            size = f"{page.imagewidth} x {page.imagelength}"
            raise SlideError(f"{path} says it is {size} pixels, which is not possible: the file is damaged")
