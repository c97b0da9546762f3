"""Reading at a scale: the right place, the right light, and the same pixel in every block."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from napari_nh2st.errors import SlideError
from napari_nh2st.slides import open_slide
from support.slides import picture, shrunk, tiff


def spots(height: int, width: int, centres: list[tuple[float, float]], sigma: float = 12.0) -> np.ndarray:
    """Dark round spots at (x, y), in continuous pixels, on white."""
    y, x = np.mgrid[:height, :width] + 0.5
    dark = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy in centres)
    return np.repeat((255 - 200 * dark)[:, :, None], 3, axis=2).round().astype(np.uint8)


CENTRES = [(100.5, 100.5), (1500.25, 200.0), (150.0, 1900.75), (1580.0, 1990.0), (900.0, 1111.0)]


@pytest.fixture(scope="module")
def odd_slide(tmp_path_factory):
    """A slide with odd sides and odd ratios, unlike in x and y."""
    big = spots(2101, 1703, CENTRES)
    levels = [shrunk(big, 901, 731), shrunk(big, 463, 375)]
    with open_slide(tiff(tmp_path_factory.mktemp("odd") / "odd.tif", big, levels)) as slide:
        assert len(slide.levels) == 3
        yield slide


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.04, 1.5, 2.0, 2.3318, 3.0, 4.6, 6.0])
@pytest.mark.parametrize("centre", CENTRES)
def test_a_spot_lies_where_it_is_to_a_twentieth_of_a_pixel(odd_slide, scale, centre):
    half = int(60 / scale) + 4
    x0, y0 = (int(v / scale) - half for v in centre)
    got = 255.0 - odd_slide.read(x0, y0, 2 * half, 2 * half, scale)[:, :, 0]
    y, x = np.mgrid[: 2 * half, : 2 * half] + 0.5
    place = ((x0 + (x * got).sum() / got.sum()) * scale, (y0 + (y * got).sum() / got.sum()) * scale)
    assert np.abs(np.subtract(place, centre)).max() < 0.05 * max(scale, 1)


@pytest.mark.parametrize("scale", [0.9, 1.0, 1.0041, 2.0, 2.73, 4.6])
def test_no_seams(odd_slide, scale):
    side = int(2101 / scale) + 90
    whole = odd_slide.read(-40, -40, side, side, scale)
    rng = np.random.default_rng(3)
    starts = [
        *rng.integers(-40, side - 200, (10, 2)).tolist(),
        [-40, -40],
        [int(1703 / scale) - 60, int(2101 / scale) - 60],
    ]
    for x, y in starts:
        width, height = (int(v) for v in rng.integers(1, 110, 2))
        part = odd_slide.read(x, y, width, height, scale)
        assert np.array_equal(part, whole[y + 40 : y + 40 + height, x + 40 : x + 40 + width]), (x, y)


def test_a_levels_own_step_is_copied(tmp_path):
    pixels = picture(640, 512)
    half = shrunk(pixels, 320, 256)
    with open_slide(tiff(tmp_path / "x.tif", pixels, [half])) as slide:
        assert np.array_equal(slide.read(3, 5, 200, 300, 2.0), half[5:305, 3:203])
        assert np.array_equal(slide.read(3, 5, 400, 300, 1), pixels[5:305, 3:403])


def test_the_mean_is_kept_and_borders_fade_to_white(tmp_path):
    pixels = np.full((500, 500, 3), 40, np.uint8)
    with open_slide(tiff(tmp_path / "x.tif", pixels)) as slide:
        got = slide.read(-10, -10, 230, 230, 2.5)
        assert (got[12:208, 12:208] == 40).all()
        assert (got[:8] == 255).all()
        total = (255.0 - got[:, :, 0]).sum() * 2.5**2
        assert total == pytest.approx((255 - 40) * 500 * 500, rel=2e-3)


def test_far_from_the_origin_nothing_is_lost(tmp_path):
    y = np.arange(40_000)
    stripe = np.where((y // 500) % 2, 255, 0).astype(np.uint8)
    pixels = np.repeat(np.repeat(stripe[:, None, None], 64, axis=1), 3, axis=2)
    with open_slide(tiff(tmp_path / "long.tif", pixels)) as slide:
        scale = 1.0317
        got = slide.read(0, 38_000, 32, 700, scale)[:, 10, 0].astype(float)
        centres = (38_000 + np.arange(700) + 0.5) * scale
        expected = np.where((centres // 500) % 2, 255, 0)
        sure = np.abs((centres + 250) % 500 - 250) > 2
        assert (got[sure & (centres < 39_990)] == expected[sure & (centres < 39_990)]).all()


@pytest.mark.parametrize(
    ("width", "height", "scale"), [(-1, 4, 1), (4, 4, 0), (4, 4, float("nan")), (4, 4, float("inf"))]
)
def test_senseless_requests(odd_slide, width, height, scale):
    with pytest.raises(ValueError, match="cannot read"):
        odd_slide.read(0, 0, width, height, scale)


def test_too_much_at_once_and_nothing(odd_slide):
    with pytest.raises(SlideError, match="too many"):
        odd_slide.read(0, 0, 30_000, 30_000, 1)
    assert odd_slide.read(0, 0, 0, 5, 1).shape == (5, 0, 3)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_a_forgotten_slide_gives_its_file_back_and_its_levels_keep_it(tmp_path):
    path = tiff(tmp_path / "x.tif", picture())

    def holders() -> int:
        gc.collect()
        return sum(link.is_symlink() and link.readlink() == path for link in Path("/proc/self/fd").iterdir())

    level = open_slide(path).levels[0]
    assert holders() == 1
    assert level[:5, :5].shape == (5, 5, 3)
    del level
    assert holders() == 0
    with pytest.raises(SlideError):
        open_slide(tiff(path, picture().astype(np.uint32)))
    assert holders() == 0
