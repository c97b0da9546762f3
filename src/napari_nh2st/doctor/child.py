"""A probe in a process of its own with a time limit: whatever it does to its process, ours goes on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MARK = "nh2st-fact "
_PROBES = "napari_nh2st.doctor.probes"
_END_SECONDS = 5.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Answer:
    """Facts that a probe told before it ended.

    Attributes
    ----------
    facts : dict
        By name, in the order in which they were told.
    ended : str
        Why the probe did not end by itself, as the rest of a sentence; empty where it did.
    error : str
        The exception that ended the probe, or the last line of its standard error if it crashed.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    ended: str = ""
    error: str = ""

    @property
    def whole(self) -> bool:
        """True if the probe came to its end."""
        return not self.ended and not self.error

    @property
    def why(self) -> str:
        """The reason why it did not come to its end."""
        return f"{self.ended} ({self.error})" if self.ended and self.error else self.ended or self.error


def tell(name: str, value: Any) -> None:
    """Tell a fact to the process that started the probe; it counts even if the probe dies at its next step."""
    print(MARK + json.dumps([name, value]), flush=True)


def probe_main(probe: Callable[..., None]) -> None:
    """Run a probe on the arguments of its command line; an exception becomes the fact `error`."""
    try:
        probe(*sys.argv[1:])
    except BaseException as error:
        tell("error", error_line(error))
        raise SystemExit(1) from None


def error_line(error: BaseException) -> str:
    """Return an exception in one line; our own errors are sentences already."""
    from napari_nh2st.errors import Nh2stError

    text = " ".join(str(error).split())
    return text if isinstance(error, Nh2stError) else f"{type(error).__name__}: {text}"[:500].rstrip(": ")


def ask(
    probe: str,
    *arguments: str,
    seconds: float,
    cancelled: Callable[[], bool] = lambda: False,
    program: Sequence[str] | None = None,
) -> Answer:
    """Run a probe and return what it told.

    Parameters
    ----------
    probe : str
        The name of a module of `doctor.probes`.
    *arguments : str
    seconds : float
        Then it is ended.
    cancelled : callable
        Ends it as well.
    program : sequence of str, optional
        A command that tells facts, in the place of this Python with the probe.
    """
    command = program or (sys.executable, "-m", _PROBES, probe)
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        process = subprocess.Popen([*command, *arguments], **pipes, **_of_its_own())
    except OSError as error:
        return Answer(ended=f"could not be started: {error.strerror or error}")
    until, ended = time.monotonic() + seconds, None
    while ended is None:
        try:
            out, err = process.communicate(timeout=_LOOK_SECONDS)
            ended = _ending(process.returncode)
        except subprocess.TimeoutExpired:
            if cancelled() or time.monotonic() > until:
                out, err = _end(process)
                ended = "was stopped" if cancelled() else f"did not answer within {seconds:.0f} s"
    facts = _facts(out)
    if "error" in facts:  # it ended in an orderly way
        return Answer({name: value for name, value in facts.items() if name != "error"}, "", str(facts["error"]))
    return Answer(facts, ended, _last_line(err) if ended else "")


def _of_its_own() -> dict[str, Any]:
    """Arguments of Popen for a group of processes that can be ended together."""
    return {"start_new_session": True} if os.name != "nt" else {}


def _end(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    with contextlib.suppress(OSError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    try:
        out, err = process.communicate(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired as still:  # it hangs in the kernel, on a network drive say
        out, err = still.stdout or b"", still.stderr or b""
    return out, err


def _ending(code: int) -> str:
    if code == 0:
        return ""
    if code < 0:
        try:
            return f"ended with signal {-code} ({signal.Signals(-code).name})"
        except ValueError:
            return f"ended with signal {-code}"
    return f"ended with exit status {code}"


def _facts(out: bytes) -> dict[str, Any]:
    facts = {}
    for line in out.decode("utf-8", "replace").splitlines():
        if line.startswith(MARK):
            with contextlib.suppress(ValueError, TypeError):  # cut short by the end of the process
                name, value = json.loads(line[len(MARK) :])
                facts[str(name)] = value
    return facts


def _last_line(err: bytes) -> str:
    lines = [line.strip() for line in err.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
