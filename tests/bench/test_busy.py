"""A busy process beside what is measured: it computes meanwhile, and it never stays."""

import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from napari_nh2st.bench import busy
from napari_nh2st.bench.rates import Rate


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def test_a_contender_runs_beside_a_process_that_computes():
    seen, others = [], children()  # an earlier test may have left a process of multiprocessing

    def contender():
        (child,) = children() - others
        before, until = child.cpu_times().user, time.monotonic() + 10
        while child.cpu_times().user == before and time.monotonic() < until:
            time.sleep(0.01)
        seen.append((child.cpu_times().user > before, child))
        return Rate(2.0)

    assert busy.beside_busy(contender)() == Rate(2.0)
    ((computed, child),) = seen
    assert computed
    assert not child.is_running()


def test_it_ends_with_a_contender_that_fails():
    others = children()

    def contender():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        busy.beside_busy(contender)()
    assert children() <= others


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the number of a parent that is gone")
def test_it_ends_with_a_benchmark_that_is_killed():
    code = """
        import os, signal
        from napari_nh2st.bench.child_processes import busy_process
        with busy_process() as process:
            print(process.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    until = time.monotonic() + 20
    while psutil.pid_exists(int(ran.stdout)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not psutil.pid_exists(int(ran.stdout))
