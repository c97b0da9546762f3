"""Many slides in one process: the script that counts them, with few and with many cycles."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "docs/scripts/open_predict_close.py"


@pytest.mark.long
def test_memory_handles_and_threads_stay_flat():
    done = subprocess.run([sys.executable, SCRIPT, "40"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[0])
    assert (figures["cycles"], figures["growth"]["handles"], figures["growth"]["threads"]) == (40, 0, 0)
