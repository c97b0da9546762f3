"""The live view without Qt: centre first, a ring around it, late answers dropped, memory kept, quick looks marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_nh2st.errors import Nh2stError, SlideAway
from napari_nh2st.geometry import Box, TileSet
from napari_nh2st.viewer.predict import view_steps
from napari_nh2st.viewer.predict.events import Around, Arrived, Request, State
from napari_nh2st.viewer.predict.live import Live
from napari_nh2st.viewer.predict.messages import status_sentence
from napari_nh2st.viewer.predict.region import Region
from napari_nh2st.viewer.predict.view_steps import around, nearest, preview_places
from napari_nh2st.viewer.state.services import Services
from viewer.fakes import Bench, FakeServices, FakeSlide, hidden_at

LEFT, RIGHT = Box(100, 100, 750, 750), Box(1600, 900, 2000, 1300)
FINE = 16


class Window(Bench):
    """A view that is moved by hand over a slide."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**{"slide": FakeSlide(shape=(1920, 2560)), **how})
        self.box: Box | None = LEFT
        self.error: Nh2stError | None = None
        self.model, self.pitch = "her2st", None
        self.said: list[str] = []
        self.live = Live(self.controller, self.look, self.said.append)

    def look(self) -> Request | None:
        if self.error is not None:
            raise self.error
        if self.box is None:
            return None
        return Request(self.slide, self.model, Region(self.box), pitch=self.pitch, follow=True)

    def move(self, box: Box | None, *, play: bool = True) -> None:
        self.box = box
        jobs = len(self.view.jobs)
        self.live.rested()
        if play and len(self.view.jobs) > jobs:
            self.play()
        self.live.heard(self.controller.status)

    def start(self, **how: Any) -> None:
        self.live.start()
        self.play(**how)

    def done_in(self, box: Box) -> float:
        """Share of the box's tissue tiles that are there."""
        shown = self.controller.map
        card = self.services.load_card(self.model)
        tiles = self.services.lattice_for(self.slide, card, region=box, pitch=shown.pitch)
        return float(shown.done[shown.cells(tiles)].mean())


@pytest.fixture
def window() -> Window:
    return Window()


def test_centre_first_then_a_ring_then_nothing(window: Window) -> None:
    window.start()
    shown, status = window.controller.map, window.controller.status
    assert (status.state, status.follow) == (State.DONE, True)
    in_sight, ring = window.services.streams
    whole, cell = Box(0, 0, 2560, 1920), shown.cell
    assert around(LEFT, whole, cell / 2).contains(in_sight.centres).all()  # those cut by the window's edge are seen
    assert not around(LEFT, whole, cell / 2).contains(ring.centres).any()
    assert around(LEFT, whole, 325).contains(ring.centres).all()
    first = shown.tiles(window.view.cells[0]).centres
    distance = np.hypot(*(in_sight.centres - (425, 425)).T)
    assert np.hypot(*(first - (425, 425)).T).max() <= np.sort(distance)[len(first) - 1] + 1e-6
    assert window.done_in(around(LEFT, whole, 325)) == 1
    assert shown.count < len(shown.tiles())  # the rest of the slide waits for the view
    jobs = len(window.view.jobs)
    window.live.rested()
    assert len(window.view.jobs) == jobs  # resting on is no reason to ask again


def test_a_small_step_finds_everything_there(window: Window) -> None:
    window.start()
    window.move(Box(200, 200, 850, 850))
    status = window.controller.status
    assert status.state is State.DONE
    assert all(not LEFT.contains(places.centres).any() for places in window.services.streams[2:])
    assert window.done_in(Box(200, 200, 850, 850)) == 1


def test_moving_on_drops_late_answers_and_keeps_the_session(window: Window) -> None:
    window.start(events=4)
    window.move(RIGHT)
    told, count = len(window.view.statuses), window.controller.map.count
    generation, rest = window.view.jobs[0]
    window.controller.receive(generation, Arrived(np.array([0]), hidden_at(np.zeros((1, 2)))))  # late
    assert list(rest)[-1].__class__.__name__ == "Stopped"  # and its work has ended
    assert (len(window.view.statuses), window.controller.map.count) == (told, count)
    assert window.ends() == [State.DONE]  # a view that moves is no cancelled job
    assert len(window.services.sessions) == 1
    assert window.done_in(RIGHT) == 1


