"""What a run holds out, and what its figures will then say: the patient guard in words. No Qt."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.viewer.kit.phrases import count

if TYPE_CHECKING:
    from napari_nh2st.training.sections.section_check import SectionFacts

Kind = Literal["blocks", "section", "patient"]
_PARTS = {"head": "head", "last-blocks": "head and last blocks", "everything": "everything"}


@dataclass(frozen=True)
class HoldOut:
    """A choice: a block of each section, or a sample or patient of this name."""

    kind: Kind = "blocks"
    name: str = ""

    def settings(self) -> dict[str, Any]:
        """Return the settings of a run that say so."""
        return {
            "hold_out_sections": [self.name] if self.kind == "section" else None,
            "hold_out_patients": [self.name] if self.kind == "patient" else None,
        }

    def training(self, facts: Sequence[SectionFacts]) -> list[SectionFacts]:
        """Return the sections that are trained on."""
        if self.kind == "blocks":
            return list(facts)
        return [f for f in facts if self.name != (f.sample.sample if self.kind == "section" else f.sample.patient)]

    def why_not(self, facts: Sequence[SectionFacts]) -> str:
        """Say why no run can be made with it; empty where one can, and where no section is known yet."""
        left = len(self.training(facts))
        if not facts or self.kind == "blocks" or 0 < left < len(facts):
            return ""
        if left:
            return f"Choose the {self.kind} to hold out"
        return f"Holding out {self._what} leaves no section to train on: hold out a block of each section instead"

    def says(self, facts: Sequence[SectionFacts], known: Collection[str] = ()) -> str:
        """Say what the figures will mean.

        Parameters
        ----------
        facts : sequence of SectionFacts
            Of all sections.
        known : collection of str
            Patients that the model to start from has learnt from already.
        """
        if not facts or self.why_not(facts):
            return ""
        if self.kind == "blocks":
            part = TrainingConfig().inner_validation
            return f"A block of each section, {part:.0%}: says how well it fills in these sections, little of others."
        held_out = [f.sample for f in facts if f not in self.training(facts)]
        patient = held_out[0].patient
        said = f"{self._what[:1].upper()}{self._what[1:]}"
        if self.kind == "patient":
            said += f" ({count(len(held_out), 'section')})"
        if any(f.sample.patient == patient for f in self.training(facts)):
            also = f"Its patient {patient} is, so the figures are same-patient: optimistic for a new patient."
            return f"{said} is never trained on. {also}"
        if patient in known:
            return (
                f"{said} is never trained on, but the model to start from was trained on a patient {patient}: if that "
                "is the same one, the figures are optimistic for a new patient."
            )
        also = "" if self.kind == "patient" else ", nor is any other section of its patient"
        return f"{said} is never trained on{also}: cross-patient figures."

    def summary(self) -> str:
        """Say it in a word or two."""
        return "holds out a block of each section" if self.kind == "blocks" else f"holds out {self._what}"

    @classmethod
    def of(cls, config: TrainingConfig) -> HoldOut:
        """Return what a run with these settings holds out; several sections or patients are named together."""
        if config.hold_out_sections:
            return cls("section", ", ".join(config.hold_out_sections))
        return cls("patient", ", ".join(config.hold_out_patients)) if config.hold_out_patients else cls()

    @property
    def _what(self) -> str:
        return self.name if self.kind == "section" else f"patient {self.name}"


def choices_words(config: TrainingConfig, base: str | None) -> str:
    """Say in a line what a run is made of: "250 genes, highest mean; head, from her2st; holds out C5".

    Parameters
    ----------
    config : TrainingConfig
    base : str or None
        The model it starts from.
    """
    if config.genes:
        genes = count(len(config.genes), "listed gene")
    elif base is not None:
        genes = f"the genes of {base}"
    else:
        genes = f"{count(config.panel, 'gene')}, {config.panel_kind.replace('-', ' ')}"
    start = "" if base is None else f", from {base}"
    return f"{genes}; {_PARTS[config.train]}{start}; {HoldOut.of(config).summary()}"


def patients(facts: Sequence[SectionFacts]) -> list[str]:
    """Return the patients of a sheet, each once, in its order."""
    return list(dict.fromkeys(f.sample.patient for f in facts))
