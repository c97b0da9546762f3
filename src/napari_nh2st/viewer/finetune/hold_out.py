"""The spots that a run holds out, and the meaning of its figures: the patient guard in words. No Qt."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_nh2st.expression.patients import patient_key, patient_keys
from napari_nh2st.targets import TARGETS
from napari_nh2st.training.config import DEFAULT_TARGET, TrainingConfig
from napari_nh2st.viewer.finetune.panel_choice import PANEL_NAMES
from napari_nh2st.viewer.kit.phrases import count

if TYPE_CHECKING:
    from napari_nh2st.training.sections.section_check import SectionFacts

HoldOutKind = Literal["blocks", "section", "patient"]
_PARTS = {"head": "head", "last-blocks": "head and last blocks", "everything": "everything"}
_OPTIMISTIC = "same-patient figures, higher than a new patient will give."


@dataclass(frozen=True)
class HoldOut:
    """A choice: a block of each section, or the sections or patients of these names."""

    kind: HoldOutKind = "blocks"
    names: tuple[str, ...] = ()

    def settings(self) -> dict[str, list[str] | None]:
        """Return the settings of a run that say so."""
        names = list(self.names) or None
        return {
            "hold_out_sections": names if self.kind == "section" else None,
            "hold_out_patients": names if self.kind == "patient" else None,
        }

    def training(self, facts: Sequence[SectionFacts]) -> list[SectionFacts]:
        """Return the sections that are trained on."""
        if self.kind == "blocks":
            return list(facts)
        names = set(map(self._key, self.names))
        return [section for section in facts if self._key(self._name_of(section)) not in names]

    def offered(self, facts: Sequence[SectionFacts]) -> list[str]:
        """Return the names among which one can be held out, each once, in the order of the sheet."""
        if self.kind == "patient":
            return patients_of(facts)
        return [] if self.kind == "blocks" else list(dict.fromkeys(map(self._name_of, facts)))

    def why_not(self, facts: Sequence[SectionFacts]) -> str:
        """Say why no run can be made with it; empty where one can, and where no section is known yet."""
        if not facts:
            return ""
        training = self.training(facts)
        if self.kind != "blocks":
            if not self.names or not set(self.names) <= set(map(self._name_of, facts)):
                return f"Choose the {self.kind} to hold out"
            if not training:
                return self._nothing_left
        from napari_nh2st.training.sections.held_apart import not_apart  # loaded by the check of the sections

        return not_apart([f.named for f in training], [f.named for f in facts if f not in training])

    @property
    def _nothing_left(self) -> str:
        return f"Holding out {self._who} leaves no section to train on: hold out a block of each section instead"

    def guard(self, facts: Sequence[SectionFacts], learnt: Collection[str] = ()) -> str:
        """Say what the figures will mean.

        Parameters
        ----------
        facts : sequence of SectionFacts
            Of all sections.
        learnt : collection of str
            Patients that the base model has learnt from already.
        """
        if not facts or self.why_not(facts):
            return ""
        if self.kind == "blocks":
            part = TrainingConfig().inner_validation
            return (
                f"A block of each section ({part:.0%}) is only scored: shows how well the model fills in these "
                "sections, not how well it does on others. Another block chooses the best epoch."
            )
        training = self.training(facts)
        held_out = [section for section in facts if section not in training]
        patients = patients_of(held_out)
        never = f"{self._who[:1].upper()}{self._who[1:]}"
        if self.kind == "patient":
            never += f" ({count(len(held_out), 'section')})"
        never += f" {'is' if len(self.names) == 1 else 'are'} never trained on"
        trained = patient_keys(section.sample.patient for section in training)
        shared = [patient for patient in patients if patient_key(patient) in trained]
        if shared:
            return f"{never}, but other sections of {_patients(shared)} are: {_OPTIMISTIC}"
        if known := [patient for patient in patients if patient_key(patient) in patient_keys(learnt)]:
            return (
                f"{never}, but the base model has learnt from {_patients(known)}. If that is the same person, "
                f"these are {_OPTIMISTIC}"
            )
        whose = "its patient" if len(patients) == 1 else "these patients"
        nor = "" if self.kind == "patient" else f", nor is any other section of {whose}"
        return f"{never}{nor}: cross-patient figures."

    def summary(self) -> str:
        """Say it in a word or two."""
        return "holds out a block of each section" if self.kind == "blocks" else f"holds out {self._who}"

    @classmethod
    def of(cls, config: TrainingConfig) -> HoldOut:
        """Return what a run with these settings holds out."""
        if config.hold_out_sections:
            return cls("section", tuple(config.hold_out_sections))
        return cls("patient", tuple(config.hold_out_patients)) if config.hold_out_patients else cls()

    @property
    def _who(self) -> str:
        return ", ".join(self.names) if self.kind == "section" else _patients(self.names)

    def _name_of(self, section: SectionFacts) -> str:
        return section.sample.sample if self.kind == "section" else section.sample.patient

    def _key(self, name: str) -> str:
        return name if self.kind == "section" else patient_key(name)


def choices_words(config: TrainingConfig, base: str | None) -> str:
    """Say in a line what a run is made of: "250 genes, most highly expressed; head, from her2st; holds out C5".

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
        genes = f"{count(config.panel, 'gene')}, {PANEL_NAMES[config.panel_kind]}"
    start = "" if base is None else f", from {base}"
    other = config.labels not in (None, DEFAULT_TARGET)
    values = f"; {TARGETS[config.labels].title}" if other and config.labels else ""
    variant = config.architecture.variant
    values += f"; head {variant}" if base is None and variant != TrainingConfig().architecture.variant else ""
    return f"{genes}{values}; {_PARTS[config.train]}{start}; {HoldOut.of(config).summary()}"


def patients_of(facts: Sequence[SectionFacts]) -> list[str]:
    """Return the patients of sections, each once, in their order, as the first section writes them."""
    first: dict[str, str] = {}
    for section in facts:
        first.setdefault(patient_key(section.sample.patient), section.sample.patient)
    return list(first.values())


def _patients(names: Sequence[str]) -> str:
    return f"patient{'' if len(names) == 1 else 's'} {', '.join(names)}"
