"""Random walks of a person through a real window end without an error, a thread or a crash. See walking.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from viewer.own_process import run

pytestmark = [pytest.mark.viewer, pytest.mark.timeout(1800)]
SCRIPT = Path(__file__).parent / "walking.py"


@pytest.mark.parametrize(
    ("walks", "steps"), [(2, 40), pytest.param(40, 60, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_nothing_that_a_person_does_raises_an_error_or_leaves_a_thread(tmp_path, walks, steps) -> None:
    said = run(SCRIPT, str(walks), str(steps), "7", settings=str(tmp_path / "settings.yaml"), timeout=1700)
    taken = re.search(r"walks, ([\d,]+) steps, nothing went wrong", said)
    assert taken
    assert int(taken[1].replace(",", "")) > walks * steps / 4  # not cut short by preconditions
