"""Ends that are asked for: SIGTERM and Ctrl+C, whatever runs."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from napari_nh2st.terminal import enforced_ends, interruptible

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
    assert said == "error: ended by force; what was finished is kept, and the same command goes on\n"
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
