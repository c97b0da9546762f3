"""The wishes of a command that hold for every slide; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.formats import EXPORTERS, record_in
from napari_nh2st.formats.selection import Selection, refuse_smaller
from napari_nh2st.geometry import Box

if TYPE_CHECKING:
    from napari_nh2st.analysis.drawn_regions import DrawnRegions

_INSTEAD = "choose another --out, or --format none and then nh2st export with --region, --genes and an --out of its own"


@dataclass(frozen=True)
class Wishes:
    """The wishes of a command for every slide.

    Attributes
    ----------
    out : Path
        The folder of results.
    formats : list of str
        Keys of `EXPORTERS`: the files that are written beside the folder of each slide.
    region : Box or None
        Level-0 pixels.
    pitch : int or None
        Model pixels; None leaves it open.
    genes : list of str or None
        What the files are to hold; the whole panel by default.
    drawn : DrawnRegions or None
        Instead of a region, of one slide: files that keep regions hold them, and their table is written beside.
    intervals : bool
        Write half-widths beside the values.
    quality : bool
        Look for artefacts on a slide that is predicted as a whole: its results keep their shares.
    """

    out: Path
    formats: list[str]
    region: Box | None = None
    pitch: int | None = None
    genes: list[str] | None = None
    drawn: DrawnRegions | None = None
    intervals: bool = False
    quality: bool = False

    @property
    def selection(self) -> Selection:
        """The tiles and genes that the files are to hold."""
        return Selection.of(self.region, self.genes, "" if self.drawn is None else self.drawn.words)

    def files(self, stem: str) -> list[tuple[str, Path]]:
        """Return format and path of each file of a slide."""
        return [(name, self.out / f"{stem}{EXPORTERS[name].suffix}") for name in self.formats]


def refuse_smaller_files(stem: str, wishes: Wishes) -> None:
    """Make sure that no file of an earlier command is replaced by a part of it.

    Raises
    ------
    Nh2stError
    """
    for name, file in wishes.files(stem):
        refuse_smaller(wishes.selection, file, record_in(name, file), _INSTEAD)
