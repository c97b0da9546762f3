"""The figures of a run in a window: bars, what is said of each, and no room where there is nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from qtpy.QtCore import QPoint

from napari_nh2st.viewer.finetune.run_result import RunResultView
from napari_nh2st.viewer.finetune.run_result_presenter import RunResultPresenter
from napari_nh2st.viewer.kit.colours import BLUE
from viewer.fakes import FakeServices, card
from viewer.finetune.fakes import FakeThreads
from viewer.finetune.test_run_result_presenter import FIGURES, summarise

pytestmark = pytest.mark.viewer


def test_bars_say_what_each_model_is_and_go_with_the_run(qtbot, tmp_path: Path) -> None:
    services, threads = FakeServices(), FakeThreads()
    services.cards[str(tmp_path / "model")] = card()
    result = RunResultView(RunResultPresenter(services, threads))
    qtbot.addWidget(result)
    result.resize(320, 500)
    result.show()
    summarise(tmp_path)
    result.presenter.show_model(tmp_path / "model")
    threads.run_all()
    assert result.summary.text().startswith("Held-out section C5")
    assert result.sentence.text().startswith("Mean held-out PCC 0.30")
    assert result.caveats.text().endswith("Few spots.")
    assert list(result.table.frame.index) == ["ERBB2"]
    bars = result.bars
    assert "coordinates alone -0.020 (-0.060 to 0.020)" in bars.accessibleName()
    qtbot.waitUntil(lambda: bars.canvas is not None and not bars._stale)
    (axes,) = bars.canvas.figure.axes
    assert [bar.get_facecolor() == to_rgba(BLUE) for bar in axes.patches] == [False, False, False, True]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(list(FIGURES.values()))
    np.testing.assert_allclose(axes.lines[2].get_xdata(), [0.189, 0.269])  # the interval

    def pointed() -> bool:
        for x in (3, 5):  # the third of four lines
            qtbot.mouseMove(bars.canvas, QPoint(x, round(bars.height() * 0.6)))
        return bars._tip.startswith("About colour ridge. Mean PCC")

    qtbot.waitUntil(pointed)
    assert bars.tip_of(4) == bars.tip_of(-1) == ""
    result.presenter.show_model(None)
    for part in (result.summary, bars, result.table):
        assert part.isHidden()
