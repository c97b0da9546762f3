"""Errors of a section, and doubts about it: the same for all that learns from it, scores it or shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import MppNeeded, SampleError
from napari_nh2st.training.sections.array_pitch import ArrayPitch

if TYPE_CHECKING:
    import anndata as ad

    from napari_nh2st.slides import TissueMask

Kind = Literal["file", "name", "pixel size", "off slide", "image", "pitch", "tissue", "corner", "mirrored", "order"]
_PLACES = ("off slide", "image", "tissue", "corner", "mirrored")


@dataclass(frozen=True)
class Finding:
    """An error of a section, or a doubt about it.

    Attributes
    ----------
    kind : str
        Its subject.
    says : str
        The fact, a clause.
    mend : str
        What to do about it, a clause; empty where nothing is to be done.
    refuses : bool
        Whether nothing may learn from the section or score it before it is mended.
    frame : (float, float, float) or None
        ``scale``, ``x`` and ``y`` of the sample sheet that would mend it.
    """

    kind: Kind
    says: str
    mend: str = ""
    refuses: bool = False
    frame: tuple[float, float, float] | None = None

    @property
    def text(self) -> str:
        """Fact and mend in one line."""
        return f"{self.says}: {self.mend}" if self.mend else self.says

    @property
    def sentence(self) -> str:
        """The fact alone, as a sentence."""
        return f"{self.says[:1].upper()}{self.says[1:]}."

    @property
    def about_places(self) -> bool:
        """True if the spots may lie elsewhere than they should."""
        return self.kind in _PLACES and (self.kind != "off slide" or self.refuses)

    @property
    def about_slide(self) -> bool:
        """True if the measurement may be that of another slide, or lie elsewhere on this one: a person is asked."""
        return self.kind == "name" or self.about_places


@dataclass(frozen=True, eq=False)
class SectionFindings:
    """Errors of a section, doubts about it, and the spots that count.

    Attributes
    ----------
    findings : tuple of Finding
        Refusals first.
    on_slide, on_tissue : (n,) bool
    array : ArrayPitch
    tissue : TissueMask
        The slide's, which is found once for all that follows.
    unread : dict of str to int
        Spots of the file that were left out when it was read, by the reason.
    """

    findings: tuple[Finding, ...]
    on_slide: npt.NDArray[np.bool_]
    on_tissue: npt.NDArray[np.bool_]
    array: ArrayPitch
    tissue: TissueMask
    unread: dict[str, int]

    @property
    def refusals(self) -> tuple[str, ...]:
        """Reasons to refuse the section, a line each."""
        return tuple(f.text for f in self.findings if f.refuses)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Doubts about the section, a line each."""
        return tuple(f.text for f in self.findings if not f.refuses)

    @property
    def off_slide(self) -> int:
        """Number of spots that lie off the slide and are left out."""
        return int((~self.on_slide).sum())

    @property
    def left_out(self) -> dict[str, int]:
        """Spots that are left out: ``off_slide``, ``off_tissue`` by the file's word, ``without_counts``."""
        return {"off_slide": self.off_slide, **self.unread}

    def admit(self, name: str, data: ad.AnnData) -> ad.AnnData:
        """Return the spots on the slide.

        Raises
        ------
        SampleError, MppNeeded
            If the section is refused: one line, with all reasons.
        """
        if self.refusals:
            unknown = any(f.kind == "pixel size" for f in self.findings)
            raise (MppNeeded if unknown else SampleError)(f"sample {name}: {'; '.join(self.refusals)}")
        return data if self.on_slide.all() else data[self.on_slide].copy()
