"""Measurements damaged at random: read or refused, never anything else. More of them: docs/scripts."""

import warnings

import fuzz_measurements
import pytest


@pytest.mark.parametrize("name", fuzz_measurements.FORMATS)
@pytest.mark.parametrize("rounds", [2, pytest.param(100, marks=pytest.mark.long)])
def test_damaged_measurements_are_read_or_refused(name, rounds):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ends = dict(fuzz_measurements.trials(name, rounds * (1 if ".h5" in name or "h5" in name else 5), seed=rounds))
    assert not {seed: end for seed, end in ends.items() if end not in ("read", "refused")}
