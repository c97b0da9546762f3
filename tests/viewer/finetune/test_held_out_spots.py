"""Where a picture has the held-out spots, whether they are few or many."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nh2st.viewer.finetune.held_out_spots import HeldOutSpots, SpotBox


def spots(columns: int, rows: int) -> HeldOutSpots:
    """Return spots 100 apart whose value is their column."""
    xy = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2).astype(np.float32) * 100
    values = xy[:, 0] / 100
    colours = np.ones((256, 4))
    colours[:, :3] = np.linspace(0, 1, 256)[:, None]
    return HeldOutSpots(xy, xy[:0], 100.0, (values, values / 2), (0.0, columns - 1.0), colours, "counts")


def test_a_picture_keeps_the_shape_of_the_section_within_bounds() -> None:
    assert spots(6, 6).shape == 1
    assert spots(60, 2).shape == 0.6
    assert spots(2, 60).shape == 1.6


def test_spots_lie_in_the_middle_and_are_found_again() -> None:
    box = SpotBox(spots(6, 5), 10, 20, 150, 150)
    pixels = box.pixels(box.spots.xy)
    np.testing.assert_allclose(pixels.mean(axis=0), [85, 95], atol=1e-3)
    assert [box.spot_at(*place) for place in pixels[::7]] == list(range(0, 30, 7))
    assert box.spot_at(11, 21) is None
    assert box.spot_at(*(pixels[7] + (150, 0))) is None  # beside the box
    assert box.dot < np.diff(pixels[:2, 0])[0]


def test_a_spot_says_its_values() -> None:
    assert spots(6, 5).tip(4) == "measured 4.00, predicted 2.00 counts"


@pytest.mark.viewer
@pytest.mark.parametrize(("columns", "rows"), [(6, 5), (60, 80)])
def test_few_and_many_spots_have_their_colours(qtbot, columns: int, rows: int) -> None:
    from napari_nh2st.viewer.finetune.spot_pictures import SpotPictures

    pictures = SpotPictures()
    qtbot.addWidget(pictures)
    pictures.show_spots(spots(columns, rows))
    pictures.resize(320, pictures.heightForWidth(320))
    pictures.show()
    qtbot.waitUntil(lambda: pictures.canvas is not None and not pictures._stale)
    image = pictures.grab().toImage()
    some = range(columns * (rows // 2), columns * (rows // 2 + 1), columns // 6)
    lightness = [image.pixelColor(pictures.place_of(at)).lightness() for at in some]
    assert lightness == sorted(lightness)
    assert lightness[-1] - lightness[0] > 180
