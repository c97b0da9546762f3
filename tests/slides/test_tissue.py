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


STAINS = {
    "usual": (PINK, PURPLE),
    "pale": ((238, 205, 222), (205, 175, 210)),
    "dark": ((120, 40, 110), (45, 18, 60)),
    "nearly black": ((60, 20, 62), (25, 9, 32)),
}


def stained(where: np.ndarray, stain: str = "usual", glass: tuple[int, int, int] = GLASS) -> np.ndarray:
    """A view with patchy tissue of one stain where `where` is True."""
    rng = np.random.default_rng(7)
    patches = ndimage.gaussian_filter(rng.normal(size=where.shape), 1.5)
    share = np.clip(0.5 + 0.35 * patches / patches.std(), 0, 1)[..., None]
    light, dark = (np.array(colour, float) for colour in STAINS[stain])
    pixels = np.where(where[..., None], light * (1 - share) + dark * share, np.array(glass, float))
    return np.clip(pixels + rng.normal(0, 2, pixels.shape), 0, 255).round().astype(np.uint8)


def part(name: str, side: int) -> np.ndarray:
    """Tissue in one part of a square picture."""
    y, x = np.mgrid[:side, :side] / side
    parts = {
        "all": x >= 0,
        "none": x < 0,
        "half": x < 0.42,
        "inside": (x > 0.15) & (x < 0.8) & (y > 0.2) & (y < 0.8),
        "a corner": (x < 0.5) & (y < 0.5),
        "all but a corner": ~((x < 0.4) & (y < 0.4)),
        "all but a strip at the edge": x > 0.1,
        "a stripe": (x > 0.3) & (x < 0.7),
        "all but a stripe": ~((x > 0.33) & (x < 0.67)),
        "a disc": np.hypot(x - 0.5, y - 0.5) < 0.35,
        "half along the diagonal": x + y < 1,
    }
    return parts[name]


@pytest.mark.parametrize("millimetres", [0.3, 0.6, 1.0, 2.0])
@pytest.mark.parametrize(
    "name",
    [
        "all",
        "none",
        "half",
        "inside",
        "a corner",
        "all but a corner",
        "all but a strip at the edge",
        "a stripe",
        "all but a stripe",
        "a disc",
        "half along the diagonal",
    ],
)
def test_glass_that_touches_the_border_of_a_picture_is_no_hole(name, millimetres):
    where = part(name, round(millimetres * 1000 / 8))
    assert tissue_in(stained(where)).mean() == pytest.approx(where.mean(), abs=0.05)


@pytest.mark.parametrize("stain", STAINS)
@pytest.mark.parametrize("name", ["all", "half", "all but a corner", "a disc"])
def test_pale_and_dark_stains(stain, name):
    where = part(name, 125)
    assert tissue_in(stained(where, stain)).mean() == pytest.approx(where.mean(), abs=0.05)


@pytest.mark.parametrize("glass", [GLASS, (255, 255, 255), (205, 200, 215), (225, 225, 225)])
@pytest.mark.parametrize("padding", [0, 90, 128, 180, 255])
@pytest.mark.parametrize("name", ["all", "none", "half", "a disc"])
def test_padding_around_what_was_scanned_is_neither_tissue_nor_glass(name, padding, glass):
    where = part(name, 125)
    pixels = np.full((230, 250, 3), padding, np.uint8)
    pixels[40:165, 60:185] = stained(where, glass=glass)
    found = tissue_in(pixels)
    assert found.sum() == pytest.approx(where.sum(), abs=0.05 * where.size)


def test_rows_of_tissue_cores_stay_apart():
    y, x = np.mgrid[:400, :400]
    where = np.hypot((x % 100) - 50, (y % 100) - 50) < 36
    found = tissue_in(stained(where))
    assert ndimage.label(found)[1] == 16
    assert found.mean() == pytest.approx(where.mean(), abs=0.04)


def test_the_edge_of_a_coverslip_and_black_ink_are_no_tissue():
    where = part("a disc", 200)
    pixels = stained(where)
    pixels[:, 6:10] = (150, 149, 151)
    pixels[185:195, 20:180] = (35, 34, 38)
    found = tissue_in(pixels)
    assert not found[:, :14].any()
    assert not found[182:].any()
    assert found.mean() == pytest.approx(where.mean(), abs=0.03)


@pytest.mark.parametrize("ink", [(30, 60, 180), (40, 130, 70), (60, 140, 200)])
def test_green_and_blue_ink_is_left_out_and_said(tmp_path, ink):
    where = part("a disc", 200)
    pixels = stained(where)
    pixels[5:15, 10:150] = ink
    pixels[90:100, 90:120] = ink
    with open_slide(tiff(tmp_path / "s.tif", pixels), mpp=8.0) as slide:
        found = slide.tissue().mask
        assert found.mean() == pytest.approx(where.mean() - 300 / where.size, abs=0.03)
        assert not found[:20].any()
        assert not found[91:99, 91:119].any()
        assert any("green or blue ink on 4.2% of the slide" in line for line in slide.warnings)


def test_a_stain_that_is_blue_itself_is_tissue():
    where = part("half", 125)
    pixels = stained(where)
    pixels[where] = pixels[where] * np.array([0.4, 0.9, 1.1])
    assert tissue_in(pixels).mean() == pytest.approx(where.mean(), abs=0.03)


def test_a_small_picture_through_the_slide(tmp_path):
    """A camera's field of 0.6 mm: tissue on 42% of it, glass on the rest."""
    pixels = np.full((600, 600, 3), 244, np.uint8)
    pixels[:, :250] = np.kron(stained(np.ones((60, 25), bool)), np.ones((10, 10, 1), np.uint8))
    with open_slide(tiff(tmp_path / "s.tif", pixels), mpp=1.0) as slide:
        assert slide.tissue().fraction == pytest.approx(0.417, abs=0.02)


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


@pytest.mark.parametrize("shape", [(600, 800), (601, 803), (64, 2000)])
@pytest.mark.parametrize("colour", [0, 255, 20])
def test_the_white_outside_a_slide_is_no_tissue_of_a_dark_one(tmp_path, shape, colour):
    path = tiff(tmp_path / "a.tif", np.full((*shape, 3), colour, np.uint8), compression="zlib")
    with open_slide(path, mpp=1) as slide:
        assert slide.tissue().fraction == 0
