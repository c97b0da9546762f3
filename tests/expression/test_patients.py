import pytest

from napari_nh2st.expression.patients import nobody, patient_key, patient_keys, written_twice


@pytest.mark.parametrize("name", ["P01", "p01 ", "P1", "p-1", "P 001", "P_1"])
def test_ways_to_write_one_patient(name):
    assert patient_key(name) == patient_key("P1")


def test_a_number_as_pandas_saves_it():
    assert patient_key("1.0") == patient_key("01") == patient_key("1")


@pytest.mark.parametrize("name", ["NA", "nan", " unknown", "?", "", "N/A", "None"])
def test_what_names_nobody(name):
    assert nobody(name)
    assert not nobody(f"{name}1")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P1", "P10"),
        ("P1", "P2"),
        ("11", "1-1"),
        ("HER2+", "HER2-"),
        ("HER2-", "HER2"),
        ("A1", "1A"),
        ("P", "P0"),
        ("é", "e"),
        ("1.1", "1"),
        ("P1.0", "P1"),
    ],
)
def test_names_of_several_patients(one, other):
    assert patient_key(one) != patient_key(other)


def test_a_name_of_signs_alone_is_kept():
    assert patient_key("--") != patient_key("++")
    assert patient_keys(["", " ", "P1", "p01"]) == {patient_key("P1")}


def test_a_patient_who_is_written_in_two_ways_is_said_once():
    (said,) = written_twice(["P1", "B", "p01", "P1", ""])
    assert said.startswith("patients P1 and p01 are taken for one person: write the name the same way")
    assert written_twice(["P1", "P2", "P1"]) == []
