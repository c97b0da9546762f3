"""The terminal: messages and progress on standard error, names of options, Ctrl+C, screens."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any


def open_streams() -> None:
    """Give streams that were closed a place to go, and write letters that a terminal does not know by their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 (open until the end)
        elif mode == "w" and isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


class Loudness(Enum):
    """How much is said on standard error."""

    QUIET = "warnings and errors alone"
    NORMAL = "progress too"
    VERBOSE = "each line with the time since the start"


_loudness, _began = Loudness.NORMAL, time.monotonic()


def set_loudness(loudness: Loudness) -> None:
    """Choose how much is said from now on."""
    global _loudness, _began
    _loudness, _began = loudness, time.monotonic()


def is_quiet() -> bool:
    """Tell whether only warnings and errors are said."""
    return _loudness is Loudness.QUIET


def _stamp() -> str:
    return f"[{time.monotonic() - _began:7.1f} s] " if _loudness is Loudness.VERBOSE else ""


def say(message: str) -> None:
    """Print a line on standard error, without what a terminal would obey: texts of files stand in messages."""
    message = "".join(c if c.isprintable() or c in "\n\t" else " " for c in message)
    if _loudness is Loudness.QUIET and not message.startswith(("warning: ", "error: ")):
        return
    stamp = "" if message.startswith("error: ") else _stamp()
    print(stamp + message, file=sys.stderr, flush=True)


class Bar:
    """A progress line on standard error: redrawn in a terminal, a line every few seconds elsewhere."""

    def __init__(self, title: str, unit: str = " tiles") -> None:
        self.title, self.unit, self.started, self.shown = title, unit, time.monotonic(), 0.0
        self.live = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        if _loudness is Loudness.QUIET:
            return
        now = time.monotonic()
        if now - self.shown < (0.1 if self.live else 5) and done < total:
            return
        self.shown = now
        spent = now - self.started
        left = f", {spent / done * (total - done):.0f} s left" if 0 < done < total else f", {spent:.1f} s"
        text = f"{_stamp()}{self.title}: {done} of {total}{self.unit}{left}"
        print(f"\r{text}\x1b[K" if self.live else text, end="" if self.live else "\n", file=sys.stderr, flush=True)
        if self.live and done >= total:
            print(file=sys.stderr)


_commanded = False


@contextmanager
def on_command_line() -> Iterator[None]:
    """Have messages name the options of the command line, not the arguments of Python."""
    global _commanded
    _commanded = True
    try:
        yield
    finally:
        _commanded = False


def say_to_command_line(message: str) -> None:
    """Print a line on standard error if a command runs; nothing in Python and in the window."""
    if _commanded:
        say(message)


def option(name: str, python: str = "") -> str:
    """Name an option as its reader gives it: ``--mpp`` on the command line; in Python `python`, else ``mpp=``."""
    return f"--{name}" if _commanded else python or f"{name.replace('-', '_')}="


def in_columns(cells: Sequence[Sequence[str]]) -> list[str]:
    """Lay rows of cells out as lines whose columns stand below one another."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


_interrupted = False


def was_interrupted() -> bool:
    """Tell whether Ctrl+C was pressed since the command has begun to listen for it."""
    return _interrupted


def interruptible() -> Callable[[], bool]:
    """Turn Ctrl+C and SIGTERM into a `cancelled` question for the engine; a second one stops at once.

    What does not answer is ended by force (`enforced_ends`): after SIGTERM, and after a second Ctrl+C.
    """
    global _interrupted
    asked, _interrupted = threading.Event(), False

    def stop(signum: int, _: Any) -> None:
        global _interrupted
        _interrupted |= signum == signal.SIGINT
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        if _guard is not None and signum == signal.SIGTERM:
            _guard.terminated = True

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        if _guard is not None:
            _guard.start()
    return asked.is_set


GRACE_SECONDS = 1.5
# A process of its own, because a signal's handler in Python waits for the main thread, and this one may never come back
# from a library that holds the interpreter. What Python itself writes into the pipe does not wait.
_GUARDING = f"""
import os, select, signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
interrupts, until = 0, None
while True:
    wait = None if until is None else max(0, until - time.monotonic())
    if select.select([0], [], [], wait)[0]:
        numbers = os.read(0, 64)
        if not numbers:
            break
        interrupts += numbers.count(signal.SIGINT)
        if until is None and (signal.SIGTERM in numbers or interrupts > 1):
            until = time.monotonic() + {GRACE_SECONDS}
    else:
        os.write(2, b"error: stopped by force; what was finished is kept: repeat the command to go on\\n")
        os.kill(int(sys.argv[1]), signal.SIGKILL)
        break
"""


class _Guard:
    """A small process that ends this one, `GRACE_SECONDS` after a signal that it has not answered."""

    def __init__(self) -> None:
        self.terminated = False
        self._pipe = -1
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to guard; only once."""
        if self._process is not None or os.name == "nt":  # Windows ends a process at once
            return
        ear, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            words = [sys.executable, "-I", "-S", "-c", _GUARDING, str(os.getpid())]
            self._process = subprocess.Popen(words, stdin=ear, stdout=subprocess.DEVNULL, start_new_session=True)
            signal.set_wakeup_fd(self._pipe, warn_on_full_buffer=False)
        except OSError:
            self.stop()  # there is no room for another process: signals are answered as well as Python can
        finally:
            os.close(ear)

    def stop(self) -> None:
        """Stop guarding."""
        if self._pipe < 0:
            return
        with suppress(ValueError):
            signal.set_wakeup_fd(-1)
        os.close(self._pipe)
        self._pipe = -1
        if self._process is not None:
            self._process.wait()

    def forget(self) -> None:
        """Leave the guard to the process from which this one was forked."""
        self._process = None
        self.stop()


_guard: _Guard | None = None


def _forget_guard() -> None:
    if _guard is not None:
        _guard.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_guard)


@contextmanager
def enforced_ends() -> Iterator[None]:
    """See to it that SIGTERM ends the process within two seconds, whatever runs, and so does a second Ctrl+C.

    All files are written in one step, so an end at any moment loses only what is in flight.
    """
    global _guard, _interrupted
    _guard = guard = _Guard()
    _interrupted = False
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        _guard = None
        if guard.terminated:  # leaving Python may take longer than there is time
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)
        guard.stop()
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def has_display() -> bool:
    """Return True if a window can be opened."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def has_xvfb() -> bool:
    """Return True if a window can be drawn on a virtual screen."""
    return shutil.which("xvfb-run") is not None
