"""What is predicted by models that have not learnt from it: all spots, in the largest parts there are."""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_nh2st.training.run.cross_fit import MOST_TRAININGS, parts_of


def section(patient: str, spots: int = 40) -> SimpleNamespace:
    centres = np.random.default_rng(spots).uniform(0, 100, (spots, 9, 2))
    return SimpleNamespace(patient=patient, labels=np.zeros((spots, 3), np.float32), centres=centres)


@pytest.mark.parametrize(
    ("patients", "what", "parts"),
    [
        (["A"], "blocks", 4),
        (["A", "a "], "sections", 2),
        (["A"] * 7, "sections", MOST_TRAININGS),
        (["A", "B", "B"], "patients", 2),
        (list("ABCDEFG"), "patients", MOST_TRAININGS),
    ],
)
def test_every_spot_is_held_out_once_with_all_that_it_shares_a_patient_or_section_with(patients, what, parts):
    sections = [section(patient, 30 + 10 * i) for i, patient in enumerate(patients)]
    said, masks = parts_of(sections)
    assert (said, len(masks)) == (what, parts)
    for i in range(len(sections)):
        held_out = np.stack([part[i] for part in masks])
        assert (held_out.sum(axis=0) == 1).all()
        assert what == "blocks" or held_out.all(axis=1).any()
    of_patient = {p: [masks_of(masks, i) for i, q in enumerate(patients) if q == p] for p in patients}
    if what == "patients":
        assert all(len(set(parts)) == 1 for parts in of_patient.values())
    for part in masks:
        assert any(mask.any() for mask in part)
        assert not all(mask.all() for mask in part)


def masks_of(masks: list, i: int) -> int:
    """Return the part that holds all of a section out."""
    return next((number for number, part in enumerate(masks) if part[i].all()), -1)


def test_parts_are_about_as_large_as_each_other():
    _, masks = parts_of([section(f"P{i}", 10 * (i + 1)) for i in range(8)])
    sizes = [sum(int(mask.sum()) for mask in part) for part in masks]
    assert max(sizes) - min(sizes) <= 20
    _, quarters = parts_of([section("A", 41)])
    assert sorted(int(part[0].sum()) for part in quarters) == [10, 10, 10, 11]


def test_the_quarters_of_a_section_are_compact():
    only = section("A", 400)
    _, quarters = parts_of([only])
    for (mask,) in quarters:
        low, high = only.centres[mask, 4].min(axis=0), only.centres[mask, 4].max(axis=0)
        assert (high - low < 60).all()
