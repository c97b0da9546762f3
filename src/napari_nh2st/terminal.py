"""The terminal: messages and progress on standard error, Ctrl+C, screens."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any


def say(message: str) -> None:
    """Print a line on standard error."""
    print(message, file=sys.stderr, flush=True)


class Bar:
    """A progress line on standard error: redrawn in a terminal, a line every few seconds elsewhere."""

    def __init__(self, title: str, unit: str = " tiles") -> None:
        self.title, self.unit, self.started, self.shown = title, unit, time.monotonic(), 0.0
        self.live = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        now = time.monotonic()
        if now - self.shown < (0.1 if self.live else 5) and done < total:
            return
        self.shown = now
        spent = now - self.started
        left = f", {spent / done * (total - done):.0f} s left" if 0 < done < total else f", {spent:.1f} s"
        text = f"{self.title}: {done} of {total}{self.unit}{left}"
        print(f"\r{text}\x1b[K" if self.live else text, end="" if self.live else "\n", file=sys.stderr, flush=True)
        if self.live and done >= total:
            print(file=sys.stderr)


def interruptible() -> Callable[[], bool]:
    """Turn Ctrl+C into a `cancelled` question for the engine; a second Ctrl+C stops at once."""
    asked = threading.Event()

    def stop(*_: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
    return asked.is_set


def has_display() -> bool:
    """Return True if a window can be opened."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def has_xvfb() -> bool:
    """Return True if a window can be drawn on a virtual screen."""
    return shutil.which("xvfb-run") is not None
