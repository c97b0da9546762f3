"""Scored sections that the model has seen in training: warnings for the report; none counts on a card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_nh2st.engine.section_descriptor import SectionDescriptor, same_sections
from napari_nh2st.engine.seen_sections import Seen, SeenSections
from napari_nh2st.expression import Sample
from napari_nh2st.expression.patients import patient_key, written_twice
from napari_nh2st.model.card import Card
from napari_nh2st.training.sections.held_apart import NamedSection, same_warnings

_KNOWN_BY = {
    "file": "it is the same slide",
    "counts": "its counts are the same",
    "picture": "its slide shows the same tissue",
    "name": "by its name",
}


def seen_warning(sample: Sample, seen: Seen) -> str:
    """Say that a scored section was trained on."""
    section = seen.section
    nothing = "its figures say nothing about new slides"
    if section.sample == sample.sample:
        return f"{sample.sample} was among the training sections: {nothing}"
    return (
        f"{sample.sample} (patient {sample.patient}) is {section.sample} (patient {section.patient}), which was among "
        f"the training sections: {_KNOWN_BY[seen.witness]}; {nothing}"
    )


def settle_kinds(
    samples: Sequence[Sample],
    descriptors: Sequence[SectionDescriptor],
    splits: Sequence[dict[str, Any]],
    seen: SeenSections,
) -> list[str]:
    """Correct the kinds of a report's splits, in place, by what is known of its other sections; return the warnings.

    A patient of whom one section is a training section is a training patient, whatever the other sections say. Of two
    lines that are one section, the second is marked (``same_as``): it does not count on a card.
    """
    named = [NamedSection.of_sample(s, d) for s, d in zip(samples, descriptors, strict=True)]
    warnings = [f"{text}: they are scored twice, and count once on a card" for text in same_warnings(named)]
    trained = {patient_key(sample.patient) for sample, _ in seen.sections}
    trained |= {patient_key(s.patient) for s, split in zip(samples, splits, strict=True) if split["training_section"]}
    for i, j, _ in same_sections(descriptors):
        splits[j]["same_as"] = samples[i].sample
        pair = {patient_key(samples[i].patient), patient_key(samples[j].patient)}
        trained |= pair if pair & trained else set()
    for sample, split in zip(samples, splits, strict=True):
        if split["kind"] == "cross-patient" and patient_key(sample.patient) in trained:
            split["kind"] = "same-patient"
            warnings.append(
                f"{sample.sample}: patient {sample.patient} counts as a training patient, since another section of "
                "that patient was trained on"
            )
    return warnings


def unchecked(card: Card, samples: Sequence[Sample], splits: Sequence[dict[str, Any]], seen: SeenSections) -> list[str]:
    """Say what cannot be known of sections that count as new."""
    warnings = written_twice([*(sample.patient for sample, _ in seen.sections), *(s.patient for s in samples)])
    if card.synthetic or not any(split["kind"] == "cross-patient" for split in splits):
        return warnings
    if not seen.sections:
        warnings.append(
            f"the card of {card.name} does not say what it was trained on: whether these patients are new to it is not "
            "known"
        )
    elif seen.only_fingerprints:
        warnings.append(
            f"{card.name} keeps no descriptors of its training sections: one that was saved again, cropped or scaled "
            "would not be recognised"
        )
    return warnings
