"""Python threads that compute side by side, each with its own share of torch's threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier

import torch


@cache
def compute_threads(purpose: str, count: int, each: int = 1) -> ThreadPoolExecutor:
    """Return threads of which each computes with so many processors, made once in a process.

    Waking torch's own threads for every product costs more than it gains where products are small, and while they all
    wait for the slowest one nothing is computed.
    """
    before, made = torch.get_num_threads(), Barrier(count)

    def begin(_: int) -> None:
        torch.get_num_threads()  # a thread's first question sets what was set last in the process
        torch.set_num_threads(each)
        made.wait()

    threads = ThreadPoolExecutor(count, f"nh2st-{purpose}")
    list(threads.map(begin, range(count)))
    torch.set_num_threads(before)  # new threads of others begin with what was set last
    return threads
