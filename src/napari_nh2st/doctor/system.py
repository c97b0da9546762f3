"""Facts that the system tells: memory, drives and their free space. Standard library only."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

_NETWORK = (
    "nfs", "cifs", "smb", "afp", "webdav", "davfs", "9p", "virtiofs", "lustre", "ceph", "glusterfs", "beegfs", "gpfs",
    "afs", "fuse.sshfs", "fuse.rclone", "fuse.gcsfuse", "fuse.s3fs", "fuse.davfs",
)  # fmt: skip


def existing(path: Path) -> Path | None:
    """Return a path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next((p for p in (path, *path.parents) if os.path.lexists(p)), None)


def free_bytes(path: Path) -> int | None:
    """Return how many bytes can be written where a path lies; None if nobody can say."""
    there = existing(path)
    try:
        return None if there is None else shutil.disk_usage(there).free
    except OSError:
        return None


def network_kind(path: Path, mounts: str | None = None) -> str:
    """Return the kind of network drive that a path lies on, such as "nfs4"; empty on a disk of this machine.

    Parameters
    ----------
    path : Path
    mounts : str, optional
        The table of mounts as Linux writes it; this machine's by default.
    """
    if sys.platform == "win32":
        return _windows_kind(path)
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape")
        except OSError:
            return ""
    kind, longest = "", -1
    real = os.path.realpath(path)
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        place = words[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        inside = real == place or real.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= longest:  # a later mount hides an earlier one on the same place
            kind, longest = words[2], len(place)
    return kind if kind.startswith(_NETWORK) else ""


def _windows_kind(path: Path) -> str:
    import ctypes

    drive = path.absolute().drive
    if drive.startswith("\\\\"):
        return "network share"
    remote = ctypes.windll.kernel32.GetDriveTypeW(drive + "\\") == 4  # type: ignore[attr-defined,unused-ignore]
    return "network drive" if remote else ""


def write_problem(folder: Path) -> str:
    """Return why nothing can be written into a folder, which is made if needed; empty if something can."""
    probe = folder / f".nh2st-doctor-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"doctor")
        probe.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def free_memory() -> int | None:
    """Return the bytes of memory that this process can still take, its container's limit included; None if unknown."""
    free: list[int] = []
    with contextlib.suppress(OSError, KeyError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free.append(int(lines["MemAvailable"].split()[0]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        if most != "max":
            free.append(int(most) - int(used) + int(stat.get("inactive_file", 0)))
    if not free and sys.platform == "win32":
        return _windows_memory()
    if not free:
        with contextlib.suppress(AttributeError, ValueError, OSError):
            free.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
    return min(free, default=None)


def _windows_memory() -> int | None:
    import ctypes

    status = (ctypes.c_ulonglong * 8)()
    ctypes.cast(status, ctypes.POINTER(ctypes.c_ulong))[0] = ctypes.sizeof(status)
    done = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined,unused-ignore]
    return int(status[2]) if done else None
