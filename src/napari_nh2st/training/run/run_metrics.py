"""Metrics of a run so far, read from its file. Quick to import: neither Qt nor torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from napari_nh2st.reading import parse_json

_OF_A_STEP = {"step", "epoch", "seconds", "train_loss"}


@dataclass(frozen=True)
class RunMetrics:
    """Metrics of a run so far.

    Attributes
    ----------
    rows : list of dict
        The lines of metrics.jsonl.
    event : str or None
        The last event since the run was started or resumed from here.
    epoch, total_epochs : int or None
    stage : str or None
        Its current stage, such as "pretraining the encoder"; None if it named none.
    done, total : int or None
        Progress of that stage.
    notes : list of str
        Its remarks since it was started or resumed from here, each once.
    marks : list of int
        Which rows say more than a step's loss: few, where steps are many. Found in `rows` if they are not given.
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
            object.__setattr__(self, "marks", [i for i, row in enumerate(self.rows) if is_mark(row)])

    @property
    def marked(self) -> list[dict[str, Any]]:
        """The rows that say more than a step's loss."""
        return [self.rows[i] for i in self.marks or ()]

    @property
    def training(self) -> bool:
        """True if it takes training steps, and not what comes before, between or after them."""
        return self.stage is None or self.stage.startswith("training")

    def curve(self, name: str) -> list[tuple[float, float]]:
        """Return (epoch, value) pairs of one figure, such as `train_loss` or `val_pcc`."""
        rows = (row for row in self.rows if _number(row.get(name)) is not None)
        return [(float(row.get("epoch", i)), float(row[name])) for i, row in enumerate(rows)]

    def best(self, name: str = "val_pcc") -> float | None:
        """Return the highest value so far of a figure that is not written at every step."""
        values = [_number(row.get(name)) for row in self.marked]
        return max((value for value in values if value is not None), default=None)

    def last(self, name: str) -> Any:
        """Return the last value of one thing, such as `device` or `memory_mb`; None if there is none."""
        return next((row[name] for row in reversed(self.marked) if row.get(name) is not None), None)


def is_mark(row: dict[str, Any]) -> bool:
    """Return True if a row says more than a step's loss."""
    return not row.keys() <= _OF_A_STEP


def run_metrics(rows: list[dict[str, Any]], marks: list[int], before: int) -> RunMetrics:
    """Sum up rows, of which the first `before` were left by an earlier start of the run."""
    marked, new = [rows[i] for i in marks], [rows[i] for i in marks if i >= before]
    # the stages before the first step end where the run says that it begins
    stage: dict[str, Any] = next((row for row in reversed(new) if "stage" in row or "total_epochs" in row), {})
    return RunMetrics(
        rows,
        next((row["event"] for row in reversed(new) if row.get("event") and isinstance(row["event"], str)), None),
        _last_whole(rows, "epoch"),
        _last_whole(marked, "total_epochs"),
        stage.get("stage"),
        _last_whole([stage], "done"),
        _last_whole([stage], "total"),
        list(dict.fromkeys(str(row["note"]) for row in new if row.get("note"))),
        marks,
    )


def _last_whole(rows: list[dict[str, Any]], name: str) -> int | None:
    return next((row[name] for row in reversed(rows) if isinstance(row.get(name), int)), None)


def seconds_left(metrics: RunMetrics) -> float | None:
    """Estimate for the training's steps; None while there is no pace yet, and where the run is at something else.

    The pace is that since the training was begun, resumed or held last. Where it stands follows from its first step
    since it was begun, which is the first of an epoch.
    """
    rows, total = metrics.rows, metrics.total_epochs
    if total is None or not metrics.training:
        return None
    marks = [(i, rows[i]) for i in metrics.marks or ()]
    begun = max((i for i, row in marks if "stage" in row or "total_epochs" in row), default=0)
    resumed = max((i for i, row in marks if row.get("event") == "resumed"), default=0)
    first = next((row for row in rows[begun:] if _timed(row)), None)
    paced = next((row for row in rows[max(begun, resumed) :] if _timed(row)), None)
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
    ok = isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e300
    return float(value) if ok else None


def parse_lines(lines: list[bytes]) -> list[dict[str, Any]]:
    """Parse lines of JSON; those that are broken are left out."""
    try:
        rows = parse_json(b"[" + b",".join(lines) + b"]", infinite=True)  # several times quicker than one by one
    except ValueError:
        rows = [parse_line(line) for line in lines]
    return [row for row in rows if isinstance(row, dict)]


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Parse a line of JSON; None where it is broken or no object."""
    try:
        row = parse_json(line, infinite=True)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
