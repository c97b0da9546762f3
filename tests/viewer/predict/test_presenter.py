"""The decisions of the NH2ST dock, without a window."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_nh2st.errors import Cancelled
from napari_nh2st.viewer.layers.roles import Kind, kind_of
from napari_nh2st.viewer.layers.spots import SpotsLayer
from napari_nh2st.viewer.layers.tissue import add_tissue_layer
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict.messages import (
    ALL_PREDICTED,
    NO_MODEL,
    NO_MPP,
    NO_TISSUE,
    NOTHING_OPEN,
    READY,
    status_sentence,
)
from napari_nh2st.viewer.predict.region import level0
from napari_nh2st.viewer.regions.drawn import add_region_layer
from viewer.fakes import FakeSlide, card
from viewer.without_window import Desk


def other_slide(name: str = "D1", fingerprint: str = "g" * 8, **how) -> FakeSlide:
    slide = FakeSlide(**how)
    slide.path, slide.fingerprint = Path(f"/nowhere/{name}.svs"), fingerprint
    return slide


def test_a_chosen_slide_and_model_are_ready() -> None:
    desk = Desk()
    assert (desk.job.text, desk.job.ready) == (READY, True)
    assert desk.state.gene == "ERBB2"  # the most trusted one
    assert desk.state.map is None


def test_what_is_missing_is_said() -> None:
    desk = Desk(FakeSlide(mpp=None))
    assert (desk.job.text, desk.job.ready) == (NO_MPP, False)
    desk.services.warning = ["C9.tif does not say how large its pixels are", "This slide is pale."]
    desk.presenter.choose_slide(desk.state.slide_layer)
    assert desk.job.warnings == ["This slide is pale."], "the line above says the rest"
    desk.presenter.give_mpp(0.25)
    assert (desk.state.slide.mpp, desk.job.text) == (0.25, READY)
    desk.state.choose_model(None)
    assert (desk.job.text, desk.job.ready) == (NO_MODEL, False)
    desk.presenter.predict()
    assert desk.said == [NO_MODEL]
    desk.presenter.choose_slide(None)
    assert desk.job.text == NOTHING_OPEN


def test_what_was_drawn_stays_on_its_tissue_when_the_pixel_size_changes() -> None:
    desk = Desk()
    desk.predict()
    slide_layer, slide = desk.state.slide_layer, desk.state.slide
    slide_layer.translate = (30, -20)  # the user has moved it
    regions = add_region_layer(desk.viewer, "regions", desk.map.slide)
    regions.add_polygons([np.array([(100.0, 100), (100, 300), (250, 200)])])
    spots = SpotsLayer(desk.viewer, Kind.MEASURED)
    spots.create(np.array([(300.0, 200), (500, 400)]), 60, slide_layer, slide.mpp, "measured")
    mask = add_tissue_layer(desk.viewer, slide, slide.tissue(), slide_layer)
    plain = desk.viewer.add_shapes([np.array([(50.0, 60), (50, 300), (250, 200)])], shape_type="polygon")

    def on_slide(layer: Any, points: Any) -> Any:
        return level0(slide_layer, [layer.data_to_world(point) for point in points])

    drawn = (
        (regions, regions.data[0]),
        (plain, plain.data[0]),
        (spots.layer, spots.layer.data),
        (mask, [(0, 0), mask.data.shape]),
    )
    before = [on_slide(*each) for each in drawn]
    for mpp in (0.25, 1.1):
        desk.presenter.give_mpp(mpp)
        for each, places in zip(drawn, before, strict=True):
            np.testing.assert_allclose(on_slide(*each), places, atol=1e-6)
    assert desk.heatmap is None
    desk.open(other_slide())
    before = plain.extent.world
    desk.presenter.give_mpp(0.7)
    np.testing.assert_array_equal(plain.extent.world, before)  # it may lie on the other one
    assert not [layer for layer in desk.viewer.layers if kind_of(layer) is Kind.HEATMAP], "of other tiles"


def test_a_prediction_fills_a_map_that_is_drawn_and_told() -> None:
    desk = Desk()
    told = []
    desk.state.map_chosen.connect(lambda chosen: told.append(("map", chosen is desk.state.map)))
    desk.state.events.jobs_ended.connect(lambda count: told.append(("ended", count)))
    desk.predict()
    assert told == [("map", True), ("ended", 1)]
    assert desk.map.count == desk.job.status.total
    assert desk.job.status.state is State.DONE
    assert desk.names() == ["C9", "C9 · ERBB2 · predicted"]
    assert desk.state.limits.gene == "ERBB2"
    assert desk.state.limits.unit == card().unit


def test_a_gene_is_drawn_before_the_sections_hear_of_it() -> None:
    desk = Desk()
    desk.predict()
    heard = []
    desk.state.events.gene.connect(lambda gene: heard.append((gene, desk.heatmap.gene)))
    desk.state.choose_gene("KRT8")
    assert heard == [("KRT8", "KRT8")]
    desk.viewer.layers.remove(desk.heatmap.layer)
    desk.state.choose_gene("KRT8")  # asked for again: it comes back
    assert desk.heatmap.present
    assert len(heard) == 1


def test_another_model_keeps_the_gene_where_it_predicts_it() -> None:
    desk = Desk()
    desk.state.choose_gene("KRT8")
    desk.services.cards["others"] = card("others", genes=["AAA", "KRT8", "BBB", "CCC"], evaluation=None)
    desk.use_model("others")
    assert desk.state.gene == "KRT8"
    desk.services.cards["third"] = card("third", genes=["AAA", "BBB", "CCC", "DDD"], evaluation=None)
    desk.use_model("third")
    assert desk.state.gene == "AAA"


def test_what_was_predicted_comes_back_with_its_slide_model_and_detail() -> None:
    desk = Desk()
    desk.predict()
    first = desk.map
    desk.state.fine = True
    assert desk.map is None
    desk.presenter.predict()
    fine = desk.map
    assert fine.pitch == 16
    desk.state.fine = False
    assert (desk.map, desk.job.text) == (first, f"{ALL_PREDICTED} Choose a gene, or export.")
    layer = desk.state.slide_layer
    desk.open(other_slide())
    assert desk.map is None
    assert not layer.visible
    desk.presenter.choose_slide(layer)
    assert (desk.map, layer.visible) == (first, True)
    desk.use_model("demo")
    assert desk.map is None
    desk.use_model("her2st")
    assert desk.map is first


def test_a_map_that_is_made_for_another_slide_does_not_come_into_sight() -> None:
    desk = Desk()
    layer = desk.state.slide_layer
    desk.background.hold = True
    desk.predict()
    desk.background.hold = False
    desk.open(other_slide())
    desk.background.release()
    assert desk.map is None
    assert desk.viewer.layers[1].name == "C9 · ERBB2 · predicted"
    assert not desk.viewer.layers[1].visible
    desk.presenter.choose_slide(layer)
    assert desk.map is not None


def test_limits_by_hand_belong_to_their_gene() -> None:
    desk = Desk()
    desk.predict()
    fitted = desk.state.limits
    desk.heatmap.layer.contrast_limits = (0.2, 0.4)  # as napari's slider does
    assert (desk.state.limits.low, desk.state.limits.high, desk.state.limits.by_hand) == (0.2, 0.4, True)
    desk.state.choose_gene("KRT8")
    assert not desk.state.limits.by_hand
    desk.state.choose_gene("ERBB2")
    assert (desk.state.limits.low, desk.state.limits.high) == (0.2, 0.4)
    desk.workspace.maps.forget_limits()
    assert np.allclose((desk.state.limits.low, desk.state.limits.high), (fitted.low, fitted.high))
    desk.state.style.percentiles = (20.0, 80.0)
    assert fitted.low < desk.state.limits.low < desk.state.limits.high < fitted.high


def test_a_file_of_another_reader_is_opened_by_ours() -> None:
    desk = Desk()
    opened = other_slide()
    desk.services.open_slide = lambda path: opened
    layer = desk.viewer.add_image(np.zeros((960, 1280, 3), np.uint8), name="drawn by napari")
    layer._source = SimpleNamespace(path="/nowhere/D1.svs", reader_plugin=None, sample=None, widget=None, parent=None)
    desk.background.hold = True
    desk.presenter.choose_slide(layer)
    assert (desk.job.text, desk.state.slide) == ("Opening drawn by napari…", None)
    desk.background.release()
    assert desk.state.slide is opened
    assert desk.job.text == READY


def test_a_job_does_not_wait_for_the_trial_of_the_machine_which_is_made_when_it_has_ended() -> None:
    desk, trials = Desk(), []

    def calibrate(device: str, cancelled) -> None:
        trials.append(cancelled())
        if cancelled():
            raise Cancelled("stopped")

    desk.services.calibrate = calibrate
    desk.background.hold = True
    desk.predict()
    assert desk.job.status.step == "getting ready"
    desk.background.hold = False
    desk.presenter.warm_up()  # while the job waits for a thread
    assert trials == [True]
    desk.background.release()
    assert trials == [True, False]
    desk.predict()
    assert len(trials) == 2


def test_pressing_predict_on_a_view_shows_at_once_that_it_began() -> None:
    desk = Desk()
    desk.pace.draw_soon = lambda: None  # nothing is drawn yet
    desk.background.hold = True
    desk.predict("view")
    assert (desk.job.status.state, desk.job.status.step) == (State.RUNNING, "getting ready")


@pytest.mark.parametrize("where", ["whole", "view"])
def test_the_first_cells_and_the_last_in_sight_are_drawn_at_once_and_no_others(where: str) -> None:
    desk, waits = Desk(), []
    desk.services.chunk = 5
    desk.pace.draw_next = lambda: waits.append(False)
    desk.pace.draw_soon = lambda: waits.append(True)
    seen = []
    write = desk.presenter.maps.write

    def noted(*args: Any, **how: Any) -> None:
        waits.clear()
        write(*args, **how)
        seen.append((desk.controller.status.step, waits[0]))

    desk.presenter.maps.write = noted
    desk.predict(where)
    in_sight = [waited for step, waited in seen if step == "predicting"]
    assert len(in_sight) > 2
    assert in_sight == [False, *[True] * (len(in_sight) - 2), False]
    assert all(waited for step, waited in seen if step == "around")


def test_closing_tells_the_sections_once() -> None:
    desk, told = Desk(), []
    desk.workspace.when_closing(lambda: told.append("closed"))
    desk.presenter.close()
    desk.presenter.close()
    assert told == ["closed"]
    desk.state.events.gene.connect(told.append)
    desk.state.close()
    desk.state.choose_gene("KRT8")
    assert told == ["closed"]


def test_a_slide_that_is_no_h_and_e_is_told_from_an_empty_view() -> None:
    desk = Desk()
    desk.state.slide.mask.mask[:] = False
    for where in ("whole", "view"):
        desk.predict(where)
        assert status_sentence(desk.job.status).endswith(NO_TISSUE)
    desk.services.no_stain = why = "This slide is dark, as in fluorescence."
    desk.services.warning = ["The background of this slide is dark, as in fluorescence: that means nothing."]
    desk.presenter.make_ready()
    assert (desk.job.text, desk.job.ready, desk.job.warnings) == (why, True, [])
    for where in ("whole", "view"):
        desk.predict(where)
        assert why in status_sentence(desk.job.status), "moving the view does not help"
        assert desk.job.status.follow == (where == "view")
