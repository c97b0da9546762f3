"""The sections that a model has seen in training, and whether another section is one of them.

Everything that asks "was this seen in training?" asks here: the scores of `nh2st evaluate`, what goes on a card, what a
run may hold out, and *Measured* in the dock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.engine.descriptor_file import Key, key_of, read_descriptors
from napari_nh2st.engine.section_descriptor import SectionDescriptor, Witness, same_section
from napari_nh2st.expression.patients import patient_key, patient_keys
from napari_nh2st.model.card import Card, TrainingSample

if TYPE_CHECKING:
    from napari_nh2st.model.models import AnyModel


@dataclass(frozen=True, eq=False)
class Seen:
    """A training section that another section turned out to be.

    Attributes
    ----------
    section : TrainingSample
    witness : "file", "counts", "picture" or "name"
        By what it is known. By its name only where the card keeps nothing else that could tell.
    """

    section: TrainingSample
    witness: Witness | str


@dataclass(frozen=True, eq=False)
class SeenSections:
    """Sections from which a model has learnt, those of the model that it started from included.

    Attributes
    ----------
    sections : sequence of (TrainingSample, SectionDescriptor or None)
        No descriptor where the model was trained before descriptors were kept.
    """

    sections: Sequence[tuple[TrainingSample, SectionDescriptor | None]] = ()

    @classmethod
    def of(cls, card: Card, folder: Path | None = None) -> SeenSections:
        """Collect what a card and its model folder say of the training.

        Raises
        ------
        ModelError
            If the folder's descriptors cannot be read.
        """
        described = {} if folder is None else read_descriptors(folder)
        return cls([(sample, described.get(key_of(sample))) for sample in card.seen])

    @classmethod
    def of_model(cls, model: AnyModel) -> SeenSections:
        """Collect what a model says of its training; see `of`."""
        return cls.of(model.card, model.path)

    @property
    def descriptors(self) -> dict[Key, SectionDescriptor]:
        """Descriptors that are kept, for another model folder."""
        return {key_of(sample): descriptor for sample, descriptor in self.sections if descriptor is not None}

    @property
    def only_fingerprints(self) -> bool:
        """True if a changed copy of some training section would not be recognised."""
        return any(descriptor is None for _, descriptor in self.sections)

    def find(self, descriptor: SectionDescriptor, name: str, patient: str = "") -> Seen | None:
        """Find the training section that a section is, whatever its name and patient; None if it is none of them."""
        return next(self._by_content(descriptor), None) or next(self._by_name(name, patient), None)

    def has_patient(self, patient: str) -> bool:
        """Return True if a training section is of this patient."""
        return patient_key(patient) in patient_keys(sample.patient for sample, _ in self.sections)

    def _by_content(self, descriptor: SectionDescriptor) -> Iterator[Seen]:
        for sample, own in self.sections:
            witness = same_section(own or SectionDescriptor(sample.fingerprint), descriptor)
            if witness is not None:
                yield Seen(sample, witness)

    def _by_name(self, name: str, patient: str) -> Iterator[Seen]:
        """Sections without a descriptor could have been changed: there, name and patient must do."""
        for sample, own in self.sections:
            same_patient = not patient or patient_key(patient) == patient_key(sample.patient)
            if own is None and sample.sample == name and same_patient:
                yield Seen(sample, "name")
