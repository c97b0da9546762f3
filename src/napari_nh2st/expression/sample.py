"""A measured section: which slide, which counts, and where the spots lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_nh2st.expression.transform import Transform


@dataclass(frozen=True)
class Sample:
    """One measured section.

    Attributes
    ----------
    sample, patient : str
        Its name, unique in the sheet, and whose tissue it is.
    slide, expression : Path
        Absolute paths.
    format : str
        A key of ``expression.FORMATS``.
    spots : Path or None
        Spot positions, for formats that keep them apart.
    mpp : float or None
        Micrometres per level-0 pixel, where the slide does not say it itself.
    scale, x, y : float
        Where spots lie that were laid on another image than the slide: at ``scale * spot + (x, y)``, level-0 pixels.
    placed : bool
        Whether somebody gave these three, if only as 1, 0 and 0, or a transform: their word goes before the file's on
        its image.
    transform : Path, Transform or None
        The same for an image that was turned, mirrored or sheared: a file of `transform_files`, or the map itself. It
        comes first; scale, x and y are of what it gives.
    pool : float or None
        Side of the places, in micrometres, to which bins, cells, beads or spots are pooled; None for what the format
        does of itself.
    """

    sample: str
    patient: str
    slide: Path
    expression: Path
    format: str
    spots: Path | None = None
    mpp: float | None = None
    scale: float = 1.0
    x: float = 0.0
    y: float = 0.0
    placed: bool = False
    transform: Path | Transform | None = None
    pool: float | None = None

    def __post_init__(self) -> None:
        if (self.scale, self.x, self.y) != (1.0, 0.0, 0.0) or self.transform is not None:
            object.__setattr__(self, "placed", True)
