"""The pictures of a slide's file in the dock, without a window."""

from __future__ import annotations

from pathlib import Path

import pytest
import tifffile

from napari_nh2st.slides import open_slide
from napari_nh2st.viewer.predict.messages import dock_warnings, picture_words, pictures_to_choose
from support.slides import picture, shrunk
from viewer.fakes import FakeServices
from viewer.without_window import Desk

SECTION, OTHER = picture(300, 400, seed=1), shrunk(picture(300, 400, seed=2), 150, 200)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        for pixels, name in ((SECTION, ""), (OTHER, "left"), (shrunk(OTHER, 40, 90), "Label")):
            file.write(
                pixels, tile=(64, 64), photometric="rgb", metadata=None, description=name,
                resolution=(20000, 20000), resolutionunit=3,
            )  # fmt: skip
    return tmp_path / "two.tif"


@pytest.fixture
def desk(path: Path) -> Desk:
    services = FakeServices()
    services.open_slide = open_slide
    return Desk(open_slide(path), services=services)


def test_the_list_names_what_can_be_opened(desk):
    listed = pictures_to_choose(desk.state.slide)
    assert [picture_words(p) for p in listed] == ["1: 400 x 300 px", "2: left, 200 x 150 px"]
    assert any("#2" in line for line in desk.state.slide.warnings)
    slide = desk.state.slide
    assert dock_warnings([*slide.warnings, "a clause"], slide)[-2:] == [
        'The file has another picture, left out here: #2 "left" (200 x 150 px), which shows something else. '
        "Choose one from the list Picture.",
        "A clause.",
    ]


def test_a_slide_with_a_label_alone_has_no_list(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for pixels, name in ((SECTION, ""), (shrunk(OTHER, 40, 90), "Label")):
            file.write(pixels, photometric="rgb", metadata=None, description=name)
    with open_slide(tmp_path / "a.tif") as slide:
        assert pictures_to_choose(slide) == []


def test_choosing_a_picture_opens_it_once(desk, path):
    first = desk.state.slide_layer
    desk.presenter.choose_picture(2)
    second = desk.state.slide_layer
    assert (desk.state.slide.shape, desk.state.slide.picture, str(desk.state.slide.path)) == (
        (150, 200),
        2,
        f"{path}#2",
    )
    assert (first.name, second.name) == ("two", "two #2")
    assert (first.visible, second.visible) == (False, True)
    desk.presenter.choose_picture(1)
    assert desk.state.slide_layer is first
    desk.presenter.choose_picture(2)
    assert desk.state.slide_layer is second
    assert len(desk.viewer.layers) == 2
    desk.presenter.choose_picture(2)
    assert desk.state.slide_layer is second


def test_a_picture_that_is_gone_is_said(desk, path):
    before = desk.state.slide_layer
    path.unlink()
    desk.presenter.choose_picture(2)
    assert "does not exist" in desk.said[-1]
    assert desk.state.slide_layer is before
