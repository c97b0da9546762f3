"""A process that outlives the one that started it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

_NICE = 5


def unbuffered() -> dict[str, str]:
    """Return this process's environment, in which Python prints at once although there is no terminal."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


def detached() -> dict[str, Any]:
    """Arguments of Popen that let the process outlive ours."""
    if os.name == "nt":
        flags = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        return {"creationflags": flags}
    return {"start_new_session": True}


def lower_priority(pid: int) -> None:
    """Let the viewer have the processor before a process that it started."""
    if hasattr(os, "setpriority"):
        try:
            # no system lets a process have a higher one than the process that started it
            os.setpriority(os.PRIO_PROCESS, pid, max(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))
        except OSError:  # it may have ended already
            return


def identity(pid: int) -> str | None:
    """Identify a live process, unlike a later one with the same number; None if there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            return None
        return None if fields[0] == "Z" else fields[19]  # state; start time in ticks since boot
    if os.name == "nt":
        return _windows_identity(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return "alive"  # it is there, and somebody else's
    return "alive"


def _windows_identity(pid: int) -> str | None:
    """As `identity`; os.kill(pid, 0) would send Ctrl+C there."""
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return None
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return "alive" if code.value == 259 else None  # STILL_ACTIVE
