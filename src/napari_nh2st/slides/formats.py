"""The table of slide formats, and opening a slide by it."""

from __future__ import annotations

from pathlib import Path

from napari_nh2st.errors import SlideError
from napari_nh2st.slides import mpp as pixel_size
from napari_nh2st.slides import plain, tiff
from napari_nh2st.slides.pyramid import complete_levels
from napari_nh2st.slides.slide import Slide
from napari_nh2st.slides.sniff import refuse_obvious
from napari_nh2st.slides.source import Format, OtherFormatError, Source

# Asked in this order; the first that knows the file opens it.
FORMATS: dict[str, Format] = {line.name: line for line in [*tiff.FORMATS, *plain.FORMATS]}


def open_slide(path: str | Path, *, mpp: float | None = None) -> Slide:
    """Open a slide without reading its pixels.

    An image that has no pyramid gets one, block by block, at its first opening; it is kept in the cache folder
    (NH2ST_CACHE, or the user's), as is the decoded image of a JPEG or PNG.

    Parameters
    ----------
    path : str or Path
        A pyramidal or plain TIFF (Aperio SVS, Hamamatsu NDPI, OME-TIFF, generic), JPEG or PNG.
    mpp : float, optional
        Micrometres per level-0 pixel; goes before what the file says.

    Returns
    -------
    Slide
        With `mpp` None, and a warning, where nothing believable says how large its pixels are.

    Raises
    ------
    SlideError
        If the file is missing, damaged, cut short, or of no known format; one line that says why.
    """
    path = Path(path)
    given = None if mpp is None else pixel_size.from_user(mpp)
    refuse_obvious(path)
    if given is not None and given.value is None:
        raise SlideError(given.problem)
    name, source = _ask_readers(path)
    try:
        levels = complete_levels(source)
    except BaseException:
        source.file.close()
        raise
    return Slide(path, name, source, levels, given or source.mpp)


def _ask_readers(path: Path) -> tuple[str, Source]:
    reasons = []
    for line in FORMATS.values():
        try:
            return line.name, line.open(path)
        except OtherFormatError as reason:
            reasons.append(f"{line.name}: {reason}")
    raise SlideError(f"{path} is not a slide of a known format ({'; '.join(reasons)})")
