"""The line of facts of a run at work, its notes, and its log."""

from __future__ import annotations

import pytest

from napari_nh2st.training.run.run_metrics import RunMetrics
from napari_nh2st.training.run.run_process import RunStatus
from napari_nh2st.viewer.finetune.run_facts import LogFold, RunFacts

pytestmark = pytest.mark.viewer
TOLD = {"device": "cpu", "memory_mb": 1400, "spots_per_second": 310}


def test_facts_go_with_the_run_and_notes_stay(qtbot) -> None:
    facts = RunFacts()
    qtbot.addWidget(facts)
    facts.show_status(RunStatus("starting"))
    assert facts.isHidden()
    noted = RunMetrics([TOLD], notes=["out of memory: each step is now taken in 2 parts"])
    facts.show_status(RunStatus("running", noted))
    assert facts.facts.text() == "cpu, 1.4 GB, 310 spots/s"
    assert facts.notes.text() == "Out of memory: each step is now taken in 2 parts."
    facts.show_status(RunStatus("done", noted))
    assert facts.facts.text() == ""
    assert not facts.isHidden()
    facts.show_status(RunStatus("done", RunMetrics([TOLD])))
    assert facts.isHidden()


def test_the_log_follows_unless_one_has_scrolled_up(qtbot) -> None:
    log = LogFold()
    qtbot.addWidget(log)
    log.show_log("")
    assert log.isHidden()
    lines = [f"line {i}" for i in range(50)]
    log.show_log("\n".join(lines))
    log.show()
    text = log.open()
    bar = text.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0)
    assert text.toPlainText().endswith("line 49")
    bar.setValue(bar.maximum())
    log.show_log("\n".join([*lines, "line 50"]))
    assert bar.value() == bar.maximum()
    bar.setValue(3)
    log.show_log("\n".join([*lines, "line 50", "line 51"]))
    assert text.toPlainText().endswith("line 51")
    assert bar.value() == 3
