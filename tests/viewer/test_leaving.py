"""The process ends while threads of the docks are at work: without an error, with both bindings to Qt."""

from __future__ import annotations

from pathlib import Path

import pytest

from viewer.own_process import PYQT6, PYSIDE6, require_pyqt6, run

pytestmark = pytest.mark.viewer


@pytest.mark.parametrize(
    ("how", "binding"),
    [("closed", PYSIDE6), ("closed", PYQT6), ("left open", PYQT6), ("slides left open", PYSIDE6)],
)
def test_napari_ends_as_soon_as_the_docks_are_open(how: str, binding: str) -> None:
    if binding == PYQT6:
        require_pyqt6()
    said = run(Path(__file__).with_name("leaving.py"), how, binding=binding, timeout=120)
    assert said.splitlines()[-1] == "the end"
