"""How far to trust the gene in sight, without a window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_nh2st.analysis.spread import VIEWS
from napari_nh2st.geometry import Box
from napari_nh2st.model.card import Evaluation, TrainingSample
from napari_nh2st.model.trust_words import KIND_MEANS, NO_REFERENCE, PCC_MEANS, novelty_words
from napari_nh2st.viewer.predict.workspace import NO_MAP
from napari_nh2st.viewer.trust.messages import SPREAD_IS, figures_words, spread_words
from napari_nh2st.viewer.trust.presenter import SpreadPresenter, TissueCheck
from viewer.fakes import FakeSlide, card, hidden_at
from viewer.trust.services import TrustServices
from viewer.without_window import Desk, FakeWork


class FakeTissue:
    def __init__(self) -> None:
        self.work, self.offer, self.share, self.legend = FakeWork(), None, "", False

    def show_tissue(self, offer, share, *, legend) -> None:
        self.offer, self.share, self.legend = offer, share, legend


class FakeSpread:
    def __init__(self) -> None:
        self.work, self.by_models, self.ticked = FakeWork(), False, ()
        self.choices, self.offer, self.sentence = [], None, ""

    def list_models(self, choices) -> None:
        self.choices = choices

    def show_spread(self, offer, sentence) -> None:
        self.offer, self.sentence = offer, sentence


class Trust(Desk):
    """The dock with both parts of its section *Trust*."""

    def __init__(self) -> None:
        super().__init__(services=TrustServices())
        self.tissue, self.views = FakeTissue(), FakeSpread()
        self.check = TissueCheck(self.workspace, self.tissue)
        self.spread = SpreadPresenter(self.workspace, self.views)
        self.check.show_state()
        self.spread.list_models()

    def layer(self, part: str) -> Any:
        return next((layer for layer in self.viewer.layers if part in layer.name), None)


@pytest.fixture
def trust() -> Trust:
    return Trust()


def expected_spread(trust: Trust, gene: str) -> np.ndarray:
    cells = np.flatnonzero(trust.map.done)
    each = []
    for view in VIEWS:
        hidden = hidden_at(trust.map.tiles(cells).centres)
        hidden[:, 0] += np.float16(0.1 * view)
        each.append(trust.map.decoder(hidden, [trust.map.card.genes.index(gene)])[:, 0])
    out = np.full(trust.map.rows * trust.map.columns, np.nan)
    out[cells] = np.std(each, axis=0, ddof=1)
    return out.reshape(trust.map.rows, trust.map.columns)


def test_before_a_prediction_both_say_why_they_rest(trust: Trust) -> None:
    for offer in (trust.tissue.offer, trust.views.offer):
        assert (offer.on, offer.tip) == (False, NO_MAP)


def test_tiles_unlike_the_training_are_marked_and_counted(trust: Trust) -> None:
    trust.predict()
    trust.check.check()
    layer = trust.layer("C9 · unlike the training")
    cells = np.flatnonzero(trust.map.done)
    x = trust.map.tiles(cells).centres[:, 0] / 1000
    assert np.array_equal(np.isfinite(layer.data.ravel()[cells]), np.float16(x) > 0.64)
    assert tuple(layer.contrast_limits) == (1, 2)  # orange below 1.5, red above
    assert f"{100 * (x > 0.64).mean():.0f}% of {len(cells)} predicted tiles look different" in trust.tissue.share
    assert trust.names() == ["C9", "C9 · ERBB2 · predicted", layer.name]
    assert trust.tissue.legend
    assert trust.tissue.offer.more == ""


def test_a_model_without_a_record_says_so(trust: Trust) -> None:
    trust.services.known = None
    trust.predict()
    trust.check.check()
    assert NO_REFERENCE in trust.tissue.work.said
    assert trust.layer("unlike") is None


def test_spread_over_views_follows_the_gene_without_the_model(trust: Trust) -> None:
    trust.predict()
    trust.check.check()
    marks, before = trust.layer("unlike"), len(trust.services.asked)
    trust.spread.toggle()
    assert [s["view"] for s in trust.services.sessions[-3:]] == list(VIEWS[1:])
    assert len(trust.services.asked) == before + 3
    layer = trust.layer("C9 · ERBB2 · spread over 4 views")
    assert np.allclose(layer.data, expected_spread(trust, "ERBB2"), atol=2e-3, equal_nan=True)
    assert layer.contrast_limits[0] == 0
    assert not trust.layer("ERBB2 · predicted").visible  # two heatmaps on top of one another mean nothing
    assert not marks.visible
    assert "ln(1 + counts per 10,000)" in trust.views.sentence
    trust.state.choose_gene("KRT8")
    assert layer.name == "C9 · KRT8 · spread over 4 views"
    assert np.allclose(layer.data, expected_spread(trust, "KRT8"), atol=2e-3, equal_nan=True)
    assert len(trust.services.asked) == before + 3
    trust.spread.toggle()
    assert (layer.visible, trust.layer("KRT8 · predicted").visible, marks.visible) == (False, True, True)
    trust.spread.toggle()
    assert layer.visible
    assert len(trust.services.asked) == before + 3  # nothing is asked twice


def test_both_go_on_when_more_tiles_were_predicted(trust: Trust, monkeypatch) -> None:
    monkeypatch.setattr("napari_nh2st.viewer.predict.requests.visible_box", lambda viewer, layer: Box(200, 0, 700, 500))
    monkeypatch.setattr("napari_nh2st.viewer.predict.view_steps.RING", 0.0)
    trust.predict("view")
    trust.presenter.cancel()
    some = trust.map.count
    trust.spread.toggle()
    trust.check.check()
    trust.predict("whole")
    more = trust.map.count - some
    assert more > 0
    for view, go_on in ((trust.tissue, trust.check.check), (trust.views, trust.spread.compute)):
        assert view.offer.more == f"Go on ({more} more tiles)"
        go_on()
        assert view.offer.more == ""
    assert np.isfinite(trust.layer("spread").data).sum() == trust.map.count


def test_layers_may_be_renamed_and_deleted_and_the_slide_too(trust: Trust) -> None:
    trust.predict()
    trust.spread.toggle()
    trust.check.check()
    spread = trust.layer("spread over")
    spread.name = "mine"
    trust.state.choose_gene("KRT8")
    assert spread.name == "mine"
    trust.viewer.layers.remove(spread)
    trust.viewer.layers.remove(trust.layer("unlike"))
    trust.state.choose_gene("CD3E")
    assert trust.layer("spread over") is None  # it comes back only when it is asked for
    trust.spread.toggle()
    assert trust.layer("CD3E · spread over").visible
    trust.viewer.layers.clear()
    trust.state.choose_gene("KRT8")
    assert not trust.views.work.running


def test_another_slide_puts_it_away(trust: Trust) -> None:
    trust.predict()
    trust.spread.toggle()
    trust.check.check()
    other = FakeSlide()
    other.fingerprint, other.path = "e" * 8, Path("/nowhere/other.svs")
    trust.open(other)
    assert not trust.views.offer.on
    trust.predict()
    assert not trust.layer("spread over").visible
    assert not trust.layer("unlike").visible
    assert trust.layer("unlike").data.shape == trust.layer("predicted").data.shape
    assert trust.views.offer.text == "Show spread"


def test_models_that_cannot_be_compared_say_why(trust: Trust) -> None:
    assert [(c.model, "shares no gene" in c.why_not) for c in trust.views.choices] == [
        ("demo", True),
        ("other", False),
    ]
    trust.predict()
    trust.views.by_models = True
    trust.spread.toggle()
    assert "Tick at least one model" in trust.views.work.said


def test_figures_in_words():
    assert figures_words(card(training=[TrainingSample(sample="C2", patient="C", spots=9)]), "ERBB2") == [
        "ERBB2: held-out PCC 0.41 (0.33 to 0.48), same patient.",
        PCC_MEANS,
        "Held out: tissue that the model did not see in training. Here: C5.",
        KIND_MEANS["same-patient"],
        "Trained on C2 (1 section of 1 patient).",
    ]
    across = Evaluation(kind="cross-patient", samples=[f"S{i}" for i in range(11)], pcc_mean=0.2, genes={})
    said = figures_words(card(evaluation=across), "XIST")
    assert said[0] == "her2st does not predict XIST."
    assert said[2].endswith("S7 and 3 more.")
    assert said[3] == KIND_MEANS["cross-patient"]
    assert "accuracy is unknown" in figures_words(card(evaluation=None), "")[0]
    assert figures_words(None, "ERBB2") == ["Choose a model above."]


def test_shares_in_words():
    assert novelty_words(200, 0, 0) == "All 200 predicted tiles look like the training tissue."
    said = novelty_words(200, 24, 6)
    assert said == "12% of 200 predicted tiles look different from the training tissue, 3% very different."
    assert "About 1% is normal" in novelty_words(1000, 4, 0)
    assert novelty_words(1000, 4, 0).startswith("Less than 1%")


def test_spread_claims_no_more_than_was_measured():
    assert "not the error" in SPREAD_IS
    said = spread_words("ERBB2", "ln(1 + counts per 10,000)", "4 views", 0.031, 0.31)
    assert said.endswith("differ by 0.031 ln(1 + counts per 10,000). That is 10% of how much ERBB2 varies here.")
    assert "%" not in spread_words("FLAT", "u", "4 views", 0.0, 0.0)
