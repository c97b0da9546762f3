"""A guard against tests that write where a person keeps files."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGING = {"os.mkdir": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1}  # which argument is the new path


class WriteGuard:
    """Refuses what this process writes outside temporary folders; hidden folders, such as caches, are allowed, and
    the folder in which pytest prepares its own.

    What is written by C libraries alone, or by another process, is not seen.
    """

    def __init__(self, *allowed: Path) -> None:
        temporary = {tempfile.gettempdir(), os.path.realpath(tempfile.gettempdir())}
        self._allowed = (*temporary, *map(str, allowed), "/dev/", "/proc/")
        self.refused: list[str] = []

    def watch(self) -> None:
        """Watch this process until it ends: Python's audit hooks cannot be taken out."""
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            writes = any(letter in mode for letter in "wax+") if mode else flags & _WRITING
        elif event in _CHANGING:
            path, writes = args[_CHANGING[event]], True
        else:
            return
        if writes and isinstance(path, str | bytes | os.PathLike) and not self._is_allowed(event, os.fsdecode(path)):
            self.refused.append(os.fsdecode(path))
            raise PermissionError(f"a test writes outside its own folder: {os.fsdecode(path)}")

    def _is_allowed(self, event: str, name: str) -> bool:
        path = os.path.normpath(Path.cwd() / name)
        if event in ("open", "os.mkdir") and Path(path).is_dir():
            return True  # it is there already; one that is opened holds a temporary file without a name
        hidden = any(
            part.startswith((".", "pytest-cache-files-")) or part == "__pycache__" for part in Path(path).parts
        )
        return hidden or path.startswith(self._allowed)
