"""A command as a process of its own ends without taking apart what it used, and loses nothing by that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
HEAD = "import atexit, sys, threading, time; from napari_nh2st import cli; cli.main = lambda: body(); "


def program(body, stdout=subprocess.PIPE):
    code = f"{HEAD}\ndef body():\n    {body}\ncli.program()"
    call = [sys.executable, "-c", code]
    return subprocess.run(call, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, env=BUFFERED)


@pytest.mark.parametrize(("end", "status"), [("None", 0), ("0", 0), ("1", 1), ("130", 130)])
def test_the_status_is_that_of_the_command(end, status):
    assert program(f"raise SystemExit({end})").returncode == status


def test_all_is_printed_and_threads_and_libraries_come_to_their_end():
    ended = program(
        "atexit.register(print, 'library'); print('x' * 300_000);"
        "threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start(); raise SystemExit(0)"
    )
    assert ended.stdout.split() == ["x" * 300_000, "thread", "library"]


def test_nothing_is_freed_piece_by_piece():
    body = "import weakref; global kept; kept = type('Kept', (), {'__del__': lambda self: print('freed')})();"
    assert program(f"{body} raise SystemExit(0)").stdout == ""
    assert "freed" in program(f"{body} raise ValueError").stdout  # Python's own end


def test_an_error_that_nobody_expected_is_shown_whole():
    ended = program("raise ValueError('unexpected')")
    assert ended.returncode == 1
    assert "ValueError: unexpected" in ended.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_what_cannot_be_printed_is_not_a_success():
    with Path("/dev/full").open("w") as full:
        assert program("print('x'); raise SystemExit(0)", full).returncode == 120
