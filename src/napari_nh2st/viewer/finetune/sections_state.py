"""The sections of a run as the dock shows them: their rows, their sheet, what stands in the way of a run. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from psygnal import SignalGroupDescriptor

from napari_nh2st.expression import Sample
from napari_nh2st.expression.find import SHEET

if TYPE_CHECKING:
    from napari_nh2st.training.sections.section_check import SectionFacts

NO_SECTIONS, CHECKING = "Add sections first", "The sections are still being checked"
NO_MEASUREMENT = (
    "No open slide has a measurement: open a slide and drop its measurement on the NH2ST dock first (Measured)."
)
Editable = Literal["sample", "patient", "mpp"]


@dataclass(frozen=True)
class SheetField:
    """The field that names a sheet.

    Attributes
    ----------
    path : str
        As it was typed; empty where the sections do not come from one unchanged sheet.
    placeholder : str
    composed : bool
        Whether they do not, so that the field is read-only.
    """

    path: str = ""
    placeholder: str = SHEET
    composed: bool = False


@dataclass(frozen=True)
class Overview:
    """The sections as they are now.

    Attributes
    ----------
    rows : tuple of (Sample, SectionFacts or None)
        Of the table; None where a section is not checked yet.
    facts : tuple of SectionFacts
        Of the sections that are checked.
    note : str
        How many there are, or what is wrong with the sheet.
    stops, looks : tuple of str
        What stops a run, and what to know before it, once all are checked.
    """

    rows: tuple[tuple[Sample, SectionFacts | None], ...] = ()
    facts: tuple[SectionFacts, ...] = ()
    note: str = ""
    stops: tuple[str, ...] = ()
    looks: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True if all sections are checked."""
        return len(self.facts) == len(self.rows)


@dataclass(eq=False)
class SectionsState:
    """The sections and where they come from. It tells its listeners what changes.

    Attributes
    ----------
    sheet : SheetField
    searching : bool
        Whether sections are being searched or read.
    told : str
        What came of the last thing that a person did.
    why_not : str
        Why no run can be made with these sections; empty where one can.
    overview : Overview
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    sheet: SheetField = SheetField()
    searching: bool = False
    told: str = ""
    why_not: str = NO_SECTIONS
    overview: Overview = Overview()


@dataclass(eq=False)
class Section:
    """A section: as it was added, as it is now, and what its files hold, None while that is not known."""

    added: Sample
    sample: Sample
    facts: SectionFacts | None = None
