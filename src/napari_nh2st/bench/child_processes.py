"""Child processes of the benchmark: what must be measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from napari_nh2st.errors import Cancelled, Nh2stError

ASK_SECONDS = 0.2

# It ends with the benchmark, however that ends.
_BUSY = """
import os
parent = os.getppid()  # before the benchmark goes on: it may be killed at once
print(flush=True)
while os.getppid() == parent:
    sum(range(100_000))
"""


def start(words: Sequence[object], errors: Any) -> subprocess.Popen[str]:
    """Start ``python -m`` with these words, out of reach of the terminal's Ctrl+C: the benchmark passes it on."""
    call = [sys.executable, "-m", *map(str, words)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)


def run_json(words: Sequence[object], cancelled: Callable[[], bool], timeout: float = 1800) -> Any:
    """Run ``python -m`` with these words and return the JSON document that it prints last.

    Raises
    ------
    Cancelled
        The child is killed.
    Nh2stError
        With the last line that it said, if it failed or took longer than `timeout` seconds.
    """
    with tempfile.TemporaryFile("w+") as errors:
        child = start(words, errors)
        waited = 0.0
        try:
            while True:
                try:
                    out = child.communicate(timeout=ASK_SECONDS)[0]
                    break
                except subprocess.TimeoutExpired:
                    waited += ASK_SECONDS
                if cancelled():
                    raise Cancelled("stopped")
                if waited > timeout:
                    raise Nh2stError(f"{words[0]} took more than {timeout:.0f} s")
        finally:
            if child.poll() is None:
                child.kill()
                child.communicate()
        if child.returncode:
            errors.seek(0)
            said = errors.read().strip().splitlines()[-1:] or [f"exit status {child.returncode}"]
            raise Nh2stError(f"{words[0]} failed: {said[0].removeprefix('error: ')}")
    return json.loads(out[out.index("{") :])


@contextmanager
def busy_process() -> Iterator[subprocess.Popen[bytes]]:
    """Keep one core busy meanwhile, from another process."""
    words = [sys.executable, "-I", "-S", "-c", _BUSY]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it has begun
            yield process
        finally:
            process.kill()
