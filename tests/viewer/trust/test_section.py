"""The fold "Trust" in a real window: the figures in words, the tissue against that of the training, and spread."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QStyle, QStyleOptionViewItem

from napari_nh2st.analysis.spread import VIEWS
from napari_nh2st.errors import Cancelled
from napari_nh2st.model.card import Evaluation, TrainingSample
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict.workspace import NO_MAP
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.trust.messages import NO_REFERENCE, SPREAD_IS, figures_words, novelty_words, spread_words
from napari_nh2st.viewer.trust.section import TrustSection
from viewer.fakes import FakeServices, FakeSession, FakeSlide, card, hidden_at

viewer = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton
OTHER = ["KRT8", "ERBB2", "XIST"]  # another panel, in another order


class ViewedSession(FakeSession):
    """Answers that depend on the view: 0.1 more a view in the first number."""

    def __init__(self, services, view: int, genes: int) -> None:
        super().__init__(services)
        self.view = view

    def stream(self, places, *, focus=None, cancelled):
        for chunk in super().stream(places, focus=focus, cancelled=cancelled):
            chunk.hidden[:, 0] += np.float16(0.1 * self.view)
            yield chunk

    def embed(self, places, *, cancelled=None):
        if self.services.gate is not None:
            while not self.services.gate.wait(0.01):
                if cancelled():
                    raise Cancelled("stopped")
        return super().embed(places, cancelled=cancelled)


class FakeReference:
    """Half of the slide is unlike: what lies right of 0.64 (in the unit of `hidden_at`), far right of 1."""

    def novelty(self, embeddings):
        x = embeddings[:, 0]
        return np.where(x > 1.0, 2.0, np.where(x > 0.64, 1.2, 0.4)).astype(np.float32)


class TrustServices(FakeServices):
    def __init__(self) -> None:
        super().__init__()
        self.known = FakeReference()
        self.cards["other"] = card("other", genes=OTHER, gene_means=[0.0] * 3, mpp=1.3, evaluation=None)
        self.cards["demo"] = card("demo", genes=["MADE"], gene_means=[0.0])

    def reference(self, model):
        return self.known

    def session(self, slide, model, *, view=0, **how):
        self.sessions.append({**how, "view": view, "model": model.card.name})
        return ViewedSession(self, view, len(model.card.genes))

    def decoder(self, model):
        made = super().decoder(model)
        if model.card.name == "other":
            made = type(made)(made.weight[[1, 0, 3]] * 2, made.bias[:3])
        return made


class Dock:
    def __init__(self, make_viewer, qtbot, slide=None) -> None:
        self.viewer, self.qtbot, self.services = make_viewer(), qtbot, TrustServices()
        self.slide = slide or FakeSlide()
        data, meta, _ = frames.slide_layer_data(self.slide)
        self.slide_layer = self.viewer.add_image(data, **meta)
        self.widget = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.workspace = self.widget.workspace
        self.section: TrustSection = self.widget.folds["Trust"].open()
        self.tissue, self.spread = self.section.tissue, self.section.spread

    def click(self, button) -> None:
        assert button.isEnabled()
        self.qtbot.mouseClick(button, LEFT)

    def until(self, condition) -> None:
        self.qtbot.waitUntil(condition, timeout=60_000)

    def predict(self, where: str = "whole") -> None:
        self.click(self.widget.where.buttons[where])
        self.click(self.widget.job.button)
        self.until(lambda: self.widget.controller.status.state not in (State.RUNNING, State.IDLE))

    def ask(self) -> None:
        self.click(self.spread.button)
        self.until(lambda: not self.spread.task.running)

    def check(self) -> None:
        self.click(self.tissue.button)
        self.until(lambda: not self.tissue.task.running)

    def tick(self, model: str) -> None:
        """Click the box before a model in the list."""
        box = self.spread.models
        (item,) = [box.item(i) for i in range(box.count()) if box.item(i).text() == model]
        option = QStyleOptionViewItem()
        box.initViewItemOption(option)
        option.rect, option.features = box.visualItemRect(item), QStyleOptionViewItem.ViewItemFeature.HasCheckIndicator
        at = box.style().subElementRect(QStyle.SubElement.SE_ItemViewItemCheckIndicator, option, box)
        self.qtbot.mouseClick(box.viewport(), LEFT, pos=QPoint(at.center()))

    def layer(self, part: str):
        found = [layer for layer in self.viewer.layers if part in layer.name]
        return found[0] if found else None


@pytest.fixture
def dock(make_napari_viewer, qtbot) -> Dock:
    return Dock(make_napari_viewer, qtbot)


def expected_spread(dock: Dock, gene: str) -> np.ndarray:
    shown = dock.workspace.map
    cells = np.flatnonzero(shown.done)
    each = []
    for view in VIEWS:
        hidden = hidden_at(shown.tiles(cells).centres)
        hidden[:, 0] += np.float16(0.1 * view)
        each.append(shown.decoder(hidden, [shown.card.genes.index(gene)])[:, 0])
    out = np.full(shown.rows * shown.columns, np.nan)
    out[cells] = np.std(each, axis=0, ddof=1)
    return out.reshape(shown.rows, shown.columns)


@viewer
def test_before_a_prediction_the_buttons_say_why_they_rest(dock: Dock) -> None:
    for button in (dock.tissue.button, dock.spread.button):
        assert not button.isEnabled()
        assert button.toolTip() == NO_MAP
    assert "held-out PCC" in dock.section.figures.text() or "Measured on C5" in dock.section.figures.text()


@viewer
def test_tiles_unlike_the_training_are_marked_and_counted(dock: Dock) -> None:
    dock.predict()
    dock.check()
    layer = dock.layer("unlike the training (her2st)")
    shown = dock.workspace.map
    cells = np.flatnonzero(shown.done)
    x = shown.tiles(cells).centres[:, 0] / 1000
    marked = layer.data.ravel()[cells]
    assert np.array_equal(np.isfinite(marked), np.float16(x) > 0.64)
    assert tuple(layer.contrast_limits) == (1, 2)  # orange below 1.5, red above
    assert f"{100 * (x > 0.64).mean():.0f}% of the {len(cells)} predicted tiles are unlike" in dock.tissue.share.text()
    order = [la.name for la in dock.viewer.layers]
    assert order.index(layer.name) > order.index("ERBB2, predicted (her2st)") > order.index(dock.slide_layer.name)
    assert dock.tissue.more.isHidden()


@viewer
def test_a_model_without_a_record_says_so(dock: Dock) -> None:
    dock.services.known = None
    dock.predict()
    dock.check()
    assert NO_REFERENCE in dock.tissue.task.sentence.text()
    assert dock.layer("unlike") is None


@viewer
def test_the_check_can_be_cancelled_and_started_again(dock: Dock) -> None:
    dock.predict()
    dock.services.gate = threading.Event()
    dock.click(dock.tissue.button)
    dock.until(lambda: dock.tissue.task.running)
    dock.click(dock.tissue.task.cancel_button)
    dock.until(lambda: not dock.tissue.task.running)
    assert dock.tissue.task.sentence.text() == "Stopped."
    dock.services.gate = None
    dock.check()
    assert dock.layer("unlike") is not None


@viewer
def test_spread_over_views_follows_the_gene_without_the_model(dock: Dock) -> None:
    dock.predict()
    dock.check()
    marks = dock.layer("unlike")
    before = len(dock.services.asked)
    dock.ask()
    assert [s["view"] for s in dock.services.sessions[-3:]] == list(VIEWS[1:])
    assert len(dock.services.asked) == before + 3
    layer = dock.layer("ERBB2, spread over 4 views (her2st)")
    assert np.allclose(layer.data, expected_spread(dock, "ERBB2"), atol=2e-3, equal_nan=True)
    assert layer.contrast_limits[0] == 0
    assert not dock.layer("ERBB2, predicted").visible  # two heatmaps on top of one another mean nothing
    assert not marks.visible
    assert dock.viewer.canvas.overlays["nh2st_unit"].text.startswith("ERBB2, spread over 4 views")
    assert "ln(1 + counts per 10,000)" in dock.spread.said.text()
    dock.workspace.state.request_gene("KRT8")
    assert layer.name == "KRT8, spread over 4 views (her2st)"
    assert np.allclose(layer.data, expected_spread(dock, "KRT8"), atol=2e-3, equal_nan=True)
    assert len(dock.services.asked) == before + 3
    dock.click(dock.spread.button)
    assert not layer.visible
    assert dock.layer("KRT8, predicted").visible
    assert marks.visible
    dock.click(dock.spread.button)
    assert layer.visible
    assert len(dock.services.asked) == before + 3  # nothing is asked twice


@viewer
def test_it_goes_on_when_more_tiles_were_predicted(dock: Dock) -> None:
    dock.viewer.scene.camera.zoom *= 8
    dock.predict("view")
    some = dock.workspace.map.count
    dock.ask()
    dock.check()
    dock.predict("whole")
    more = dock.workspace.map.count - some
    assert more > 0
    for part in (dock.tissue, dock.spread):
        assert not part.more.isHidden()
        assert f"{more} more tile" in part.more.text()
        dock.click(part.more)
        dock.until(lambda part=part: not part.task.running)
        assert part.more.isHidden()
    assert np.isfinite(dock.layer("spread").data).sum() == dock.workspace.map.count


@viewer
def test_spread_over_models_with_other_panels_and_pixels(dock: Dock) -> None:
    dock.predict()
    dock.click(dock.spread.by_models)
    listed = {dock.spread.models.item(i).text(): dock.spread.models.item(i) for i in range(dock.spread.models.count())}
    assert set(listed) == {"demo", "other"}
    assert not listed["demo"].flags() & Qt.ItemFlag.ItemIsEnabled
    assert "none of the genes" in listed["demo"].toolTip()
    dock.click(dock.spread.button)
    assert "Tick one model" in dock.spread.task.sentence.text()
    dock.tick("other")
    dock.ask()
    shown, layer = dock.workspace.map, dock.layer("ERBB2, spread over 2 models (her2st)")
    cells = np.flatnonzero(shown.done)
    asked = dock.services.streams[-1]
    assert np.array_equal(asked.centres, shown.tiles(cells).centres)
    assert (asked.scale, asked.grid) == (pytest.approx(1.3 / 0.5), None)
    x = hidden_at(asked.centres)[:, 0].astype(float)
    assert np.allclose(layer.data.ravel()[cells], np.abs(x - 2 * x) / np.sqrt(2), atol=3e-3)
    dock.workspace.state.request_gene("CD3E")
    assert "other does not predict CD3E" in dock.spread.said.text()
    assert np.isnan(layer.data).all()
    dock.click(dock.spread.by_views)
    assert dock.spread.button.text() == "Show spread"


@viewer
def test_layers_may_be_renamed_and_deleted_and_the_slide_too(dock: Dock) -> None:
    dock.predict()
    dock.ask()
    dock.check()
    spread = dock.layer("spread over")
    spread.name = "mine"
    dock.workspace.state.request_gene("KRT8")
    assert spread.name == "mine"
    dock.viewer.layers.remove(spread)
    dock.viewer.layers.remove(dock.layer("unlike"))
    dock.workspace.state.request_gene("CD3E")
    assert dock.layer("spread over") is None  # it comes back only when it is asked for
    dock.click(dock.spread.button)
    assert dock.layer("CD3E, spread over").visible
    dock.viewer.layers.clear()
    dock.workspace.state.request_gene("KRT8")
    assert not dock.tissue.task.running


@viewer
def test_another_slide_puts_it_away(dock: Dock) -> None:
    dock.predict()
    dock.ask()
    dock.check()
    other = FakeSlide()
    other.fingerprint, other.path = "e" * 8, Path("/nowhere/other.svs")
    data, meta, _ = frames.slide_layer_data(other)
    dock.viewer.add_image(data, **meta)
    assert not dock.spread.button.isEnabled()
    dock.predict()
    assert not dock.layer("spread over").visible
    assert not dock.layer("unlike").visible
    assert dock.layer("unlike").data.shape == dock.layer("predicted").data.shape
    assert dock.spread.button.text() == "Show spread"


def test_figures_in_words():
    first, measured, trained = figures_words(
        card(training=[TrainingSample(sample="C2", patient="C", spots=9)]), "ERBB2"
    )
    assert first == "ERBB2: held-out PCC 0.41 (0.33 to 0.48), same patient."
    assert measured.startswith("Measured on C5. These come from patients that the model was trained on")
    assert trained == "Trained on C2 (1 section of 1 patient)."
    across = Evaluation(kind="cross-patient", samples=[f"S{i}" for i in range(11)], pcc_mean=0.2, genes={})
    said = figures_words(card(evaluation=across), "XIST")
    assert said[0] == "her2st does not predict XIST."
    assert "S7 and 3 more. Each time, the patient was left out" in said[1]
    assert "not tried" in figures_words(card(evaluation=None), "")[0]
    assert figures_words(None, "ERBB2") == ["Choose a model above."]


def test_shares_in_words():
    assert novelty_words(200, 0, 0).startswith("All of the 200 predicted tiles are like")
    said = novelty_words(200, 24, 6)
    assert said == (
        "12% of the 200 predicted tiles are unlike the tissue that this model was trained on, "
        "3% are far from all of it."
    )
    assert "About 1% is expected" in novelty_words(1000, 4, 0)
    assert novelty_words(1000, 4, 0).startswith("Less than 1%")


def test_spread_claims_no_more_than_was_measured():
    assert "not the error" in SPREAD_IS
    said = spread_words("ERBB2", "ln(1 + counts per 10,000)", "4 views", 0.031, 0.31)
    assert "differ by 0.031 ln(1 + counts per 10,000): 10% of how much ERBB2 varies" in said
    assert "%" not in spread_words("FLAT", "u", "4 views", 0.0, 0.0)
