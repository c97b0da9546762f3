from pathlib import Path

import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.evaluation.splits import parse_protocol
from napari_nh2st.expression import Sample


def sample(name, patient):
    return Sample(name, patient, Path(name), Path(name), "h5ad")


SHEET = [sample("B4", "B"), sample("C2", "C"), sample("C3", "C"), sample("D1", "D")]


def told(protocol, sheet=SHEET):
    return [(str(s), s.kind) for s in parse_protocol(protocol, sheet)]


def test_explicit_splits_are_labelled_from_patients():
    assert told("C2:C3") == [("C2:C3", "same-patient")]
    assert told(" C2 , C3 : B4 ; B4:D1") == [("C2,C3:B4", "cross-patient"), ("B4:D1", "cross-patient")]
    assert told("C2:C3,B4") == [("C2:C3,B4", "same-patient")]  # one shared patient is enough


def test_each_patient_in_turn():
    assert told("cross-patient") == [
        ("C2,C3,D1:B4", "cross-patient"),
        ("B4,D1:C2,C3", "cross-patient"),
        ("B4,C2,C3:D1", "cross-patient"),
    ]


def test_each_section_in_turn():
    assert told("leave-section-out") == [
        ("C2,C3,D1:B4", "cross-patient"),
        ("B4,C3,D1:C2", "same-patient"),
        ("B4,C2,D1:C3", "same-patient"),
        ("B4,C2,C3:D1", "cross-patient"),
    ]


@pytest.mark.parametrize(
    ("protocol", "says"),
    [
        ("C2,C9:B4", "no sample C9"),
        ("C2,C3:C3", "C3 would be trained on and scored"),
        ("C2:", "give training sections, a colon"),
        ("C2:C3:B4", "give training sections, a colon"),
        ("by-hand", "is not a protocol"),
    ],
)
def test_what_cannot_be_is_one_line(protocol, says):
    with pytest.raises(SampleError, match=says):
        parse_protocol(protocol, SHEET)


def test_one_patient_or_one_section_is_too_few():
    with pytest.raises(SampleError, match="at least two patients"):
        parse_protocol("cross-patient", SHEET[1:3])
    with pytest.raises(SampleError, match="at least two sections"):
        parse_protocol("leave-section-out", SHEET[:1])
