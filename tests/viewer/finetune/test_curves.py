"""The curves of a run: what its rows become, and what is drawn of them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from napari_nh2st.training.run.run_metrics import RunMetrics
from napari_nh2st.viewer.finetune.run_curves import (
    SECOND,
    RunCurves,
    lines_of,
    loss_span,
    pcc_span,
    smooth,
    thin,
)

BEGUN = {"event": "started", "total_epochs": 4, "total_steps": 40, "step": 0, "epoch": 0}


def epoch(at: int, first: int, pcc: float | None = None, **more: float) -> list[dict[str, Any]]:
    """Return the rows of ten steps, and of what is scored after them."""
    rows: list[dict[str, Any]] = [
        {"step": first + i, "epoch": at, "train_loss": 1 / (first + i + 1), "seconds": first + i} for i in range(1, 11)
    ]
    scored = {} if pcc is None else {"val_pcc": pcc, "val_loss": 1.0}
    return [*rows, {"step": first + 10, "epoch": at, "event": "checkpoint", **scored, **more}]


def test_steps_lie_within_their_epoch() -> None:
    told = RunCurves()
    told.take([BEGUN, *epoch(0, 0, 0.1), *epoch(1, 10, 0.3), *epoch(2, 20, 0.2)])
    np.testing.assert_allclose(told.curves["train_loss"].x[:11], [*np.arange(1, 11) / 10, 1.1])
    assert told.curves["val_pcc"].x == [1.0, 2.0, 3.0]
    assert told.best == (2.0, 0.3)
    assert told.curves["test_pcc"].y == []


def test_rows_are_looked_at_once_and_steps_done_again_replace_the_first() -> None:
    rows = [BEGUN, *epoch(0, 0, 0.1), *epoch(1, 10)[:4]]
    told = RunCurves()
    assert told.take(rows)
    assert not told.take(list(rows))
    rows += [{**BEGUN, "event": "resumed", "step": 10, "epoch": 1}, *epoch(1, 10, 0.2, test_pcc=0.15)]
    assert told.take(rows)
    assert told.curves["train_loss"].steps == list(range(1, 21))
    assert told.curves["train_loss"].x[-1] == 2.0
    assert told.curves["test_pcc"].y == [0.15]
    assert told.take([BEGUN, *epoch(0, 0)])  # another run
    assert told.curves["train_loss"].steps == list(range(1, 11))
    assert told.best is None


def test_the_second_training_is_told_apart() -> None:
    told = RunCurves()
    told.take([BEGUN, *epoch(0, 0, 0.1), {"stage": SECOND, "step": 10, "epoch": 0}, *epoch(2, 10)])
    assert told.second == 2.0
    assert told.curves["train_loss"].x[-10:] == pytest.approx(list(2 + np.arange(1, 11) / 10))


def test_what_is_no_number_is_left_out() -> None:
    told = RunCurves()
    told.take([BEGUN, {"step": 1, "epoch": 0, "train_loss": float("inf")}, {"step": 2, "epoch": 0, "train_loss": 2.0}])
    assert told.curves["train_loss"].y == [2.0]


def test_smoothing_is_a_mean_of_what_lies_around() -> None:
    np.testing.assert_allclose(smooth(np.array([1.0, 3.0, 5.0, 10.0]), 3), [1, 3, 6, 10])
    np.testing.assert_allclose(smooth(np.array([1.0, 3.0, 8.0, 3.0, 1.0]), 11), [1, 4, 3.2, 4, 1])
    assert len(smooth(np.empty(0), 3)) == 0


def test_thinning_keeps_the_extremes() -> None:
    x, y = np.arange(100_000.0), np.zeros(100_000)
    y[5_000], y[70_000] = 9.0, -9.0
    _, kept = thin(x, y, 300)
    assert len(kept) <= 2 * 301
    assert (kept.min(), kept.max()) == (-9.0, 9.0)
    assert thin(x[:10], y[:10], 300)[0].tolist() == x[:10].tolist()


def test_the_axis_of_the_loss_leaves_a_few_wild_steps_out() -> None:
    rows = [BEGUN, *(row for e in range(50) for row in epoch(e, 10 * e, 0.3))]
    rows[300]["train_loss"] = 1000.0
    told = RunCurves()
    told.take(rows)
    low, high = loss_span(lines_of(told, "train_loss"))
    assert low < 0.01 < 1 < high < 200
    assert loss_span([]) == (0.0, 1.0)
    low, high = pcc_span(lines_of(told, "val_pcc"))
    assert low < 0 < 0.3 < high
    assert pcc_span([]) == pytest.approx((-0.006, 0.106))


def test_a_curve_is_drawn_in_two_stretches_where_a_second_training_begins() -> None:
    told = RunCurves()
    told.take([BEGUN, *epoch(0, 0, 0.1), {"stage": SECOND, "step": 10, "epoch": 0}, *epoch(2, 10)])
    first, second = lines_of(told, "train_loss")
    assert (first.x.max(), second.x.min()) == (1.0, 2.1)


@pytest.fixture
def curves(qtbot):
    from napari_nh2st.viewer.finetune.curves import Curves

    made = Curves()
    qtbot.addWidget(made)
    made.resize(320, 280)
    return made


def drawn(curves, qtbot):
    """Return the axes of the loss and of the correlation."""
    curves.chart.redraw()
    curves.show()
    qtbot.waitUntil(lambda: curves.chart.canvas is not None and not curves.chart._stale)
    return curves.chart.canvas.figure.axes


def legend(curves) -> str:
    return curves.legend.text().replace("&nbsp;", " ").replace("&#8209;", "-")


@pytest.mark.viewer
def test_they_are_drawn_and_named(curves, qtbot) -> None:
    from napari_nh2st.viewer.kit.colours import BLUE, GREEN, ORANGE

    curves.show_metrics(RunMetrics())
    assert curves.empty
    assert [axes.lines[:] for axes in drawn(curves, qtbot)] == [[], []]
    rows = [BEGUN, *epoch(0, 0, 0.1), *epoch(1, 10, 0.3)]
    curves.show_metrics(RunMetrics(rows, total_epochs=4))
    assert not curves.empty
    assert "inner blocks" in legend(curves)
    assert "held-out" not in legend(curves)
    assert "best: epoch 2, 0.300" in legend(curves)
    assert "Inner blocks are left out" in curves.meaning.text()
    assert "Held-out" not in curves.meaning.text(), "nothing is scored yet"
    curves.show_metrics(RunMetrics([*rows, *epoch(2, 20, 0.2, test_pcc=0.1, test_loss=1.0)], total_epochs=4))
    assert "held-out tissue" in legend(curves)
    assert "Held-out tissue is only scored." in curves.meaning.text()
    loss, pcc = drawn(curves, qtbot)
    assert {line.get_color() for line in loss.lines} == {BLUE, ORANGE, GREEN}
    assert {line.get_color() for line in pcc.lines} == {ORANGE, GREEN}
    ring = pcc.lines[-1]
    assert (ring.get_fillstyle(), *ring.get_xydata().tolist()) == ("none", [2.0, 0.3])
    assert loss.get_xlim() == pcc.get_xlim() == (0, 4)


@pytest.mark.viewer
def test_a_hundred_thousand_steps_are_drawn_without_a_halt(curves, qtbot) -> None:
    rows = [{**BEGUN, "total_steps": 100_000}]
    rows += [{"step": i, "epoch": i // 25_000, "train_loss": 1.0 + i % 7} for i in range(100_000)]
    curves.show_metrics(RunMetrics(rows, total_epochs=4))
    drawn(curves, qtbot)
    rows.append({"step": 100_000, "epoch": 3, "train_loss": 1.0})
    metrics = RunMetrics(rows, total_epochs=4)
    curves.chart.hide()
    begun = time.process_time()
    curves.show_metrics(metrics)
    curves.chart.show()
    curves.chart._draw()
    assert time.process_time() - begun < 0.15  # looking at all rows anew and drawing every step takes seconds
