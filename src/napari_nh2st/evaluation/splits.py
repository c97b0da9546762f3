"""Splits into training sections and test sections: always whole sections, labelled by patient ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample
from napari_nh2st.expression.patients import patient_key, patient_keys

CROSS_PATIENT, LEAVE_SECTION_OUT = "cross-patient", "leave-section-out"

Kind = Literal["cross-patient", "same-patient"]


@dataclass(frozen=True)
class Split:
    """Sections to train on and sections to score.

    Attributes
    ----------
    train, test : tuple of Sample
    kind : "cross-patient" or "same-patient"
        Same-patient if any scored section is of a training patient: an optimistic figure.
    """

    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    kind: Kind

    def __str__(self) -> str:
        train, test = (",".join(s.sample for s in part) for part in (self.train, self.test))
        return f"{train}:{test}"


def kind_of(train: Sequence[str], test: Sequence[str]) -> Kind:
    """Return the kind of a split from the patients on both sides, however their names are written."""
    return "same-patient" if patient_keys(train) & patient_keys(test) else "cross-patient"


def parse_protocol(text: str, samples: Sequence[Sample]) -> list[Split]:
    """Turn a protocol into splits of a sheet's sections.

    Parameters
    ----------
    text : str
        ``cross-patient``: score each patient in turn, trained on all others. ``leave-section-out``: score each section
        in turn, trained on all others. Or explicit, ``C2,C3:B4`` (train on C2 and C3, score B4), several separated by
        semicolons.
    samples : sequence of Sample

    Raises
    ------
    SampleError
        If a section is unknown or on both sides, a side is empty, or there are too few patients or sections.
    """
    text = text.strip()
    if text == CROSS_PATIENT:
        return _cross_patient(samples)
    if text == LEAVE_SECTION_OUT:
        if len(samples) < 2:
            raise SampleError("leave-section-out needs at least two sections in the sheet")
        return [_split([t for t in samples if t is not s], [s]) for s in samples]
    if ":" not in text:
        raise SampleError(
            f"{text!r} is not a protocol: give {CROSS_PATIENT}, {LEAVE_SECTION_OUT} or sections as C2,C3:B4"
        )
    return [_explicit(part, samples) for part in text.split(";") if part.strip()]


def _cross_patient(samples: Sequence[Sample]) -> list[Split]:
    patients = list(dict.fromkeys(patient_key(s.patient) for s in samples))
    if len(patients) < 2:
        names = dict.fromkeys(s.patient for s in samples)
        raise SampleError(
            f"cross-patient needs at least two patients, the sheet has {', '.join(names) or 'none'}: "
            f"use {LEAVE_SECTION_OUT}, whose figures are same-patient"
        )
    return [
        _split(
            [s for s in samples if patient_key(s.patient) != p],
            [s for s in samples if patient_key(s.patient) == p],
        )
        for p in patients
    ]


def _explicit(text: str, samples: Sequence[Sample]) -> Split:
    by_name = {s.sample: s for s in samples}
    sides = [[name.strip() for name in side.split(",") if name.strip()] for side in text.split(":")]
    if len(sides) != 2 or not all(sides):
        raise SampleError(f"{text!r}: give training sections, a colon and the sections to score, as C2,C3:B4")
    absent = [name for side in sides for name in side if name not in by_name]
    if absent:
        raise SampleError(f"{text!r}: the sheet has no sample {', '.join(absent)} (it has {', '.join(by_name)})")
    both = sorted(set(sides[0]) & set(sides[1]))
    if both:
        raise SampleError(f"{text!r}: {', '.join(both)} would be trained on and scored")
    train, test = ([by_name[name] for name in dict.fromkeys(side)] for side in sides)
    return _split(train, test)


def _split(train: Sequence[Sample], test: Sequence[Sample]) -> Split:
    return Split(tuple(train), tuple(test), kind_of([s.patient for s in train], [s.patient for s in test]))
