"""Ways to begin and the tour, without a window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel

from napari_nh2st.viewer.layers.frames import slide_layer_data
from napari_nh2st.viewer.start.beginning import Beginning
from napari_nh2st.viewer.start.tour import STEPS, Tour
from viewer.fakes import FakeSlide
from viewer.without_window import Desk


class View:
    """Remembers what is shown."""

    def __init__(self) -> None:
        self.empty = self.offered = False
        self.said, self.step = "", ""

    def show_empty(self, on: bool) -> None:
        self.empty = on

    def offer_tour(self, on: bool) -> None:
        self.offered = on

    def say(self, text: str) -> None:
        self.said = text

    def show_step(self, step: Any, number: int, of: int) -> None:
        self.step = f"{step.part} {number}/{of}"

    def hide_steps(self) -> None:
        self.step = ""


class Bench(Desk):
    """A desk on which nothing is open yet."""

    def __init__(self) -> None:
        super().__init__()
        self.close_slides()
        self.view = View()
        self.beginning = Beginning(self.workspace, self.view)
        self.tour = Tour(self.workspace, self.beginning, self.view)

    def close_slides(self) -> None:
        self.viewer.layers.clear()
        self.presenter.choose_slide(None)


@pytest.fixture
def asked(monkeypatch) -> list[Any]:
    """Return what napari was asked to open; nothing is."""
    asked: list[Any] = []
    monkeypatch.setattr(ViewerModel, "open", lambda self, path, *, plugin: asked.append((Path(path).name, plugin)))
    monkeypatch.setattr(ViewerModel, "open_sample", lambda self, *sample: asked.append(sample))
    return asked


def test_the_ways_to_begin_go_with_a_slide_and_come_back_with_the_last_one() -> None:
    bench = Bench()
    assert bench.view.empty
    bench.open(FakeSlide())
    assert not bench.view.empty
    bench.predict()
    bench.close_slides()
    assert bench.view.empty


def test_what_is_opened_and_where_the_next_one_is_looked_for(asked, small_slide) -> None:
    bench = Bench()
    assert bench.beginning.folder == ""
    bench.beginning.open_demo()
    bench.beginning.open_slides(["/slides/a.svs", "/slides/b.svs"])
    assert asked == [("napari-nh2st", "demo-tissue"), ("a.svs", "napari-nh2st"), ("b.svs", "napari-nh2st")]
    slide = FakeSlide()
    slide.path = small_slide
    bench.open(slide)
    assert bench.beginning.folder == str(small_slide.resolve().parent)


def test_a_folder_of_results_is_found_or_asked_for(asked, tmp_path) -> None:
    bench = Bench()
    bench.beginning.open_results(str(tmp_path))
    assert bench.view.said.endswith("holds no results. Choose a folder whose name ends in .nh2st.")
    (tmp_path / "a.nh2st").mkdir()
    for folder in (tmp_path, tmp_path / "a.nh2st"):
        bench.beginning.open_results(str(folder))
        assert bench.view.said == ""
    (tmp_path / "C9.csv").touch()
    bench.beginning.open_results(str(tmp_path / "C9.csv"))
    assert asked == [("a.nh2st", "napari-nh2st")] * 2 + [("C9.csv", "napari-nh2st")]
    (tmp_path / "b.nh2st").mkdir()
    bench.beginning.open_results(str(tmp_path))
    assert "holds 2 results. Choose one" in bench.view.said


def test_what_cannot_be_opened_is_said_where_a_person_looks(monkeypatch) -> None:
    def refuse(self: ViewerModel, path: str, *, plugin: str) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(ViewerModel, "open", refuse)
    bench = Bench()
    bench.beginning.open_slides(["/slides/a.svs"])
    assert "the disk is gone" in bench.view.said


def test_the_tour_opens_the_demo_walks_five_steps_and_is_offered_once(monkeypatch) -> None:
    bench = Bench()
    monkeypatch.setattr(ViewerModel, "open_sample", lambda self, *sample: bench.open(FakeSlide()))
    assert bench.view.offered
    bench.tour.begin()
    assert not bench.view.offered
    seen = []
    while bench.view.step:
        seen.append(bench.view.step)
        bench.tour.go_on()
    assert seen == ["slide 1/5", "model 2/5", "predict 3/5", "gene 4/5", "export 5/5"]
    assert len(STEPS) == 5
    bench.tour.begin()
    bench.tour.go_on()
    bench.tour.go_back()
    assert bench.view.step == "slide 1/5"
    bench.close_slides()
    assert bench.view.step == "", "it points at controls that are gone"


def test_the_tour_can_be_declined(asked) -> None:
    bench = Bench()
    bench.beginning.decline_tour()
    assert not bench.view.offered
    bench.open(FakeSlide())
    assert bench.view.step == ""


def test_slide_layers_of_another_kind_leave_the_dock_empty() -> None:
    bench = Bench()
    data, _, _ = slide_layer_data(FakeSlide())
    bench.viewer.add_image(data, name="a photo")
    assert bench.view.empty
