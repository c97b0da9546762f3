"""The script behind the promise that kill -9 loses nothing, with a few kills; docs/scripts/kills.py makes a hundred."""

import os

import pytest


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has neither fork nor SIGKILL")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_at_random_moments_every_command_goes_on():
    import kills

    tally = kills.run(3, seed=7, kinds=("predict", "export", "creation"), say=lambda words: None)
    assert tally.kills.total() == 3
    assert tally.checks["the same predict gives the same values"] >= 1
    assert tally.checks["the same export gives the same bytes"] >= 1
    assert tally.checks["every folder was made"] >= 1