def test_whole_slide_and_panned_view_give_the_same_numbers(tiny_model: Path, small_slide: Path) -> None:
    from napari_nh2st.slides import open_slide

    slide, services = open_slide(small_slide), Services()
    for pitch in (None, 32):
        panned = Window(services=services, slide=slide)
        panned.model, panned.pitch = str(tiny_model), pitch
        panned.box = Box(0, 0, 400, 500)
        panned.start()
        for x in (150, 420, 700):
            panned.move(Box(x, 200, x + 400, 900))
        panned.move(Box(300, 0, 1100, 900))
        panned.move(Box(0, 0, 1100, 900))
        whole = Bench(services=services, slide=slide)
        whole.predict(model=str(tiny_model), pitch=pitch)
        assert whole.ends() == [State.DONE]
        assert whole.controller.map.count == panned.controller.map.count > 3
        np.testing.assert_array_equal(panned.controller.map.done, whole.controller.map.done)
        a, b = (m.prediction().hidden.astype(np.float32) for m in (panned.controller.map, whole.controller.map))
        np.testing.assert_allclose(a, b, atol=2e-3)


def test_nothing_starts_where_nothing_is_in_sight(window: Window) -> None:
    window.start()
    jobs = len(window.view.jobs)
    window.error = Nh2stError("the slide is out of sight")
    for _ in range(3):
        window.live.rested()
    assert window.said == ["the slide is out of sight"]  # once
    assert len(window.view.jobs) == jobs
    assert window.controller.status.state is State.IDLE
    window.error = None
    window.move(RIGHT)  # back in sight: it goes on by itself
    assert window.done_in(RIGHT) == 1


def test_where_there_is_no_tissue_it_says_so_and_goes_on(window: Window) -> None:
    window.start()
    window.move(Box(0, 0, 20, 20))
    status = window.controller.status
    assert (status.state, status.total, status.error) == (State.DONE, 0, None)
    assert window.live.on
    window.move(RIGHT)
    assert window.done_in(RIGHT) == 1


def test_stopping_holds_until_it_is_asked_again(window: Window) -> None:
    window.start()
    window.live.stop()
    assert window.ends()[-1] is State.CANCELLED
    jobs = len(window.view.jobs)
    window.move(RIGHT)
    assert len(window.view.jobs) == jobs
    window.live.start()
    window.play(events=1)
    window.live.stop()  # this time while it is at work
    window.play()
    window.live.heard(window.controller.status)
    assert not window.live.on
    assert window.ends()[-1] is State.CANCELLED
    assert window.done_in(RIGHT) < 1


def test_something_else_is_asked_for_meanwhile(window: Window) -> None:
    window.start(events=4)
    window.move(None)  # "whole slide" was chosen
    assert not window.controller.running
    window.controller.predict(Request(window.slide, "her2st"))
    window.box = RIGHT
    window.live.rested()
    assert not window.controller.following  # what a person has asked for is not given up for a view
    window.play()
    assert window.controller.status.share == 1


def test_a_file_that_fails_ends_it(window: Window) -> None:
    window.services.fail = Nh2stError("C9.svs can no longer be read: is the disk still there?")
    window.start()
    window.live.heard(window.controller.status)
    assert window.ends() == [State.FAILED]
    assert not window.live.on
    window.services.fail = None
    window.move(RIGHT)
    assert window.ends() == [State.FAILED]
    window.start()
    assert len(window.services.sessions) == 2  # opened anew: the old one may have met a broken file
    assert window.done_in(RIGHT) == 1


