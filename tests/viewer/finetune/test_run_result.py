"""What came of a run: beside simpler models, with what to know of it, and gene by gene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from qtpy.QtCore import QPoint

from napari_nh2st.training.run.summary import FILE, Summary, SummaryLine, write_summary
from napari_nh2st.viewer.finetune.run_result import RunResult
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.colours import BLUE
from viewer.fakes import FakeServices, card

pytestmark = pytest.mark.viewer
FIGURES = {"mean profile": 0.0, "coordinates alone": -0.02, "colour ridge": 0.229, "this model": 0.291}


@pytest.fixture
def result(qtbot, tmp_path: Path) -> RunResult:
    services, background = FakeServices(), Background()
    services.cards[str(tmp_path / "model")] = card()
    made = RunResult(services, background)
    qtbot.addWidget(made)
    made.resize(320, 500)
    made.show()
    yield made
    background.close()


def summarise(run: Path) -> None:
    lines = [SummaryLine(name=n, about=f"About {n}.", pcc=p, low=p - 0.04, high=p + 0.04) for n, p in FIGURES.items()]
    said = ["Patient C is among those trained on.", "Few spots."]
    write_summary(Summary(kind="same-patient", held_out=["C5"], spots=181, genes=250, lines=lines, caveats=said), run)


def test_figures_stand_beside_those_of_simpler_models(result, qtbot, tmp_path: Path) -> None:
    summarise(tmp_path)
    result.show_model(tmp_path / "model")
    qtbot.waitUntil(lambda: result.table.frame is not None)
    assert result.summary.text().startswith("Held-out section C5 (same patient): colour ridge .229, this model .291.")
    assert result.caveats.text() == "Patient C is among those trained on.\nFew spots."
    assert result.sentence.text().startswith("Mean held-out PCC 0.30")
    bars = result.bars
    assert "coordinates alone -.020 (-.060 to .020)" in bars.accessibleName()
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


def test_a_run_without_a_summary_shows_its_genes(result, qtbot, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"kind": "nonsense"}')
    result.show_model(tmp_path / "model")
    qtbot.waitUntil(lambda: result.table.frame is not None)
    assert result.summary.text() == result.caveats.text() == ""
    assert result.bars.isHidden()


def test_nothing_stays_of_another_run(result, qtbot, tmp_path: Path) -> None:
    summarise(tmp_path)
    result.show_model(tmp_path / "model")
    qtbot.waitUntil(lambda: result.table.frame is not None)
    result.show_model(None)
    assert result.summary.text() == ""
    assert result.bars.isHidden()
    assert result.table.isHidden()
