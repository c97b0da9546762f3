"""The tiles and genes that a file was asked to hold: written into its provenance, read before it is replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import Box

ALL_TISSUE, ALL_GENES = "all tissue", "all"
REGION, GENES = "region", "genes"  # keys of the provenance
DRAWN = "drawn: "  # begins the words of drawn regions


@dataclass(frozen=True)
class Selection:
    """A choice of tiles and genes.

    Attributes
    ----------
    region : Box or None
        Level-0 pixels; None for all tissue.
    genes : tuple of str, or None
        None for the whole panel.
    drawn : str
        Regions that were drawn, as `DrawnRegions.words` says them, instead of a region; empty for none.
    """

    region: Box | None = None
    genes: tuple[str, ...] | None = None
    drawn: str = ""

    @classmethod
    def of(cls, region: Box | None, genes: Sequence[str] | None, drawn: str = "") -> Selection:
        """Return the choice of a command."""
        return cls(region, None if genes is None else tuple(dict.fromkeys(genes)), drawn)

    @classmethod
    def read(cls, record: dict[str, Any]) -> Selection:
        """Return the choice in a file's provenance; everything if it says nothing."""
        region, genes = (str(record.get(key, default)) for key, default in ((REGION, ALL_TISSUE), (GENES, ALL_GENES)))
        try:
            box = None if region == ALL_TISSUE else Box.from_xywh(*(float(v) for v in region.split(",")))
        except (TypeError, ValueError):
            box = None
        drawn = region.removeprefix(DRAWN) if region.startswith(DRAWN) else ""
        return cls(box, None if genes == ALL_GENES else tuple(genes.split(",")), drawn)

    @property
    def record(self) -> dict[str, str]:
        """The choice as a file's provenance says it: in the words of the command line."""
        box, genes = self.region, self.genes
        numbers = () if box is None else (box.x0, box.y0, box.width, box.height)
        where = ALL_TISSUE if box is None else ",".join(f"{v:.10g}" for v in numbers)
        return {
            REGION: DRAWN + self.drawn if self.drawn else where,
            GENES: ALL_GENES if genes is None else ",".join(genes),
        }

    def covers(self, other: Selection) -> bool:
        """Tell whether all that another choice holds is in this one."""
        genes = self.genes is None or (other.genes is not None and set(other.genes) <= set(self.genes))
        if self.drawn or other.drawn:
            return genes and (self.drawn == other.drawn or self == Selection(genes=self.genes))
        return genes and (
            self.region is None or (other.region is not None and self.region.intersect(other.region) == other.region)
        )

    def of_prediction(self, prediction: Prediction, command: dict[str, str]) -> Prediction:
        """Return the tiles of the region, with this choice and a command in their provenance.

        Raises
        ------
        Nh2stError
            If nothing is predicted in the region.
        """
        part = prediction
        if self.region is not None:
            keep = self.region.contains(prediction.places.centres)
            if not keep.any():
                raise Nh2stError(f"nothing is predicted in the region {self.record[REGION]}: predict it first")
            part = prediction.select(keep)
        return replace(part, provenance={**prediction.provenance, **command, **self.record})


def refuse_smaller(selection: Selection, file: Path, record: dict[str, Any], instead: str) -> None:
    """Make sure that a file which is there loses nothing when it is replaced.

    Parameters
    ----------
    selection : Selection
    file : Path
    record : dict
        The provenance of `file`, empty if it cannot be read.
    instead : str

    Raises
    ------
    Nh2stError
        If it holds tiles or genes that the choice leaves out; `instead` says what to do.
    """
    if not file.exists():
        return
    there = Selection.read(record)
    if not selection.covers(there):
        has, genes = there.record[REGION], there.genes
        count = "all genes" if genes is None else f"{len(genes)} gene{'s' * (len(genes) != 1)}"
        has = f"the region {has}" if there.region is not None else f"the regions {there.drawn}" if there.drawn else has
        raise Nh2stError(f"{file} holds {has} with {count}, and this command would replace it by less: {instead}")
