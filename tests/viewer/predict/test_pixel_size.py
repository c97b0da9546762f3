"""The pixel size as a person gives it, without a window."""

from __future__ import annotations

import pytest

from napari_nh2st.viewer.predict.pixel_size import PixelSize, doubted, number, refused
from viewer.fakes import FakeSlide


class View:
    """Remembers what is shown."""

    def __init__(self) -> None:
        self.size, self.editable, self.fields, self.value = "", False, False, ""
        self.former = self.said = self.measured = ""

    def show_size(self, text: str, *, editable: bool) -> None:
        self.size, self.editable = text, editable

    def show_fields(self, on: bool, value: str = "") -> None:
        self.fields, self.value = on, value

    def show_former(self, text: str) -> None:
        self.former = text

    def say(self, text: str) -> None:
        self.said = text

    def show_measured(self, text: str) -> None:
        self.measured = text


class Bench:
    """A slide whose pixel size is given."""

    def __init__(self, mpp: float | None) -> None:
        self.view, self.slide = View(), FakeSlide(mpp)
        self.size = PixelSize(self.view, self.give)
        self.size.show(self.slide)

    def give(self, mpp: float, source: str) -> None:
        self.slide = self.slide.with_mpp(mpp, source)
        self.size.show(self.slide)


def test_an_unknown_size_is_asked_for_and_nothing_is_guessed() -> None:
    bench = Bench(None)
    assert (bench.view.size, bench.view.fields, bench.view.value) == ("pixel size unknown", True, "")
    bench.size.enter("")
    assert bench.slide.mpp is None
    assert bench.view.said.startswith("Type how many micrometres")
    bench.size.enter("0,25 µm/px")
    assert (bench.slide.mpp, bench.view.size) == (0.25, "0.25 µm/px (typed in)")
    assert (bench.view.fields, bench.view.said, bench.view.former) == (False, "", "")


def test_an_objective_says_that_it_is_nominal_and_the_size_of_before_comes_back() -> None:
    bench = Bench(0.499)
    bench.size.edit()
    assert (bench.view.fields, bench.view.value) == (True, "0.499")
    bench.size.choose_objective("40x")
    assert bench.view.size == "0.25 µm/px (nominal 40x)"
    assert bench.view.former == "0.499 µm/px (aperio)"
    bench.size.take_back()
    assert (bench.view.size, bench.view.former) == ("0.499 µm/px (aperio)", "0.25 µm/px (nominal 40x)")
    bench.size.show(None)
    assert (bench.view.size, bench.view.fields, bench.view.former) == ("", False, "")


def test_a_doubt_asks_once() -> None:
    bench = Bench(None)
    bench.size.enter("5")
    assert bench.view.said == "5 µm/px is unusual: most scans have 0.1 to 2. If it is right, set it once more."
    bench.size.enter("0.06")
    assert bench.slide.mpp is None, "another number is another doubt"
    bench.size.enter("0.06")
    assert bench.slide.mpp == 0.06


def test_a_line_along_a_scale_bar_gives_the_size() -> None:
    bench = Bench(None)
    assert bench.size.work_out("200", "µm") is None
    assert bench.view.measured.startswith("Draw a line")
    bench.size.draw(400.0)
    bench.size.work_out("", "µm")
    assert bench.view.measured == "The line is 400 pixels long. How long is the scale bar?"
    bench.size.enter_length("0.2", "mm")
    assert bench.view.measured == "The line is 400 pixels long: 0.5 µm/px."
    assert bench.view.size == "0.5 µm/px (measured on the image)"


@pytest.mark.parametrize(
    ("mpp", "words"),
    [
        (250, "Did you mean 250 nm? Then type 0.25."),
        (40, "press “40x”"),
        (12, "too wide for a pixel. Give a number from 0.05 to 10."),
        (0.00499, "0.00499 µm is too small"),
        (0.05, ""),
    ],
)
def test_what_is_impossible_is_refused_in_one_line(mpp, words) -> None:
    assert words in refused(mpp)
    assert bool(refused(mpp)) == bool(words)


def test_a_slide_longer_than_glass_is_doubted() -> None:
    assert "120 mm long, longer than a glass slide" in doubted(1.2, (9000, 100_000))
    assert doubted(0.5, (9000, 100_000)) == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.25", 0.25), (" 0,25 ", 0.25), ("0.5 µm/px", 0.5), ("1e999", None), ("-1", None)],
)
def test_numbers_as_people_type_them(text, value) -> None:
    assert number(text) == value
