"""The figures of a run as curves over its epochs: from its rows to points that can be drawn. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

SECOND = "training on the held-out blocks too"
STEPS, SHARE, EPOCHS = 11, 50, 3  # of the running means: steps at least, or this part of them; epochs
_LOSS_PERCENTILES, _PCC_SPAN = (0.5, 99.5), (0.0, 0.1)  # of the steps; values in sight at the least
_ROOM = 0.06  # above and below, in spans
Floats = npt.NDArray[np.float64]


@dataclass
class Curve:
    """Values over the epochs that were done when they were told: 1.0 is the end of the first epoch."""

    steps: list[int] = field(default_factory=list)
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)

    def add(self, step: int, x: float, y: float) -> None:
        """Append a point; steps that are done again, after a run was resumed, replace what stood there."""
        while self.steps and self.steps[-1] >= step:
            for values in (self.steps, self.x, self.y):
                values.pop()
        self.steps.append(step)
        self.x.append(x)
        self.y.append(y)

    def arrays(self) -> tuple[Floats, Floats]:
        """Return x and y, (n,) each."""
        return np.asarray(self.x, float), np.asarray(self.y, float)


class RunCurves:
    """The curves of a run, kept in step with its rows: each row is looked at once.

    Attributes
    ----------
    curves : dict of Curve
        `train_loss` a step, `val_loss`, `val_pcc`, `test_loss` and `test_pcc` an epoch.
    second : float or None
        Epochs that were done when the training on all spots began.
    """

    def __init__(self) -> None:
        self._last: dict[str, Any] | None = None
        self._clear()

    def _clear(self) -> None:
        names = ("train_loss", "val_loss", "val_pcc", "test_loss", "test_pcc")
        self.curves = {name: Curve() for name in names}
        self.second: float | None = None
        self._seen = 0
        self._per_epoch = 1.0
        self._epoch, self._before = -1, 0
        self._second_begins = False

    def take(self, rows: Sequence[dict[str, Any]]) -> bool:
        """Look at what is new in the rows of a run, or at those of another one; tell whether anything was."""
        same = self._seen <= len(rows) and (not self._seen or rows[self._seen - 1] is self._last)
        if not same:
            self._clear()
        new = rows[self._seen :]
        for row in new:
            self._take(row)
        self._seen, self._last = len(rows), rows[-1] if rows else None
        return bool(new) or not same

    @property
    def best(self) -> tuple[float, float] | None:
        """The epochs done and the PCC of the inner blocks at the epoch that the model is taken from."""
        curve = self.curves["val_pcc"]
        at = int(np.argmax(curve.y)) if curve.y else None
        return None if at is None else (curve.x[at], curve.y[at])

    def _take(self, row: dict[str, Any]) -> None:
        if row.get("total_steps") and row.get("total_epochs"):
            self._per_epoch = row["total_steps"] / row["total_epochs"]
        self._second_begins = self._second_begins or row.get("stage") == SECOND
        epoch = row.get("epoch")
        if not isinstance(epoch, int):
            return
        step = int(row.get("step", epoch))
        for name in self.curves.keys() & row.keys():
            curve, value = self.curves[name], row[name]
            if not isinstance(value, int | float) or not isfinite(value):
                continue
            curve.add(step, self._at(step, epoch) if name == "train_loss" else epoch + 1.0, float(value))

    def _at(self, step: int, epoch: int) -> float:
        """Return the epochs that are done after a step."""
        if epoch != self._epoch:
            if self._second_begins and self.second is None:
                self.second = float(epoch)
            self._epoch, self._before = epoch, step - 1
        return epoch + min(1.0, max(0.0, (step - self._before) / self._per_epoch))


@dataclass(frozen=True, eq=False)
class Line:
    """A stretch of a curve: (n,) each, as it was told and smoothed."""

    name: str
    x: Floats
    y: Floats
    smoothed: Floats


def lines_of(curves: RunCurves, *names: str) -> list[Line]:
    """Return lines to draw; a curve is in two stretches where a second training begins."""
    lines = []
    for name in names:
        x, y = curves.curves[name].arrays()
        if not len(x):
            continue
        n = max(STEPS, len(x) // SHARE | 1) if name == "train_loss" else EPOCHS
        stretches = [slice(None)] if curves.second is None else [x <= curves.second, x > curves.second]
        lines += [Line(name, x[part], y[part], smooth(y[part], n)) for part in stretches if len(x[part])]
    return lines


def loss_span(lines: Sequence[Line]) -> tuple[float, float]:
    """Return the losses at the ends of the axis, leaving out the few steps that would press all others flat."""
    if not lines:
        return 0.0, 1.0
    low, high = np.percentile(np.concatenate([line.y for line in lines]), _LOSS_PERCENTILES)
    return _with_room([line.smoothed for line in lines], (float(low), float(high)))


def pcc_span(lines: Sequence[Line]) -> tuple[float, float]:
    """Return the correlations at the ends of the axis."""
    return _with_room([line.y for line in lines], _PCC_SPAN)


def _with_room(values: Sequence[Floats], at_least: tuple[float, float]) -> tuple[float, float]:
    together = np.concatenate([np.asarray(at_least), *values])
    low, high = float(together.min()), float(together.max())
    room = _ROOM * (high - low) or 0.5
    return low - room, high + room


def smooth(y: Floats, n: int) -> Floats:
    """Return the mean of the n values around each, n being odd; of fewer towards both ends, as many on either side."""
    total, at = np.cumsum(np.concatenate([[0.0], y])), np.arange(len(y))
    beside = np.minimum(np.minimum(at, len(y) - 1 - at), n // 2)
    return np.asarray((total[at + beside + 1] - total[at - beside]) / (2 * beside + 1))


def thin(x: Floats, y: Floats, columns: int) -> tuple[Floats, Floats]:
    """Return the lowest and the highest value of each of so many columns, where there are many more points."""
    if len(x) <= 2 * columns:
        return x, y
    of = np.floor((x - x[0]) / max(x[-1] - x[0], 1e-9) * columns)
    begin = np.flatnonzero(np.diff(of, prepend=-1.0))
    low, high = np.minimum.reduceat(y, begin), np.maximum.reduceat(y, begin)
    return np.repeat(x[begin], 2), np.column_stack([low, high]).ravel()
