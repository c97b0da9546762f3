"""Scripts that are hung say where."""

from __future__ import annotations

from pathlib import Path

import pytest

from viewer import own_process

HUNG = """
import threading

def waits_for_ever():
    threading.Event().wait()

print("begun", flush=True)
waits_for_ever()
"""


def test_a_script_that_does_not_end_says_where_it_stands(tmp_path: Path) -> None:
    script = tmp_path / "hung.py"
    script.write_text(HUNG)
    with pytest.raises(AssertionError, match=r"(?s)begun.*in waits_for_ever.*had not ended after 2 s"):
        own_process.run(script, timeout=2)
