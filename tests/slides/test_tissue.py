"""Where the tissue is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_nh2st.slides import TissueMask, open_slide
from napari_nh2st.slides.find_tissue import tissue_in
from support.slides import tiff

GLASS, PINK, PURPLE = (240, 238, 242), (225, 150, 190), (120, 80, 150)


def view(kind: np.ndarray, seed: int = 0) -> np.ndarray:
    """Noisy glass (0), pink (1) and purple (2)."""
    colours = np.array([GLASS, PINK, PURPLE], float)[kind]
    return np.clip(colours + np.random.default_rng(seed).normal(0, 6, colours.shape), 0, 255).astype(np.uint8)


def disc(radius: float = 60, side: int = 200) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side / 2
    return (np.hypot(x, y) < radius).astype(int)


def test_a_disc_is_found():
    kind = disc()
    kind[80:90, 90:100] = 2
    assert np.mean(tissue_in(view(kind)) == (kind > 0)) > 0.98


@pytest.mark.parametrize("glass", [(255, 255, 255), (205, 200, 215), (238, 220, 232)])
def test_the_tint_of_the_glass_does_not_matter(glass):
    kind = disc()
    pixels = view(kind)
    pixels[kind == 0] = np.clip(np.random.default_rng(1).normal(glass, 3, ((kind == 0).sum(), 3)), 0, 255)
    assert np.mean(tissue_in(pixels) == (kind > 0)) > 0.97


def test_all_glass_and_all_tissue_are_not_split():
    assert tissue_in(view(np.zeros((150, 150), int))).mean() == 0
    assert tissue_in(np.full((50, 50, 3), 255, np.uint8)).mean() == 0
    patchy = (ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(150, 150)), 5) > 0) + 1
    assert tissue_in(view(patchy)).mean() > 0.99


def test_holes_specks_and_black_borders():
    kind = disc()
    kind[95:105, 95:105] = 0
    pixels = view(kind)
    pixels[5:9, 5:9] = PURPLE
    pixels[:, :12] = 0
    found = tissue_in(pixels)
    assert found[95:105, 95:105].all()
    assert not found[:20, :20].any()
    assert not found[:, :8].any()


def test_fluorescence_is_bright_on_dark():
    kind = disc()
    pixels = np.where(kind[:, :, None] > 0, (200, 40, 10), (4, 2, 1)).astype(np.uint8)
    assert np.mean(tissue_in(pixels) == (kind > 0)) > 0.97
    assert tissue_in(np.zeros((80, 80, 3), np.uint8)).mean() == 0


@pytest.mark.parametrize("shape", [(1, 1), (2, 50), (5, 5)])
def test_tiny_views(shape):
    assert tissue_in(np.full((*shape, 3), 255, np.uint8)).shape == shape
    assert tissue_in(np.full((*shape, 3), PURPLE, np.uint8)).shape == shape


def test_fraction_at_counts_areas_exactly():
    mask = np.random.default_rng(0).random((20, 30)) < 0.4
    tissue = TissueMask.from_array(mask, (200, 300))
    assert (tissue.step, tissue.fraction) == (10, mask.mean())
    fine = np.kron(mask, np.ones((10, 10)))
    centres = np.array([[50, 40], [123, 77], [5, 5], [300, 200], [-500, 3]])
    padded = np.pad(fine, 700)
    for side in (2, 26, 100):
        got = tissue.fraction_at(centres, side)
        for (x, y), value in zip(centres, got, strict=True):
            h = side // 2
            expected = padded[700 + y - h : 700 + y + h, 700 + x - h : 700 + x + h].mean()
            assert value == pytest.approx(expected, abs=1e-9)
    assert tissue.fraction_at(np.empty((0, 2)), 10).shape == (0,)


def test_an_edited_mask_of_any_resolution():
    tissue = TissueMask.from_array(np.array([[0, 3], [0, 0], [0, 1]]), (300, 1000))
    assert tissue.steps == (100, 500)
    assert tissue.fraction_at([[750, 50], [250, 50], [500, 50], [750, 150]], 50) == pytest.approx([1, 0, 0.5, 0])
    for wrong in (np.zeros((0, 4)), np.zeros((2, 2, 3))):
        with pytest.raises(ValueError, match="tissue mask"):
            TissueMask.from_array(wrong, (10, 10))


def test_a_slides_mask_is_in_its_frame_and_kept(tmp_path):
    kind = np.kron(disc(), np.ones((6, 6), int))
    with open_slide(tiff(tmp_path / "s.tif", view(kind)), mpp=2.0) as slide:
        tissue = slide.tissue()
        assert tissue is slide.tissue()
        assert tissue.step == 4
        assert tissue.fraction == pytest.approx((kind > 0).mean(), abs=0.02)
        assert tissue.fraction_at([[600, 600], [30, 30]], 100).tolist() == [1, 0]
        assert slide.with_mpp(1.0).tissue().step == 8
