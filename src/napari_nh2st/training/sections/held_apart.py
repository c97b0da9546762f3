"""One section is never trained on and held out at once, under whatever names and patients it stands in the sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_nh2st.engine.section_descriptor import (
    UNDESCRIBED,
    WITNESSES,
    SectionDescriptor,
    Witness,
    across,
    same_sections,
)
from napari_nh2st.engine.seen_sections import SeenSections
from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample
from napari_nh2st.training.sections.section import Section


@dataclass(frozen=True)
class NamedSection:
    """A section as a sheet names it, and what it is known by."""

    name: str
    patient: str
    descriptor: SectionDescriptor = UNDESCRIBED

    def __str__(self) -> str:
        return f"{self.name} (patient {self.patient})" if self.patient else self.name

    @classmethod
    def of(cls, section: Section) -> NamedSection:
        """Take them from a section that was read."""
        return cls(section.name, section.patient, section.descriptor)

    @classmethod
    def of_sample(cls, sample: Sample, descriptor: SectionDescriptor) -> NamedSection:
        """Take them from a line of a sheet."""
        return cls(sample.sample, sample.patient, descriptor)


def not_apart(train: Sequence[NamedSection], held_out: Sequence[NamedSection]) -> str:
    """Say which section would be trained on and held out; empty where none would.

    Parameters
    ----------
    train : sequence of NamedSection
    held_out : sequence of NamedSection
        Whole sections; empty where a block of each section is held out.
    """
    everything = [*train, *held_out]
    pairs = same_sections([section.descriptor for section in everything])
    if held_out:
        pairs = across(pairs, range(len(train), len(everything)))
    if not pairs:
        return ""
    i, j, witness = pairs[0]
    if held_out:
        would = "one would be trained on and the other held out; leave one of the two out of the sheet"
    else:
        would = (
            "what is held out of one would be trained on in the other; leave one of the two out of the sheet, or hold "
            "out whole sections"
        )
    return f"{_one(everything[i], everything[j], witness)}: {would}"


def refuse_shared(train: Sequence[NamedSection], held_out: Sequence[NamedSection]) -> None:
    """Refuse a split that trains on a section and holds it out.

    Raises
    ------
    SampleError
        Naming both lines of the sheet.
    """
    if reason := not_apart(train, held_out):
        raise SampleError(reason)


def refuse_seen(held_out: Sequence[NamedSection], before: SeenSections, base: str) -> None:
    """Refuse to hold out a section from which the model to start from has learnt.

    Raises
    ------
    SampleError
        Naming it.
    """
    if reason := learnt_before(held_out, before, base):
        raise SampleError(reason)


def learnt_before(held_out: Sequence[NamedSection], before: SeenSections, base: str) -> str:
    """Say which held-out section the model to start from has learnt from; empty where it has from none."""
    for section in held_out:
        seen = before.find(section.descriptor, section.name, section.patient)
        if seen is not None:
            also = "" if seen.section.sample == section.name else f" is {seen.section.sample}, and"
            return (
                f"{section}{also} was among the training sections of {base}, from which this run starts: its figures "
                "would say nothing; hold out another section, or start from no model"
            )
    return ""


def seen_among(sections: Sequence[Section], before: SeenSections) -> list[str]:
    """Return the names of sections from which the model to start from has learnt."""
    return [s.name for s in sections if before.find(s.descriptor, s.name, s.patient) is not None]


def same_warnings(sections: Sequence[NamedSection]) -> list[str]:
    """Return a sentence for each pair of lines of a sheet that are one section."""
    pairs = same_sections([section.descriptor for section in sections])
    return [_one(sections[i], sections[j], witness) for i, j, witness in pairs]


def _one(one: NamedSection, other: NamedSection, witness: Witness) -> str:
    return f"{one} and {other} are one section ({WITNESSES[witness]})"
