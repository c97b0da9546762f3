"""A measurement beside its prediction, without a window."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from napari_nh2st.analysis.measured import Frame
from napari_nh2st.errors import Nh2stError
from napari_nh2st.expression.transform import Transform
from napari_nh2st.model.card import TrainingSample
from napari_nh2st.model.intervals import Intervals
from napari_nh2st.slides import TissueMask
from napari_nh2st.viewer.measured.messages import NO_SLIDE, measured_alarms, measured_caveats
from napari_nh2st.viewer.measured.presenter import MeasuredPresenter
from napari_nh2st.viewer.predict.messages import NO_MPP
from napari_nh2st.viewer.state.services import Services
from support import visium
from viewer.fakes import GENES, FakeServices, FakeSlide, card
from viewer.measured.material import SPOTS, counts_of, h5ad
from viewer.without_window import Desk, FakeWork


class FakeAnchorsView:
    """Remembers what the part that corrects the map shows."""

    def __init__(self) -> None:
        self.work = FakeWork()
        self.correction, self.corrected, self.proposal = (False, "", ""), ("", False), ("", "")

    def show_correction(self, offered, why_not, sentence) -> None:
        self.correction = offered, why_not, sentence

    def show_corrected(self, words, on) -> None:
        self.corrected = words, on

    def show_proposal(self, why_not, sentence) -> None:
        self.proposal = why_not, sentence


class FakeLandmarksView:
    """Remembers what the part that lays the spots shows; the meter is read at once."""

    def __init__(self) -> None:
        self.work, self.presenter = FakeWork(), None
        self.on, self.undo, self.residuals, self.meter = False, False, "", ""

    def show_landmarks(self, on, undo, residuals) -> None:
        self.on, self.undo, self.residuals = on, undo, residuals

    def show_meter(self, sentence) -> None:
        self.meter = sentence

    def meter_soon(self) -> None:
        if self.presenter is not None:
            self.presenter.read_meter()


class FakeView:
    """Remembers what the section shows."""

    def __init__(self) -> None:
        self.work, self.in_sight, self.presenter = FakeWork(), True, None
        self.anchors, self.landmarks = FakeAnchorsView(), FakeLandmarksView()
        self.offer: Any = None
        self.doubt, self.frame = "", None
        self.result = self.table = self.dots = None
        self.note, self.ticked, self.difference_offer = "", (True, False), ("", True)

    def show_offer(self, offer) -> None:
        self.offer = offer

    def show_frame(self, doubt, frame) -> None:
        self.doubt, self.frame = doubt, frame

    def show_result(self, comparison) -> None:
        self.result = comparison

    def show_table(self, comparison) -> None:
        self.table = comparison

    def show_gene(self, note, dots) -> None:
        self.note, self.dots = note, dots

    def show_layers(self, spots, difference) -> None:
        self.ticked = spots, difference

    def show_difference_offer(self, tip, *, on) -> None:
        self.difference_offer = tip, on

    def colour_soon(self) -> None:
        if self.presenter is not None:
            self.presenter.colour()


class Measured(Desk):
    """The dock with its section *Measured*."""

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.view = FakeView()
        self.view.presenter = self.section = MeasuredPresenter(self.workspace, self.view)
        self.view.landmarks.presenter = self.section.landmarks
        self.section.slide_changed()

    def compared(self, path: str) -> Any:
        self.section.open([path])
        assert self.section.comparison is not None, self.view.work.said
        return self.section.comparison


@pytest.fixture
def measured() -> Measured:
    return Measured()


def test_a_gene_that_was_not_measured_is_a_sentence(measured: Measured, tmp_path: Path) -> None:
    measured.predict()
    comparison = measured.compared(h5ad(tmp_path / "C9.h5ad", ["ERBB2", "KRT8", "OTHER"]))
    assert "2 of the model's 4 genes were not measured: CD3E, FLAT." in measured_caveats(comparison)
    measured.state.choose_gene("CD3E")
    assert measured.view.note == "CD3E was not measured in C9."
    assert measured.view.dots is None
    assert measured.names()[-1] == "C9 · CD3E · not measured"
    assert np.ptp(measured.section.spots.layer.face_color, axis=0).max() == 0
    measured.state.choose_gene("KRT8")
    assert measured.view.note == ""
    assert measured.view.dots.title.startswith("KRT8: PCC ")


@pytest.mark.parametrize("by", ["name", "content"])
def test_a_section_of_the_training_is_said(measured: Measured, tmp_path: Path, by: str) -> None:
    sample = TrainingSample(sample="C9", patient="C", spots=80, fingerprint="f" * 8 if by == "content" else None)
    measured.services.cards["demo"] = card("demo", training=[sample])
    measured.use_model("demo")
    comparison = measured.compared(h5ad(tmp_path / ("C9.h5ad" if by == "name" else "other.h5ad")))
    assert measured_alarms(comparison).startswith("C9 was among this model's training sections")
    assert not any("same patient" in caveat for caveat in measured_caveats(comparison))


def test_spots_off_the_slide_are_left_out_and_none_left_is_a_sentence(measured: Measured, tmp_path: Path) -> None:
    spots = SPOTS.copy()
    spots[:2] += 5000
    measured.section.open([h5ad(tmp_path / "C9.h5ad", spots=spots)])
    assert measured.view.doubt == ""
    caveats = measured_caveats(measured.section.comparison)
    assert "2 spots without a prediction left out." in caveats
    assert "2 of 80 spots lie off the slide and are left out." in caveats
    measured.section.open([h5ad(tmp_path / "far.h5ad", spots=SPOTS + 1e5)])
    assert measured.view.doubt.startswith("80 of 80 spots lie off ")
    measured.section.move(Frame())
    measured.section.use()
    assert "sample far: 80 of 80 spots lie off " in measured.view.work.said
    assert measured.view.offer.compare


@pytest.mark.parametrize(
    ("name", "words"),
    [("broken.h5ad", "cannot read"), ("notes.pdf", "is not a measurement"), ("other.h5ad", "do the gene names match")],
)
def test_what_cannot_be_used_is_one_sentence(measured: Measured, tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "broken.h5ad").write_bytes(b"nothing")
    (tmp_path / "notes.pdf").touch()
    h5ad(tmp_path / "other.h5ad", ["X", "Y", "Z"])
    measured.section.open([str(tmp_path / name)])
    assert words in measured.view.work.said
    assert "\n" not in measured.view.work.said
    assert measured.section.comparison is None


def test_repeated_ids_are_a_sentence(measured: Measured, tmp_path: Path) -> None:
    data = ad.AnnData(sp.csr_matrix(counts_of(GENES), dtype=np.float32))
    data.obs_names, data.obsm["spatial"] = ["same"] * len(SPOTS), SPOTS
    data.write_h5ad(tmp_path / "twice.h5ad")
    measured.section.open([str(tmp_path / "twice.h5ad")])
    assert "spot ids repeat" in measured.view.work.said


def test_genes_match_by_ensembl_id(measured: Measured, tmp_path: Path) -> None:
    ids = ["ENSG1", "ENSG2", "ENSG3", "ENSG4"]
    measured.services.cards["demo"] = card("demo", ensembl=ids)
    measured.use_model("demo")
    visium.outs(tmp_path / "V", counts_of(GENES), ["HER2", "KRT8", "CD3E", "FLAT"], SPOTS, ids=ids)
    comparison = measured.compared(str(tmp_path / "V"))
    assert (comparison.name, comparison.missing) == ("V", [])


def test_another_model_scores_anew_and_only_in_sight(measured: Measured, tmp_path: Path) -> None:
    first = measured.compared(h5ad(tmp_path / "C9.h5ad"))
    measured.use_model("demo")
    assert measured.section.comparison.card.name == "demo"
    assert measured.section.spots.present
    measured.view.in_sight = False
    measured.use_model("her2st")
    assert measured.section.comparison is None
    assert measured.view.result is None
    measured.view.in_sight = True
    measured.section.update()
    assert measured.section.comparison is not first
    assert measured.section.comparison.card.name == "her2st"


def test_spots_that_fit_another_open_slide_better_are_asked_about(tmp_path: Path) -> None:
    spots = SPOTS.copy()
    corner = (spots[:, 0] >= 800) & (spots[:, 1] >= 500)
    spots[corner] = np.stack(np.meshgrid([5.0, 100.0], np.unique(SPOTS[:, 1])), axis=-1).reshape(-1, 2)
    mask = np.zeros((96, 140), dtype=bool)
    mask[5:86, 0:115] = True
    mask[45:86, 75:115] = False
    right, wrong = FakeSlide(), FakeSlide()
    right.fingerprint, right.path = "r" * 8, Path("/nowhere/right.svs")
    right.tissue = lambda: TissueMask.from_array(mask, right.shape)
    wrong.tissue = lambda: TissueMask.from_array(mask[::-1, ::-1], wrong.shape)
    measured = Measured(right)
    measured.open(wrong)
    measured.section.open([h5ad(tmp_path / "adata.h5ad", spots=spots)])
    assert measured.view.doubt.startswith("The spots fit right.svs better: 72 of them lie over tissue there, 44 here")
    assert measured.section.comparison is None
    assert measured.view.frame == Frame()


def test_figures_that_hardly_agree_raise_an_alarm(measured: Measured, tmp_path: Path) -> None:
    spots = SPOTS[np.random.default_rng(3).permutation(len(SPOTS))]
    comparison = measured.compared(h5ad(tmp_path / "C9.h5ad", spots=spots))
    assert measured_alarms(comparison).startswith("Measured and predicted values hardly agree (mean PCC ")


def test_a_measurement_belongs_to_its_slide(measured: Measured, tmp_path: Path) -> None:
    measured.compared(h5ad(tmp_path / "C9.h5ad"))
    layer, other = measured.state.slide_layer, FakeSlide(shape=(800, 900))
    other.fingerprint, other.path = "g" * 8, other.path.with_name("D1.svs")
    measured.open(other)
    assert measured.section.measurement is None
    assert not measured.section.spots.present
    measured.presenter.choose_slide(layer)
    assert measured.section.comparison is not None
    assert measured.section.spots.present


def test_a_pixel_size_that_comes_later_lets_it_go_on(tmp_path: Path) -> None:
    measured = Measured(FakeSlide(mpp=None))
    measured.section.open([h5ad(tmp_path / "C9.h5ad")])
    assert measured.view.offer.hint == NO_MPP
    measured.presenter.give_mpp(0.5)
    assert measured.section.comparison is not None
    np.testing.assert_allclose(measured.section.spots.layer.scale, 0.5)


def test_without_a_slide(measured: Measured, tmp_path: Path) -> None:
    measured.viewer.layers.clear()
    measured.presenter.choose_slide(None)
    measured.section.open([h5ad(tmp_path / "C9.h5ad")])
    assert measured.view.work.said == measured.view.offer.why_not_load == NO_SLIDE


def test_stopped_and_compared_again(measured: Measured, tmp_path: Path) -> None:
    measured.section.open([h5ad(tmp_path / "C9.h5ad")])
    measured.section.remove()
    assert measured.section.measurement is None
    assert "Drop a measurement" in measured.view.offer.hint
    measured.view.in_sight = False
    measured.section.open([h5ad(tmp_path / "C9.h5ad")])
    assert measured.view.offer.compare
    measured.section.compare()
    assert measured.section.comparison is not None
    assert not measured.view.offer.compare


def test_other_units_are_said_and_leave_no_difference(measured: Measured, tmp_path: Path) -> None:
    measured.services.cards["demo"] = card("demo", label_recipe="log10-cp10k-panel-smoothed")
    measured.use_model("demo")
    comparison = measured.compared(h5ad(tmp_path / "C9.h5ad"))
    assert not measured.view.difference_offer[1]
    assert any("Compare correlations only" in caveat for caveat in measured_caveats(comparison))
    assert "MSE" not in comparison.table().columns


def test_the_difference_is_a_layer_of_its_own(measured: Measured, tmp_path: Path) -> None:
    measured.predict()
    comparison = measured.compared(h5ad(tmp_path / "C9.h5ad"))
    measured.section.toggle_difference(True)
    assert measured.names()[-1] == "C9 · ERBB2 · difference"
    truth, predicted = comparison.values("ERBB2")
    layer = measured.section.difference.layer
    table = layer.metadata["adata"]  # where napari-spatialdata looks
    assert np.shares_memory(table.X, comparison.scored.truth)
    np.testing.assert_array_equal(table[:, "ERBB2"].layers["predicted"][:, 0], predicted)
    np.testing.assert_allclose(layer.features["difference"], predicted - truth)
    high, low = (layer.face_color[place(predicted - truth)] for place in (np.argmax, np.argmin))
    assert high[0] > high[2] or predicted.max() < truth.max()  # orange where more is predicted
    assert low[2] > low[0]  # blue where less is
    assert "Full colour from" in measured.view.difference_offer[0]
    measured.section.toggle_difference(False)
    assert not layer.visible


def test_layers_may_be_hidden_renamed_and_deleted(measured: Measured, tmp_path: Path) -> None:
    measured.predict()
    measured.compared(h5ad(tmp_path / "C9.h5ad"))
    section, state = measured.section, measured.state
    section.spots.layer.visible = False
    assert measured.view.ticked == (False, False)
    section.toggle_spots(True)
    assert section.spots.layer.visible
    section.spots.layer.name = "mine"
    state.choose_gene("KRT8")
    assert section.spots.layer.name == "mine"
    measured.viewer.layers.remove(section.spots.layer)
    assert measured.view.ticked == (False, False)
    state.choose_gene("ERBB2")
    assert "mine" not in measured.names()
    section.toggle_spots(True)
    assert measured.names()[-1] == "C9 · ERBB2 · measured"
    measured.viewer.layers.remove(measured.heatmap.layer)
    state.choose_gene("KRT8")  # the heatmap is another layer from now on
    before = section.spots.layer.face_color.copy()
    measured.heatmap.layer.contrast_limits = (4.0, 8.0)
    assert not np.allclose(section.spots.layer.face_color, before)


def test_five_thousand_spots_change_gene_quickly(measured: Measured, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = ad.AnnData(sp.csr_matrix(rng.poisson(5, (5000, 4)), dtype=np.float32))
    data.var_names, data.obsm["spatial"] = GENES, rng.uniform((130, 10), (1270, 950), (5000, 2))
    data.write_h5ad(tmp_path / "many.h5ad")
    measured.predict()
    measured.compared(str(tmp_path / "many.h5ad"))
    measured.section.toggle_difference(True)
    took = []
    for gene in ("KRT8", "CD3E", "ERBB2") * 3:
        since = time.process_time()
        measured.state.choose_gene(gene)
        took.append(time.process_time() - since)
    assert np.median(took) < 0.2  # a tenth of a second where nothing else is at work


@pytest.mark.timeout(300)
def test_the_table_is_that_of_evaluate(tmp_path: Path) -> None:
    """The real engine, an untrained model and a section made for it."""
    from napari_nh2st.evaluation.protocol import evaluate
    from napari_nh2st.slides import open_slide
    from support.models import small_model
    from support.sections import GENES as MADE
    from support.sections import sheet

    samples = sheet(tmp_path, ("S1", "P1", 1))
    model = small_model(tmp_path, genes=MADE, gene_means=[5.0] * 4)
    wanted = evaluate(samples, model)["splits"][0]["models"]["nh2st-context"]
    with open_slide(tmp_path / "S1.tif") as slide:
        measured = Measured(slide, Services(), str(model.path))
        comparison = measured.compared(str(tmp_path / "S1.h5ad"))
        table = comparison.table()
        for gene, figures in wanted["genes"].items():
            got = table.loc[gene, ["PCC", "low", "high", "MSE"]].to_numpy(dtype=float)
            assert got == pytest.approx([figures[k] for k in ("pcc", "low", "high", "mse")], abs=2e-4)
        assert comparison.figures["pcc_mean"] == pytest.approx(wanted["pcc_mean"], abs=2e-4)


def test_what_intervals_hold_is_said_of_the_prediction_and_not_of_a_corrected_map(tmp_path: Path) -> None:
    services = FakeServices()
    rows = {"widths": [[0.5] * 4] * 3, "spreads": [[1.0] * 4] * 3}
    facts = {"held_out": "sections", "spots": 200, "panel": 4, "slope": 0.0, "centre": 0.0, "low": 0.0, "high": 1.0}
    intervals = Intervals(**facts, levels=[0.8, 0.9, 0.95], depth=1e6, **rows)
    services.cards["her2st"] = card(gene_stds=[1.0] * 4, intervals=intervals)
    measured = Measured(services=services)
    measured.predict()
    comparison = measured.compared(h5ad(tmp_path / "C9.h5ad"))
    (said,) = (text for text in measured_caveats(comparison) if text.startswith("Intervals that claim to hold 90%"))
    assert "widened, since the section was measured 0% as deeply as the training, they hold " in said
    measured.section.corrections.correct("most telling", 20)
    rest = measured.view.result
    assert len(rest.scored.truth) == 60
    assert not any(text.startswith("Intervals") for text in measured_caveats(rest))


def test_spots_correct_the_map_and_the_others_judge_it(measured: Measured, tmp_path: Path) -> None:
    measured.predict()
    comparison = measured.compared(h5ad(tmp_path / "C9.h5ad"))
    anchors, shown = measured.section.corrections, measured.view.anchors
    base = measured.state.map
    assert shown.correction[:2] == (True, "")
    anchors.correct("most telling", 20)
    made = anchors.made
    assert measured.state.map is made.map is not base
    assert shown.corrected == ("corrected with 20 spots", True)
    assert shown.correction[2].startswith(
        "Corrected with 20 spots. Each predicted from the others: mean squared error "
    )
    rest = measured.view.result
    assert len(rest.scored.truth) == 60
    used = {tuple(c) for c in made.correction.anchors.centres}
    assert not used & {tuple(c) for c in rest.scored.centres}
    np.testing.assert_allclose(measured.section.spots.layer.data, rest.scored.centres[:, ::-1] - 0.5)
    assert measured_caveats(rest)[0].startswith("20 spots that correct the map are left out. At the others, the ")
    truth = {tuple(c): t for c, t in zip(comparison.scored.centres, comparison.scored.truth, strict=True)}
    np.testing.assert_array_equal(rest.scored.truth, [truth[tuple(c)] for c in rest.scored.centres])
    errors = [((c.scored.truth - c.scored.predicted) ** 2).mean() for c in (comparison, rest)]
    assert errors[1] < errors[0] / 4
    assert "C9 · ERBB2 · predicted (corrected with 20 spots)" in measured.names()
    assert "C9 · 20 anchor spots" in measured.names()
    anchors.toggle(False)
    assert measured.state.map is base
    assert measured.view.result is comparison
    assert "C9 · 20 anchor spots" not in measured.names()
    anchors.toggle(True)
    assert measured.state.map is made.map
    assert measured.view.result is rest
    anchors.correct("all", 0)
    assert anchors.made.base is base  # a corrected map is not corrected again
    assert [m.name for m in measured.viewer.layers if "corrected" in m.name] == [
        "C9 · ERBB2 · predicted (corrected with 80 spots)"
    ]
    assert measured.view.result is None
    assert shown.correction[2].endswith("All spots correct the map: none is left to judge it.")


def test_what_is_predicted_later_is_corrected_too(measured: Measured, tmp_path: Path) -> None:
    measured.predict()
    measured.compared(h5ad(tmp_path / "C9.h5ad"))
    base, anchors = measured.state.map, measured.section.corrections
    cells = np.flatnonzero(base.done)[:5]
    hidden = base.hidden_of(cells)
    base._state.ravel()[cells] = 0  # as if these were not predicted yet
    anchors.correct("all", 0)
    assert not anchors.made.map.done[cells].any()
    anchors.toggle(False)
    base.add(cells, hidden)
    anchors.toggle(True)
    assert measured.state.map.done[cells].all()
    whole = anchors.made.correction.apply(base.prediction()).matrix()
    np.testing.assert_allclose(measured.state.map.prediction().matrix(), whole, atol=1e-2)


def test_only_what_can_be_corrected_is_offered(measured: Measured, tmp_path: Path) -> None:
    shown = measured.view.anchors
    assert shown.correction[0] is False
    measured.compared(h5ad(tmp_path / "C9.h5ad"))
    assert shown.correction[:2] == (True, "Predict first: there is no map to correct.")
    measured.predict()
    assert shown.correction[:2] == (True, "")
    measured.section.corrections.correct("regions", 0)
    assert shown.work.said == "Draw a region around the spots first, in “Regions”."
    measured.section.corrections.correct("all", 0)
    with pytest.raises(Nh2stError, match="Show the prediction itself to ask the model"):
        measured.workspace.with_inputs(lambda *_: None, decodes=True)
    measured.section.remove()
    assert shown.corrected == ("", False)


def test_places_to_measure_next_are_numbered_and_saved(measured: Measured, tmp_path: Path) -> None:
    anchors, shown = measured.section.corrections, measured.view.anchors
    assert shown.proposal[0].startswith("Predict first")
    measured.predict()
    anchors.propose(6)
    layer = anchors.places.layer
    assert layer.name == "C9 · where to measure next"
    assert list(layer.text.values) == list("123456")
    np.testing.assert_allclose(layer.data, anchors.proposal.places.centres[:, ::-1] - 0.5)
    anchors.save(str(tmp_path / "next.csv"))
    assert len((tmp_path / "next.csv").read_text("utf-8").splitlines()) == 7
    assert (tmp_path / "next.geojson").exists()
    anchors.put_away()
    assert shown.proposal[1] == ""
    assert not anchors.places.present


def test_spots_that_are_laid_anew_are_compared_where_they_then_lie(measured: Measured, tmp_path: Path) -> None:
    measured.predict()
    beside = SPOTS + np.array([40.0, -30.0])
    before = measured.compared(h5ad(tmp_path / "C9.h5ad", spots=beside))
    assert measured.view.offer.lay
    measured.section.lay_anew()
    assert measured.section.comparison is None
    assert measured.section.rings.present
    assert not measured.section.spots.present
    landmarks = measured.section.landmarks
    landmarks.toggle()
    assert measured.view.landmarks.meter.startswith("Mean PCC of the model's best gene here: ")
    places = np.asarray(landmarks.slide_marks.layer.data)[:, ::-1] + 0.5
    landmarks.slide_marks._dragged(places - [[40.0, -30.0], [0, 0], [0, 0], [0, 0]])
    assert measured.view.landmarks.residuals == "1 landmark of 3: drag two more."
    laid = measured.section.measurement.laid
    np.testing.assert_allclose(laid.place(beside), SPOTS, atol=1e-6)  # one landmark shifts all
    measured.section.use()
    after = measured.section.comparison
    np.testing.assert_allclose(after.scored.centres, SPOTS, atol=1e-6)
    assert after is not before
    assert not landmarks.on
    assert measured.section.measurement.sample(measured.workspace.slide).transform == laid


def test_a_comparison_of_where_spots_were_is_dropped(measured: Measured, tmp_path: Path) -> None:
    measured.predict()
    measured.section.open([h5ad(tmp_path / "C9.h5ad")])
    measurement = measured.section.measurement
    measurement.comparison = measurement.made_with = None
    measured.view.work.hold = True
    measured.section.compare()
    measurement.transform = Transform.scaled(1, 8, 0)
    measured.view.work.release()
    assert measurement.comparison is None or measurement.comparison.scored.centres[0, 0] == SPOTS[0, 0] + 8


def test_two_landmarks_turn_and_three_are_fitted_and_a_line_is_a_sentence(measured: Measured, tmp_path: Path) -> None:
    measured.compared(h5ad(tmp_path / "C9.h5ad"))
    measured.section.lay_anew()
    landmarks, view = measured.section.landmarks, measured.view.landmarks
    landmarks.toggle()
    own = landmarks._hands.now.own.copy()
    turned = own @ np.array([[0.0, 1], [-1, 0]]) + (1100, 0)  # by 90 degrees
    for number in (0, 1):
        places = np.asarray(landmarks.slide_marks.layer.data)[:, ::-1] + 0.5
        landmarks.slide_marks._began()
        places[number] = turned[number]
        landmarks.slide_marks._dragged(places)
    np.testing.assert_allclose(measured.section.measurement.laid.place(own), turned, atol=1e-6)
    places = np.asarray(landmarks.slide_marks.layer.data)[:, ::-1] + 0.5
    places[2] = (turned[0] + turned[1]) / 2
    laid = measured.section.measurement.laid
    landmarks.slide_marks._dragged(places)
    assert "on a line on the slide: mark one more beside it" in view.work.said
    assert measured.section.measurement.laid == laid
    landmarks.undo()
    landmarks.undo()
    assert measured.section.measurement.laid == Frame().transform
    assert not view.undo
