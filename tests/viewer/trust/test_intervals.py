"""Intervals of the gene in sight: half-widths and marks as layers, without a window and in one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_nh2st.model.intervals import NO_INTERVALS, SOME_GENES, Intervals
from napari_nh2st.viewer.genes.hover import Hover
from napari_nh2st.viewer.predict.workspace import NO_MAP
from napari_nh2st.viewer.trust.interval_presenter import IntervalPresenter
from viewer.fakes import FakeSlide, card
from viewer.trust.services import TrustServices
from viewer.trust.test_section import LEFT, Dock
from viewer.without_window import Desk

WIDTHS, SPREADS = [0.5, 1.0, 2.0, 0.25], [0.45, 5.0, 0.1, 1.0]


def with_intervals(**changes: Any) -> Any:
    """A card of intervals that are wide where little is predicted."""
    facts: dict[str, Any] = {"held_out": "sections", "spots": 200, "panel": 4, "slope": -1.0, "centre": 0.6, "low": 0.0}
    rows = {"widths": [[w * f for w in WIDTHS] for f in (0.7, 1, 1.3)], "spreads": [SPREADS] * 3}
    intervals = Intervals(**{**facts, "high": 1.2, "levels": [0.8, 0.9, 0.95], **rows, **changes})
    return card(gene_stds=[1.0] * 4, intervals=intervals)


class FakeIntervals:
    def __init__(self) -> None:
        self.offer, self.origin, self.sentence, self.marked = None, "", "", False

    def show_intervals(self, offer, origin, sentence, *, marked) -> None:
        self.offer, self.origin, self.sentence, self.marked = offer, origin, sentence, marked


class Trust(Desk):
    def __init__(self, of: Any = None) -> None:
        services = TrustServices()
        services.cards["her2st"] = of or with_intervals()
        super().__init__(services=services)
        self.view = FakeIntervals()
        self.intervals = IntervalPresenter(self.workspace, self.view)
        self.intervals.show_state()

    def layer(self, part: str) -> Any:
        return next((layer for layer in self.viewer.layers if part in layer.name), None)

    def expected(self, gene: str) -> np.ndarray:
        """The half-widths (rows, columns), from the predicted values themselves."""
        values = np.stack([self.map.values(g) for g in self.map.card.genes])
        difficulty = np.exp(-(np.clip(values.mean(axis=0), 0.0, 1.2) - 0.6))
        return difficulty * WIDTHS[self.map.card.genes.index(gene)]


def test_half_widths_stand_in_the_place_of_the_prediction_and_follow_the_gene() -> None:
    trust = Trust()
    assert (trust.view.offer.on, trust.view.offer.tip) == (False, NO_MAP)
    trust.predict()
    assert "200 spots in sections that the model had not seen" in trust.view.origin
    trust.intervals.toggle_half_width()
    layer = trust.layer("C9 · ERBB2 · half-width")
    assert np.allclose(layer.data, trust.expected("ERBB2"), rtol=2e-3, equal_nan=True)
    assert np.isfinite(layer.data).sum() == trust.map.count
    assert not trust.layer("ERBB2 · predicted").visible
    assert "ERBB2: typically ± 0." in trust.view.sentence
    trust.state.gene = "KRT8"
    assert layer.name == "C9 · KRT8 · half-width"
    assert np.allclose(layer.data, trust.expected("KRT8"), rtol=2e-3, equal_nan=True)
    trust.intervals.toggle_half_width()
    assert (layer.visible, trust.layer("predicted").visible) == (False, True)
    assert trust.view.sentence == ""


def test_marks_lie_where_the_interval_is_as_wide_as_the_gene_varied() -> None:
    trust = Trust()
    trust.predict()
    trust.intervals.mark(True)
    layer = trust.layer("C9 · ERBB2 · not informative here")
    wide = trust.expected("ERBB2") >= SPREADS[0]
    assert 0 < wide.sum() < trust.map.count
    assert np.array_equal(np.isfinite(layer.data), wide)
    assert trust.layer("ERBB2 · predicted").visible  # below the marks
    assert trust.view.marked
    share = round(100 * wide.sum() / trust.map.count)
    assert f"In {share}% of the tiles" in trust.view.sentence
    trust.state.gene = "KRT8"  # never that wide
    assert not np.isfinite(layer.data).any()
    assert "not informative" not in trust.view.sentence
    trust.intervals.mark(False)
    assert (layer.visible, trust.view.marked) == (False, False)
    trust.state.gene = "CD3E"  # everywhere
    layer.visible = True  # by its eye
    assert trust.view.marked
    assert np.isfinite(layer.data).sum() == trust.map.count


def test_what_is_predicted_later_gets_its_half_width() -> None:
    trust = Trust()
    trust.predict("view")
    trust.intervals.toggle_half_width()
    before, layer = trust.map.count, trust.layer("half-width")
    trust.predict("whole")
    assert trust.map.count >= before
    assert np.isfinite(layer.data).sum() == trust.map.count


@pytest.mark.parametrize(("of", "why"), [(card(), NO_INTERVALS), (with_intervals(panel=9), SOME_GENES)])
def test_a_model_or_a_file_without_intervals_says_so(of: Any, why: str) -> None:
    trust = Trust(of)
    trust.predict()
    assert (trust.view.offer.on, trust.view.offer.tip) == (False, why)
    trust.intervals.toggle_half_width()
    trust.intervals.mark(True)
    assert trust.layer("half-width") is None
    assert trust.layer("not informative") is None


def test_the_status_line_says_how_far_off_a_value_may_be(monkeypatch) -> None:
    trust = Trust()
    trust.predict()
    hover = Hover(trust.viewer)
    row, column = (int(i[0]) for i in np.nonzero(np.isfinite(trust.map.values("ERBB2"))))
    trust.viewer.cursor.position = trust.layer("predicted").data_to_world((row, column))
    width = trust.expected("ERBB2")[row, column]
    assert f" ± {width:.2f} ln(" in hover.words()
    trust.intervals.toggle_half_width()
    assert f"± {width:.2f}" in hover.words()
    assert "90% of measured values from" in hover.words()


@pytest.mark.viewer
def test_in_the_window_the_button_and_the_box_draw_and_take_away(make_napari_viewer, qtbot, monkeypatch) -> None:
    made = TrustServices.__init__

    def services(self) -> None:
        made(self)
        self.cards["her2st"] = with_intervals()

    monkeypatch.setattr(TrustServices, "__init__", services)
    dock = Dock(make_napari_viewer, qtbot, FakeSlide())
    part = dock.section.intervals
    assert not part.button.isEnabled()
    assert part.button.toolTip() == NO_MAP
    dock.predict()
    dock.click(part.button)
    dock.until(lambda: dock.layer("half-width") is not None)
    assert part.button.text() == "Show the prediction"
    qtbot.mouseClick(part.mark, LEFT)
    dock.until(lambda: dock.layer("not informative here") is not None)
    assert part.mark.isChecked()
    assert dock.layer("half-width").visible
    dock.layer("not informative here").visible = False
    dock.until(lambda: not part.mark.isChecked())
    dock.click(part.button)
    assert dock.layer("predicted").visible
    assert not dock.layer("half-width").visible
    assert "sections that the model had not seen" in part.origin.text()
