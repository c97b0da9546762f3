"""What a machine computes with is tried once and remembered."""

import json

import pytest
import torch

from napari_nh2st.engine import calibration
from napari_nh2st.engine.calibration import Calibration, calibrate, guess, try_out
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.errors import Cancelled

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path))
    monkeypatch.delenv("NH2ST_PRECISION", raising=False)
    monkeypatch.setattr(calibration, "_in_use", {})
    return tmp_path


def times(monkeypatch, **seconds):
    def timed(net, image, device, precision):
        last = image.is_contiguous(memory_format=torch.channels_last)
        return seconds[f"{precision}_{'last' if last else 'planes'}"]

    monkeypatch.setattr(calibration, "_time", timed)


def test_it_is_tried_once_and_remembered(fresh, monkeypatch):
    found = calibrate(CPU)
    assert found.seconds["fp32 channels last"] > 0
    monkeypatch.setattr(calibration, "_try", lambda *how: pytest.fail("tried again"))
    assert calibrate(CPU) == found
    calibration._in_use.clear()  # another session
    assert calibrate(CPU) == found
    assert len(json.loads((fresh / "calibration.json").read_text())) == 1


def test_a_damaged_note_is_tried_again(fresh):
    (fresh / "calibration.json").write_text("{not json")
    assert isinstance(calibrate(CPU), Calibration)


def test_a_cache_that_cannot_be_written_is_no_error(fresh, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(calibration, "finished_file", full)
    assert isinstance(calibrate(CPU), Calibration)


def test_half_precision_is_taken_where_it_is_native_and_wins(monkeypatch):
    monkeypatch.setattr(calibration, "has_fast_bf16", lambda device: True)
    monkeypatch.setattr("napari_nh2st.engine.precision.has_fast_bf16", lambda device: True)
    times(monkeypatch, fp32_last=1.0, fp32_planes=1.05, bf16_last=0.5, bf16_planes=0.6)
    assert choose_precision("auto", CPU) == "bf16"
    assert choose_precision("fp32", CPU) == "fp32"
    assert calibrate(CPU).channels_last


def test_half_precision_that_wins_little_is_left(monkeypatch):
    monkeypatch.setattr(calibration, "has_fast_bf16", lambda device: True)
    times(monkeypatch, fp32_last=2.0, fp32_planes=1.0, bf16_last=1.9, bf16_planes=0.95)
    found = calibrate(CPU)
    assert found.precision == "fp32"
    assert not found.channels_last


def test_somebody_who_waits_gets_a_guess_for_the_session_and_the_next_one_has_the_trial(monkeypatch):
    monkeypatch.setattr(calibration, "has_fast_bf16", lambda device: True)
    times(monkeypatch, fp32_last=2.0, fp32_planes=1.0, bf16_last=1.9, bf16_planes=0.95)
    with pytest.raises(Cancelled):
        try_out(CPU, cancelled=lambda: True)
    guess(CPU)
    guessed = calibrate(CPU)
    assert (guessed.precision, guessed.channels_last, guessed.seconds) == ("bf16", True, {})
    try_out(CPU)
    assert calibrate(CPU) == guessed  # the maps of a session are of one precision
    calibration._in_use.clear()  # another session
    guess(CPU)
    assert (calibrate(CPU).precision, calibrate(CPU).channels_last) == ("fp32", False)


def test_nobodys_seed_is_touched():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    calibrate(CPU)
    assert torch.equal(torch.rand(3), expected)