def test_a_slide_that_is_away_is_said_and_followed_again_when_it_is_back(window: Window) -> None:
    window.services.fail = SlideAway("C9.svs can no longer be read: is its disk still there?")
    window.start()
    window.live.heard(window.controller.status)
    assert status_sentence(window.controller.status) == (
        "That did not work: C9.svs can no longer be read: is its disk still there? "
        "When it is back, move the view to go on."
    )
    assert window.live.on
    window.live.rested()  # still away: said again
    window.play()
    assert window.ends() == [State.FAILED, State.FAILED]
    window.live.heard(window.controller.status)
    window.services.fail = None
    window.move(RIGHT)
    assert window.done_in(RIGHT) == 1


def test_damaged_places_are_not_asked_for_again(window: Window, monkeypatch) -> None:
    monkeypatch.setattr("viewer.fakes.hidden_at", lambda centres: np.full((len(centres), 4), np.nan, np.float16))
    window.start()
    assert window.controller.map.count == 0
    asked = list(window.services.asked)
    window.live.start()
    window.play()
    assert window.services.asked == asked


def test_another_model_slide_or_detail(window: Window) -> None:
    window.start()
    coarse = window.controller.map
    window.pitch = FINE
    window.move(LEFT)
    fine = window.controller.map
    assert fine is not coarse
    assert (fine.pitch, fine.fine, coarse.fine) == (FINE, True, False)
    assert window.controller.recall(window.slide, "her2st") is coarse
    assert window.controller.recall(window.slide, "her2st", FINE) is fine
    window.model = "demo"
    window.move(LEFT)
    assert window.controller.map.card.name == "demo"
    window.slide = FakeSlide()
    window.slide.fingerprint = "another"
    window.move(LEFT)
    assert window.controller.map.slide["fingerprint"] == "another"


def test_far_out_a_quick_look_comes_first_and_is_marked(window: Window, monkeypatch) -> None:
    monkeypatch.setattr(view_steps, "PATIENCE_TILES", 5)
    window.pitch, window.box = FINE, Box(0, 0, 2560, 1920)
    window.live.start()
    window.play(events=5)
    shown, status = window.controller.map, window.controller.status
    (looked,) = window.services.previews
    assert 60 <= looked <= 110
    assert status.preview
    assert shown.preview is not None
    covered = np.isfinite(shown.values("ERBB2")).sum()
    assert covered == len(shown.preview.cells)  # every tile in sight has something to show
    assert len(shown.prediction()) == shown.count < covered  # which is not what is exported
    assert status.share < 0.1
    window.play()
    assert window.controller.map.preview is None
    assert not window.controller.status.preview
    assert shown.count == covered
    expected = hidden_at(shown.tiles(np.flatnonzero(shown.done)).centres)[:, 0].astype(np.float32)
    np.testing.assert_array_equal(shown.values("ERBB2").ravel()[shown.done], expected)


def test_a_quick_look_goes_when_one_stops(window: Window, monkeypatch) -> None:
    monkeypatch.setattr(view_steps, "PATIENCE_TILES", 5)
    window.pitch, window.box = FINE, Box(0, 0, 2560, 1920)
    window.live.start()
    window.play(events=5)
    window.live.stop()
    shown = window.controller.map
    assert shown.preview is None
    assert window.view.redrawn[-1] is None
    assert np.isfinite(shown.values("ERBB2")).sum() == shown.count


def test_quick_look_only_where_the_pace_makes_one_wait(window: Window) -> None:
    window.start()
    assert window.services.previews == []
    inputs = window.controller._inputs[1]
    assert not view_steps.takes_long(inputs, 10)
    inputs.seconds, inputs.encoded = 5.0, 10
    assert view_steps.takes_long(inputs, 10)


def test_places_that_stand_for_others() -> None:
    tiles = TileSet.lattice(Box(0, 0, 8000, 6000), scale=2.0, pitch=16, patch=112)
    tiles = tiles.select(np.hypot(*(tiles.centres - (4000, 3000)).T) < 2500)
    chosen, owner = preview_places(tiles, 80)
    assert 60 <= len(chosen) <= 110
    assert owner.shape == (len(tiles),)
    apart = np.abs(tiles.grid - tiles.grid[chosen][owner]).max()
    assert apart <= np.ceil(np.sqrt(len(tiles) / 80))
    (alone,) = (preview_places(tiles.select(np.array([7])))[0],)
    assert list(alone) == [0]


