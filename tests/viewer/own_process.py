"""Scripts that drive a window in a process of their own: a crash of the graphics driver is a plain failure then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def run(script: Path, *words: str, settings: str = "", timeout: float = 500) -> str:
    """Run a script to its end and return the text that it printed.

    Parameters
    ----------
    script : Path
    *words : str
        Its arguments.
    settings : str, optional
        The file for napari's settings; by default nothing is remembered.
    timeout : float, optional
        In seconds.
    """
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "NAPARI_CONFIG": settings}
    command = [sys.executable, str(script), *words]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    said = (outcome.stdout + outcome.stderr)[-6000:]
    assert outcome.returncode == 0, f"{script.name} ended with {outcome.returncode}:\n{said}"
    return outcome.stdout
