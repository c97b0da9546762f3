"""A fine-tuning run in its own process: started here, followed through its files, and outliving the window.

The process is the very command that a person would type. Nothing passes between it and us but files in the
run folder, so a run can be followed, stopped and picked up again by another session:

    RUN/job.json       the command, its process id and when it started
    RUN/log.txt        what the command printed
    RUN/metrics.jsonl  one line per step (written by the training itself)
    RUN/stop           asks for a stop that keeps the best model so far
    RUN/pause          holds the run after the current step, as long as it is there
    RUN/model/         the model, once there is one

Quick to import: neither Qt nor torch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napari_nh2st.atomic import finished_file

State = Literal["empty", "queued", "starting", "running", "paused", "stopping", "done", "cancelled", "failed"]

ACTIVE: tuple[State, ...] = ("queued", "starting", "running", "paused", "stopping")
_TERMINAL: dict[str, State] = {"done": "done", "cancelled": "cancelled", "failed": "failed"}
_OF_A_STEP = {"step", "epoch", "seconds", "train_loss"}
_NICE = 5
_FRESH_SECONDS = 120.0  # a run that we did not start counts as alive while its files change


@dataclass(frozen=True)
class Metrics:
    """What a run has told so far.

    Attributes
    ----------
    rows : list of dict
        The lines of metrics.jsonl.
    event : str or None
        The last event since the run was started or resumed from here.
    epoch, total_epochs : int or None
    stage : str or None
        What it does just now, such as "pretraining the encoder"; None where it did not say.
    done, total : int or None
        How far it is with that.
    notes : list of str
        What it had to say since it was started or resumed from here, each once.
    marks : list of int
        Which rows say more than a step's loss: few, where steps are many. Found in `rows` where they are not given.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    event: str | None = None
    epoch: int | None = None
    total_epochs: int | None = None
    stage: str | None = None
    done: int | None = None
    total: int | None = None
    notes: list[str] = field(default_factory=list)
    marks: list[int] | None = None

    def __post_init__(self) -> None:
        """Find the marks."""
        if self.marks is None:
            object.__setattr__(self, "marks", [i for i, row in enumerate(self.rows) if _is_mark(row)])

    @property
    def marked(self) -> list[dict[str, Any]]:
        """The rows that say more than a step's loss."""
        return [self.rows[i] for i in self.marks or ()]

    @property
    def training(self) -> bool:
        """Whether it is at its steps, and not at what comes before, between or after them."""
        return self.stage is None or self.stage.startswith("training")

    def curve(self, name: str) -> list[tuple[float, float]]:
        """Return (epoch, value) pairs of one figure, such as `train_loss` or `val_pcc`."""
        rows = (row for row in self.rows if _number(row.get(name)) is not None)
        return [(float(row.get("epoch", i)), float(row[name])) for i, row in enumerate(rows)]

    def best(self, name: str = "val_pcc") -> float | None:
        """Return the highest value so far of a figure that is not told at every step."""
        values = [_number(row.get(name)) for row in self.marked]
        return max((value for value in values if value is not None), default=None)

    def last(self, name: str) -> Any:
        """Return what was told last of one thing, such as `device` or `memory_mb`; None where nothing was."""
        return next((row[name] for row in reversed(self.marked) if row.get(name) is not None), None)


@dataclass(frozen=True)
class Status:
    """Where a run stands, and one sentence about it when it failed."""

    state: State
    metrics: Metrics = field(default_factory=Metrics)
    seconds_left: float | None = None
    message: str = ""
    model: Path | None = None

    @property
    def active(self) -> bool:
        """Whether a process is at work on it."""
        return self.state in ACTIVE