def test_ring_ends_where_the_slide_does() -> None:
    whole = Box(0, 0, 1000, 1000)
    assert around(Box(0, 0, 400, 200), whole, 100) == Box(0, 0, 500, 300)
    assert around(Box(900, 900, 1000, 1000), whole, 50) == Box(850, 850, 1000, 1000)


def test_the_nearest_few() -> None:
    tiles = TileSet.lattice(Box(0, 0, 1000, 1000), scale=1.0, pitch=16, patch=112)
    few = nearest(tiles, (500, 500), 9)
    assert len(few) == 9
    assert np.abs(few.centres - 500).max() < 40
    assert nearest(tiles, (0, 0), 10**6) is tiles


BLOCK = 32 * 32 * 4 * 2  # bytes of hidden vectors of 4 numbers


def test_memory_is_kept_and_what_was_dropped_comes_back() -> None:
    window = Window(memory=2 * BLOCK)
    window.pitch = FINE
    corners = [(300, 300), (1500, 300), (300, 1400), (1500, 1400)]  # each in a block of its own
    for x, y in corners * 2:
        window.box = Box(x, y, x + 150, y + 150)
        window.start()
        shown = window.controller.map
        assert shown.nbytes <= 2 * BLOCK
        assert window.done_in(window.box) == 1  # what is in sight is never what is dropped
        assert shown.count == shown.done.sum()
    assert len(window.services.asked) == 2 * 8  # in sight, and around it
    gone = [cells for cells in window.view.cells if len(cells) and not shown.done[cells].any()]
    assert gone  # the view was told, so that no stale value stays in sight


def test_other_maps_give_way_first() -> None:
    window = Window(memory=2 * BLOCK)
    window.start()
    coarse = window.controller.map
    window.pitch = FINE
    window.move(RIGHT)
    assert coarse.count == 0
    assert window.done_in(RIGHT) == 1


def test_a_view_larger_than_memory_is_filled_from_its_centre() -> None:
    window = Window(memory=2 * 100 * 4 * 2)
    window.pitch, window.box = FINE, Box(0, 0, 2560, 1920)
    window.start()
    (asked,) = window.services.streams
    assert len(asked) == 100
    assert np.abs(asked.centres - (1280, 960)).max() < 300


def test_a_region_larger_than_memory_says_what_to_do() -> None:
    bench = Bench(memory=2 * 100 * 4 * 2)
    bench.predict(pitch=FINE)
    assert "Copy command line" in str(bench.controller.status.error)
    assert bench.services.asked == []


def test_around_is_told_apart_from_what_is_in_sight(window: Window) -> None:
    window.live.start()
    generation, events = window.view.jobs[-1]
    for event in events:
        window.controller.receive(generation, event)
        if isinstance(event, Around):
            assert window.controller.status.step == "around"
            assert window.done_in(LEFT) == 1
            assert event.total == window.controller.status.total
    assert any(status.step == "around" for status in window.view.statuses)


def test_no_model_is_loaded_twice(window: Window, monkeypatch) -> None:
    loaded = []
    load = FakeServices.load_model
    monkeypatch.setattr(FakeServices, "load_model", lambda self, name: loaded.append(name) or load(self, name))
    window.start()
    for x in (200, 400, 600):
        window.move(Box(x, 100, x + 300, 400))
    assert loaded == ["her2st"]
    steps = [s.step for s in window.view.statuses]
    assert steps.count("loading the model") == 1


def test_what_is_made_ready_is_used(window: Window) -> None:
    window.controller.inputs_for(Request(window.slide, "her2st"))
    assert window.services.asked == []  # loaded, not predicted
    assert window.controller.recall(window.slide, "her2st") is None
    window.start()
    assert len(window.services.sessions) == 1
    assert window.done_in(LEFT) == 1
