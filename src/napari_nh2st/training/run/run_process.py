"""A fine-tuning run in its own process: started here, followed through its files, and outliving the window.

The process is the very command that a person would type. Nothing passes between it and us but files in the
run folder (see `RunFolder`), so a run can be followed, stopped and picked up again by another session.

Quick to import: neither Qt nor torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napari_nh2st.atomic import finished_file
from napari_nh2st.reading import contents
from napari_nh2st.training.run.detached_process import detached, identity, lower_priority, unbuffered
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.run.run_metrics import (
    RunMetrics,
    is_mark,
    parse_line,
    parse_lines,
    run_metrics,
    seconds_left,
)

RunState = Literal["empty", "queued", "starting", "running", "paused", "stopping", "done", "cancelled", "failed"]

ACTIVE: tuple[RunState, ...] = ("queued", "starting", "running", "paused", "stopping")
_TERMINAL: dict[str, RunState] = {"done": "done", "cancelled": "cancelled", "failed": "failed"}
_RECORD: dict[str, Any] = {
    "pid": int,
    "argv": list,
    "started": (int, float),
    "rows_before": int,
    "log_before": int,
}  # types in job.json
_FRESH_SECONDS = 120.0  # a run that we did not start counts as alive while its files change


@dataclass(frozen=True)
class RunStatus:
    """State of a run, with one sentence about why it failed."""

    state: RunState
    metrics: RunMetrics = field(default_factory=RunMetrics)
    seconds_left: float | None = None
    message: str = ""
    model: Path | None = None

    @property
    def active(self) -> bool:
        """True if a process is at work on it."""
        return self.state in ACTIVE


def finetune_command(
    sheet: Path,
    out: Path | None,
    *,
    model: str | None = None,
    seed: int | None = None,
    epochs: int | None = None,
    config: Path | None = None,
    resume: bool = False,
    after: Sequence[Path] = (),
) -> list[str]:
    """Return the `nh2st finetune` command line (without the program) for these choices; no `out`: to be estimated."""
    words = ["finetune", str(sheet), *(["--out", str(out)] if out is not None else [])]
    if model:
        words += ["--model", model]
    if seed is not None:
        words += ["--seed", str(seed)]
    if epochs is not None:
        words += ["--epochs", str(epochs)]
    if config is not None:
        words += ["--config", str(config)]
    if resume:
        words.append("--resume")
    for run in after:
        words += ["--after", str(run)]
    return words


def _is_beyond(value: Any) -> bool:
    """Tell whether this is a number that neither counts nor dates."""
    return isinstance(value, int | float) and not 0 <= value < 1 << 53


class RunProcess:
    """One run folder, and the process at work on it if there is one.

    Parameters
    ----------
    folder : Path
        The run folder. It need not exist: a run without files is ``empty``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._files = RunFolder(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._reading = threading.Lock()
        self._offset = 0
        self._rows: list[dict[str, Any]] = []
        self._marks: list[int] = []

    @property
    def can_resume(self) -> bool:
        """True if a run was begun here, so that it can go on from its last epoch or from its preparations."""
        return self._files.start.is_file()

    @property
    def pause_asked(self) -> bool:
        """True if the run is held, or will be after its current step."""
        return self._files.pause.is_file()

    def start(self, words: Sequence[str], *, program: Sequence[str] | None = None) -> None:
        """Start the command as its own, detached process.

        Parameters
        ----------
        words : sequence of str
            What `command` returned.
        program : sequence of str, optional
            What stands before it; this Python's `-m napari_nh2st` by default.

        Raises
        ------
        RuntimeError
            If a process is already at work in this folder.
        """
        if self.status().active:
            raise RuntimeError(f"a run is already going on in {self.folder}")
        self.folder.mkdir(parents=True, exist_ok=True)
        for asked in (self._files.stop, self._files.pause):
            asked.unlink(missing_ok=True)
        before = len(self._rows)
        argv = [*(program or (sys.executable, "-m", "napari_nh2st")), *words]
        with self._files.log.open("ab") as log:
            printed = log.tell()
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=unbuffered(), **detached()
            )
        lower_priority(self._process.pid)
        record = {"pid": self._process.pid, "identity": identity(self._process.pid), "argv": argv}
        behind = {"rows_before": before, "log_before": printed}
        with finished_file(self._files.process) as draft:
            draft.write_text(json.dumps(record | {"started": time.time()} | behind, indent=1), "utf-8")

    def stop(self) -> None:
        """Ask for a stop that keeps the best model so far."""
        if self.folder.is_dir():
            self._files.stop.touch()

    def pause(self) -> None:
        """Hold the run after the current step; a stop is heard meanwhile."""
        if self.folder.is_dir():
            self._files.pause.touch()

    def unpause(self) -> None:
        """Let a held run go on."""
        self._files.pause.unlink(missing_ok=True)

    @property
    def unread(self) -> int:
        """Bytes of metrics.jsonl that the next `metrics` reads."""
        try:
            size = self._files.metrics.stat().st_size
        except OSError:
            return 0
        return size if size < self._offset else size - self._offset

    def metrics(self) -> RunMetrics:
        """Read what is new in metrics.jsonl; a line that is still being written waits for the next call.

        Several threads may ask.
        """
        with self._reading:
            return self._read_metrics()

    def _read_metrics(self) -> RunMetrics:
        path = self._files.metrics
        try:
            size = path.stat().st_size
        except OSError:
            self._forget()
            return RunMetrics()
        if size < self._offset:  # the file was begun anew
            self._forget()
        with path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        rows, before_these = parse_lines(whole.splitlines()), len(self._rows)
        self._rows += rows
        self._marks += [before_these + i for i, row in enumerate(rows) if is_mark(row)]
        before = int(self.record().get("rows_before", 0))  # what an earlier start left says nothing of this one
        return run_metrics(list(self._rows), list(self._marks), before if before <= len(self._rows) else 0)

    def status(self) -> RunStatus:
        """Return the state of the run, from its files and its process."""
        alive = self._alive()  # asked first: what it wrote before it ended is then surely read
        metrics = self.metrics()
        model = self._files.model
        found = model if (model / "card.json").is_file() else None
        if metrics.event in _TERMINAL:
            state = _TERMINAL[metrics.event]
            return RunStatus(state, metrics, message=self.last_error() if state == "failed" else "", model=found)
        if alive:
            return RunStatus(self._active_state(metrics), metrics, seconds_left(metrics), model=found)
        if not metrics.rows and not self._files.process.is_file():
            return RunStatus("empty", model=found)
        return RunStatus("failed", metrics, message=self.last_error(), model=found)

    def last_error(self) -> str:
        """Return the line that says why the run ended: its own last word, or that of its log, since it was begun."""
        record = self.record()
        rows = self._rows[int(record.get("rows_before", 0)) :]
        reasons = [row["reason"] for row in rows if row.get("event") == "failed" and row.get("reason")]
        if reasons:
            return str(reasons[-1])
        lines = [line.strip() for line in self.tail(60, int(record.get("log_before", 0))).splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error:")]
        if errors:
            return errors[-1][6:].strip()
        if any(line.startswith("Traceback") for line in lines):
            return lines[-1]
        framed = [line.strip("│ ") for line in lines if line.startswith("│")]  # a wrong option is reported in a frame
        if framed:
            return framed[-1]
        return "its process was ended from outside: by a person, or by the system for want of memory"

    def tail(self, lines: int = 20, begin: int = 0) -> str:
        """Return the end of what the command printed, from a byte of the log on."""
        path = self._files.log
        try:
            with path.open("rb") as file:
                file.seek(max(begin, path.stat().st_size - 64_000))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        # a progress bar overwrites its own line: keep what was left standing
        standing = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
        return "\n".join(standing[-lines - 1 :]).rstrip()

    def record(self) -> dict[str, Any]:
        """Return job.json: the command and when it was started; empty where the run was not started by us."""
        try:
            record = parse_line(contents(self._files.process)) or {}
        except OSError:
            return {}
        return {k: v for k, v in record.items() if isinstance(v, _RECORD.get(k, object)) and not _is_beyond(v)}

    def _forget(self) -> None:
        self._offset, self._rows, self._marks = 0, [], []

    def _active_state(self, metrics: RunMetrics) -> RunState:
        if self._files.stop.is_file():
            return "stopping"
        if metrics.event in ("paused", "queued"):
            return "paused" if metrics.event == "paused" else "queued"
        return "running" if metrics.event in ("started", "resumed", "checkpoint") else "starting"

    def _alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        record = self.record()
        if "pid" in record:
            return identity(int(record["pid"])) == record.get("identity") is not None
        path = self._files.metrics
        return path.exists() and abs(time.time() - path.stat().st_mtime) < _FRESH_SECONDS
