"""Scripts that drive a window in a process of their own: a crash of the graphics driver is a plain failure then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


PYSIDE6, PYQT6 = "pyside6", "pyqt6"
_PYQT6_FOLDER = Path(sys.prefix) / "pyqt6"  # by scripts/setup.sh: among the other packages, napari would prefer it


def require_pyqt6() -> None:
    """Skip a test where PyQt6 is not there."""
    if not _PYQT6_FOLDER.is_dir():
        pytest.skip(f"PyQt6 is not in {_PYQT6_FOLDER}: run make setup")


def run(script: Path, *words: str, settings: str = "", timeout: float = 500, binding: str = "") -> str:
    """Run a script to its end, without a traceback, and return the text that it printed.

    Parameters
    ----------
    script : Path
    *words : str
        Its arguments.
    settings : str, optional
        The file for napari's settings; by default nothing is remembered.
    timeout : float, optional
        In seconds.
    binding : str, optional
        Of Python to Qt, `PYSIDE6` or `PYQT6`; by default that of the tests.
    """
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "NAPARI_CONFIG": settings, "PYTHONFAULTHANDLER": "1"}
    if binding:
        environment["QT_API"] = binding
    if binding == PYQT6:
        environment["PYTHONPATH"] += f"{os.pathsep}{_PYQT6_FOLDER}"
    command = [sys.executable, str(script), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        out, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # it prints where its threads stand
        out, errors = process.communicate()
        errors += f"\nit had not ended after {timeout:.0f} s"
    said = (out + errors)[-6000:]
    assert process.returncode == 0, f"{script.name} ended with {process.returncode}:\n{said}"
    assert "Traceback" not in said, said
    return out