def command(
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


class Job:
    """One run folder, and the process at work on it if there is one.

    Parameters
    ----------
    folder : Path
        The run folder. It need not exist: a run without files is ``empty``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._offset = 0
        self._rows: list[dict[str, Any]] = []
        self._marks: list[int] = []

    @property
    def can_resume(self) -> bool:
        """Whether a run was begun here, so that it can go on from its last epoch or from its preparations."""
        return self._has("start.json")

    @property
    def pause_asked(self) -> bool:
        """Whether the run is held, or will be after its current step."""
        return self._has("pause")

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
        for asked in ("stop", "pause"):
            (self.folder / asked).unlink(missing_ok=True)
        before = len(self._rows)
        argv = [*(program or (sys.executable, "-m", "napari_nh2st")), *words]
        with (self.folder / "log.txt").open("ab") as log:
            printed = log.tell()
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(), **_detached()
            )
        lower_priority(self._process.pid)
        record = {"pid": self._process.pid, "identity": _identity(self._process.pid), "argv": argv}
        behind = {"rows_before": before, "log_before": printed}
        with finished_file(self.folder / "job.json") as draft:
            draft.write_text(json.dumps(record | {"started": time.time()} | behind, indent=1), "utf-8")

    def stop(self) -> None:
        """Ask for a stop that keeps the best model so far."""
        if self.folder.is_dir():
            (self.folder / "stop").touch()

    def pause(self) -> None:
        """Hold the run after the current step; a stop is heard meanwhile."""
        if self.folder.is_dir():
            (self.folder / "pause").touch()

    def unpause(self) -> None:
        """Let a held run go on."""
        (self.folder / "pause").unlink(missing_ok=True)

    def metrics(self) -> Metrics:
        """Read what is new in metrics.jsonl; a line that is still being written waits for the next call."""
        path = self.folder / "metrics.jsonl"
        try:
            size = path.stat().st_size
        except OSError:
            self._forget()
            return Metrics()
        if size < self._offset:  # the file was begun anew
            self._forget()
        with path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        rows, known = _parse_lines(whole.splitlines()), len(self._rows)
        self._rows += rows
        self._marks += [known + i for i, row in enumerate(rows) if _is_mark(row)]
        before = int(self.record().get("rows_before", 0))  # what an earlier start left says nothing of this one
        return _summary(list(self._rows), list(self._marks), before if before <= len(self._rows) else 0)

    def status(self) -> Status:
        """Tell where the run stands, from its files and its process."""
        alive = self._alive()  # asked first: what it wrote before it ended is then surely read
        metrics = self.metrics()
        model = self.folder / "model"
        found = model if (model / "card.json").is_file() else None
        if metrics.event in _TERMINAL:
            state = _TERMINAL[metrics.event]
            return Status(state, metrics, message=self.last_error() if state == "failed" else "", model=found)
        if alive:
            return Status(self._active_state(metrics), metrics, _seconds_left(metrics), model=found)
        if not metrics.rows and not self._has("job.json"):
            return Status("empty", model=found)
        return Status("failed", metrics, message=self.last_error(), model=found)

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
        framed = [line.strip("│ ") for line in lines if line.startswith("│")]  # a wrong option is told in a frame
        if framed:
            return framed[-1]
        return "its process was ended from outside: by a person, or by the system for want of memory"

    def tail(self, lines: int = 20, begin: int = 0) -> str:
        """Return the end of what the command printed, from a byte of the log on."""
        path = self.folder / "log.txt"
        try:
            with path.open("rb") as file:
                file.seek(max(begin, path.stat().st_size - 64_000))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        # a progress bar overwrites its own line: keep what was left standing
        shown = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
        return "\n".join(shown[-lines - 1 :]).rstrip()

    def record(self) -> dict[str, Any]:
        """Return job.json: the command and when it was started; empty where the run was not started by us."""
        return _parse((self.folder / "job.json").read_bytes()) or {} if self._has("job.json") else {}

    def _forget(self) -> None:
        self._offset, self._rows, self._marks = 0, [], []

    def _has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def _active_state(self, metrics: Metrics) -> State:
        if self._has("stop"):
            return "stopping"
        if metrics.event in ("paused", "queued"):
            return "paused" if metrics.event == "paused" else "queued"
        return "running" if metrics.event in ("started", "resumed", "checkpoint") else "starting"

    def _alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        record = self.record()
        if "pid" in record:
            return _identity(int(record["pid"])) == record.get("identity") is not None
        path = self.folder / "metrics.jsonl"
        return path.exists() and time.time() - path.stat().st_mtime < _FRESH_SECONDS


def _is_mark(row: dict[str, Any]) -> bool:
    return not row.keys() <= _OF_A_STEP


def _summary(rows: list[dict[str, Any]], marks: list[int], before: int) -> Metrics:
    marked, new = [rows[i] for i in marks], [rows[i] for i in marks if i >= before]
    # the stages before the first step end where the run says that it begins
    told: dict[str, Any] = next((row for row in reversed(new) if "stage" in row or "total_epochs" in row), {})
    return Metrics(
        rows,
        next((row["event"] for row in reversed(new) if row.get("event")), None),
        _last_whole(rows, "epoch"),
        _last_whole(marked, "total_epochs"),
        told.get("stage"),
        _last_whole([told], "done"),
        _last_whole([told], "total"),
        list(dict.fromkeys(str(row["note"]) for row in new if row.get("note"))),
        marks,
    )


def _last_whole(rows: list[dict[str, Any]], name: str) -> int | None:
    return next((row[name] for row in reversed(rows) if isinstance(row.get(name), int)), None)


def _seconds_left(metrics: Metrics) -> float | None:
    """Estimate for the training's steps; None while there is no pace yet, and where the run is at something else.

    The pace is that since the training was begun, resumed or held last. Where it stands follows from its first step
    since it was begun, which is the first of an epoch.
    """
    rows, total = metrics.rows, metrics.total_epochs
    if total is None or not metrics.training:
        return None
    marks = [(i, rows[i]) for i in metrics.marks or ()]
    begun = max((i for i, row in marks if "stage" in row or "total_epochs" in row), default=0)
    held = max((i for i, row in marks if row.get("event") == "resumed"), default=0)
    first = next((row for row in rows[begun:] if _timed(row)), None)
    paced = next((row for row in rows[max(begun, held) :] if _timed(row)), None)
    now = next((row for row in reversed(rows[begun:]) if _timed(row)), None)
    if first is None or paced is None or now is None or _step(now) <= _step(paced):
        return None
    steps = _last_whole(metrics.marked, "total_steps")
    per_epoch = steps / total if steps else 1.0
    behind = first["epoch"] + (_step(now) - _step(first) + 1) / per_epoch
    pace = (now["seconds"] - paced["seconds"]) / (_step(now) - _step(paced))
    return max(0.0, float(pace * per_epoch * (total - behind)))


def _timed(row: dict[str, Any]) -> bool:
    return all(_number(row.get(name)) is not None for name in ("train_loss", "seconds", "epoch"))


def _step(row: dict[str, Any]) -> int:
    return int(row.get("step", row["epoch"]))


def _number(value: Any) -> float | None:
    ok = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    return float(value) if ok else None


def _parse_lines(lines: list[bytes]) -> list[dict[str, Any]]:
    try:
        rows = json.loads(b"[" + b",".join(lines) + b"]")  # at once is several times quicker than one by one
    except ValueError:
        rows = [_parse(line) for line in lines]
    return [row for row in rows if isinstance(row, dict)]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _environment() -> dict[str, str]:
    # without a terminal, Python would keep what it prints until its buffer is full
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


def _detached() -> dict[str, Any]:
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


def _identity(pid: int) -> str | None:
    """Tell a live process apart from a later one with the same number; None when there is none."""
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
    """As `_identity`; os.kill(pid, 0) would send Ctrl+C there."""
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return None
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return "alive" if code.value == 259 else None  # STILL_ACTIVE
