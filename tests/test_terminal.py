"""Ends that are asked for: SIGTERM and Ctrl+C, whatever runs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from napari_nh2st.errors import MppNeeded
from napari_nh2st.slides import open_slide
from napari_nh2st.terminal import enforced_ends, interruptible, on_command_line, option
from support.slides import picture, tiff

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows ends a process at once")

HEAD = """
import sys, time
from napari_nh2st.terminal import enforced_ends, interruptible, say
with enforced_ends():
    cancelled = interruptible()
    time.sleep(0.3)  # the guard is there
    print("ready", flush=True)
"""
DEAF = "    sum(range(10**12))  # holds the interpreter, as a library does that waits for memory\n"
POLITE = "    while not cancelled():\n        time.sleep(0.01)\n    say('error: stopped')\n    sys.exit(1)\n"
LEAVES_SLOWLY = "    import atexit; atexit.register(time.sleep, 60)\n" + POLITE


def ended(body, *signals):
    """Run it and send signals; return the exit status, what was said, and the seconds from the last signal on."""
    with subprocess.Popen([sys.executable, "-c", HEAD + body], stdout=-1, stderr=-1, text=True) as run:
        try:
            assert run.stdout.readline() == "ready\n"
            for number in signals:
                time.sleep(0.2)
                run.send_signal(number)
            sent = time.monotonic()
            _, said = run.communicate(timeout=20)
            return run.returncode, said, time.monotonic() - sent
        finally:
            run.kill()


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_what_does_not_answer_is_ended_by_force(signals):
    status, said, seconds = ended(DEAF, *signals)
    assert status == -signal.SIGKILL
    assert said == "error: stopped by force; what was finished is kept: repeat the command to go on\n"
    assert 1 < seconds < 3


@pytest.mark.parametrize("body", [POLITE, LEAVES_SLOWLY])
def test_what_answers_ends_by_itself(body):
    status, said, seconds = ended(body, signal.SIGTERM)
    assert (status, said) == (1, "error: stopped\n")
    assert seconds < 1.5


def test_nothing_is_left_of_the_guard_and_a_fork_is_not_guarded():
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    threads = threading.active_count()
    with enforced_ends():
        cancelled = interruptible()
        child = os.fork()
        if child == 0:
            os._exit(0 if signal.set_wakeup_fd(-1) == -1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.kill(os.getpid(), signal.SIGINT)
        assert cancelled()
    assert {n: signal.getsignal(n) for n in before} == before
    assert signal.set_wakeup_fd(-1) == -1
    assert threading.active_count() == threads


CLOSED = "import sys; sys.argv = ['nh2st', *{words}]; from napari_nh2st.cli import main; main()"


@pytest.mark.parametrize(
    ("words", "stream", "status", "said"),
    [
        (["cache", "clear"], "<&-", 0, b""),
        (["cache"], ">&-", 0, b""),
        (["info", "nowhere.tif"], "2>&-", 1, b""),
        (["--version"], ">/dev/full", 1, b"is full"),
    ],
)
def test_a_stream_that_is_closed_or_full_is_no_traceback(tmp_path, words, stream, status, said):
    call = f'{sys.executable} -c "$0" {stream}'
    done = subprocess.run(
        ["sh", "-c", call, CLOSED.format(words=words)], capture_output=True, cwd=tmp_path,
        env={**os.environ, "NH2ST_CACHE": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == status
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_letters_that_a_terminal_does_not_know_are_written_by_number():
    body = r"from napari_nh2st.cli.output import print_json; print('\u03bb'); print_json(['\u03bb', '\xfc', '\udcff'])"
    call = f"from napari_nh2st.terminal import open_streams; open_streams(); {body}"
    for encoding in ("ascii", "latin-1", "utf-8"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", call], capture_output=True, env=environment, check=True)
        first, rest = done.stdout.decode(encoding).split("\n", 1)
        assert first == ("\u03bb" if encoding == "utf-8" else "\\u03bb")
        assert json.loads(rest) == ["\u03bb", "\xfc", "\udcff"]


def test_a_folder_that_was_removed_is_no_place_to_work(tmp_path, nh2st, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert nh2st("info", "x.tif") == (
        1,
        "",
        "error: the current folder was removed: go to another one (cd)\n",
    )


def test_options_have_the_name_that_their_reader_gives_them(tmp_path):
    assert (option("hold-out-patients"), option("resume", "resume=True")) == ("hold_out_patients=", "resume=True")
    with open_slide(tiff(tmp_path / "a.tif", picture(64, 64))) as slide:
        with pytest.raises(MppNeeded, match=r"give the right value with mpp=, or"):
            slide.require_mpp()
        with on_command_line(), pytest.raises(MppNeeded, match="give the right value with --mpp, or"):
            slide.require_mpp()
    assert option("pitch") == "pitch="
