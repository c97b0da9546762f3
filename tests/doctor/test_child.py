"""Probes in processes of their own: whatever they do, there is an answer."""

import sys
import time

from napari_nh2st.doctor.child import Answer, ask

PYTHON = (sys.executable, "-c")
TELL = "from napari_nh2st.doctor.child import probe_main, tell; tell('a', 1); "


def run(code, seconds=20.0):
    return ask("any", TELL + code, seconds=seconds, program=PYTHON)


def test_facts_are_told():
    assert run("print('noise'); tell('b', [2])") == Answer({"a": 1, "b": [2]})


def test_a_crash_keeps_what_was_told_before():
    answer = run("import os; os.kill(os.getpid(), 11)")
    assert answer.facts == {"a": 1}
    assert answer.ended == "ended with signal 11 (SIGSEGV)"


def test_a_hang_is_ended_together_with_its_children():
    started = time.monotonic()
    answer = run("import subprocess, sys, time; subprocess.Popen(['sleep', '60']); time.sleep(60)", seconds=2.0)
    assert answer.facts == {"a": 1}
    assert answer.ended == "did not answer within 2 s"
    assert time.monotonic() - started < 6


def test_a_cancel_ends_it():
    started = time.monotonic()
    answer = ask("any", "import time; time.sleep(60)", seconds=60, program=PYTHON, cancelled=lambda: True)
    assert answer.ended == "was stopped"
    assert time.monotonic() - started < 6


def test_an_exception_is_one_line():
    answer = run("probe_main(lambda *_: 1 / 0)")
    assert (answer.ended, answer.error, answer.whole) == ("", "ZeroDivisionError: division by zero", False)


def test_our_own_errors_are_sentences():
    code = "from napari_nh2st.errors import SlideError\ndef f(*_): raise SlideError('it is\\nempty')\nprobe_main(f)"
    assert ask("any", f"{TELL}\n{code}", seconds=20, program=PYTHON).error == "it is empty"


def test_a_program_that_is_missing():
    answer = ask("any", seconds=1, program=("/no/such/python",))
    assert answer.ended == "could not be started: No such file or directory"


def test_a_line_that_is_cut_short_is_left_out():
    assert run("print('nh2st-fact [\"b\", ')").facts == {"a": 1}
