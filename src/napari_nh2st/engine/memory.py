"""Free memory, asked before much of it is taken. Standard library only."""

from __future__ import annotations

import sys
from pathlib import Path

from napari_nh2st.errors import Nh2stError

_SPARE = 64 * 10**6  # for everything that is small


def free_memory() -> int | None:
    """Return the bytes that this process can still take, None where the system does not say.

    The least of what the machine has free, its container may take, and the process itself may take (``ulimit -v``).
    """
    known = [n for n in (_of_machine(), _of_container(), _of_process()) if n is not None]
    return max(0, min(known)) if known else None


def ask_for(size: int, what: str, instead: str) -> None:
    """Make sure that memory suffices.

    Parameters
    ----------
    size : int
        Bytes.
    what, instead : str
        For people: what takes it, and what to do where it is not there.

    Raises
    ------
    Nh2stError
    """
    free = free_memory()
    if free is not None and free < size + _SPARE:
        raise Nh2stError(
            f"there is not enough memory: {what} takes about {max(1, round((size + _SPARE) / 1e6)):,} MB, "
            f"and {free / 1e6:,.0f} MB are free; close other programs, or {instead}"
        )


def _of_machine() -> int | None:
    return _line(Path("/proc/meminfo"), "MemAvailable:", 1024)


def _of_container() -> int | None:
    limit, taken = (_number(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    if limit is None or taken is None:
        return None
    given_back = _line(Path("/sys/fs/cgroup/memory.stat"), "inactive_file", 1)  # files in memory go when it is needed
    return limit - taken + (given_back or 0)


def _of_process() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    taken = _line(Path("/proc/self/status"), "VmSize:", 1024)
    return None if limit == resource.RLIM_INFINITY or taken is None else limit - taken


def _line(path: Path, name: str, unit: int) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    numbers = [line.split()[1] for line in lines if line.startswith(name) and len(line.split()) > 1]
    return int(numbers[0]) * unit if numbers and numbers[0].isdecimal() else None


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
