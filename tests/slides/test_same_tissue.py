"""Copies of a slide are recognised by what they show; other tissue is not, however alike."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, rotate, zoom

from napari_nh2st.geometry import Box
from napari_nh2st.slides import open_slide
from napari_nh2st.slides.keypoints import MOST, WORD, find_keypoints, keypoints_of
from napari_nh2st.slides.same_tissue import Agreement, agreement, mirrored
from support.slides import jpeg, tiff


def tissue(seed: int, coarse: int = 0, side: int = 360) -> np.ndarray:
    """An overview (side, side, 3): fine structure of a seed on coarse structure of another, stained."""
    fine, wide = (
        gaussian_filter(np.random.default_rng(s).normal(size=(side, side)), sigma)
        for s, sigma in ((seed, 2.0), (1000 + coarse, 20.0))
    )
    dark = 30 * fine / fine.std() + 25 * wide / wide.std()
    return np.clip(np.array([170, 120, 165]) - dark[..., None] * [1, 1.2, 0.8], 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return tissue(1)


COPIES = {
    "as it is": lambda p: p,
    "cropped to 60%": lambda p: p[70:286, 90:306],
    "half the size": lambda p: np.asarray(Image.fromarray(p).resize((180, 180), Image.Resampling.BOX)),
    "twice the size": lambda p: np.asarray(Image.fromarray(p).resize((720, 720), Image.Resampling.BICUBIC)),
    "turned by 90 degrees": lambda p: np.rot90(p),
    "turned by 17 degrees": lambda p: rotate(p, 17, reshape=True, order=1, cval=235),
    "mirrored": lambda p: p[:, ::-1],
    "mirrored, upside down and cropped": lambda p: p[::-1, ::-1].transpose(1, 0, 2)[40:300, 60:320],
    "brighter": lambda p: np.clip(p * 1.1 + 10.0, 0, 255).astype(np.uint8),
    "grey": lambda p: np.repeat(p.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8),
    "noisy": lambda p: np.clip(p + np.random.default_rng(0).normal(0, 6, p.shape), 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_shows_the_same_tissue(pixels, copy):
    found = agreement(find_keypoints(pixels), find_keypoints(np.ascontiguousarray(COPIES[copy](pixels))))
    assert found.same_tissue, found
    assert found.share > 0.4


@pytest.mark.parametrize("other", [tissue(2, coarse=5), tissue(2), tissue(3)])
def test_other_tissue_is_other_tissue_even_with_the_same_outline(pixels, other):
    found = agreement(find_keypoints(pixels), find_keypoints(other))
    assert not found.same_tissue
    assert found.share < 0.15


def test_words_of_the_mirror_image_are_those_of_mirrored_keypoints(pixels):
    one, other = find_keypoints(pixels[:, ::-1]), mirrored(find_keypoints(pixels))
    distance = np.abs(one.places[:, None] - (other.places + np.array([360, 0]))[None]).sum(axis=2)
    distance += np.abs(one.sizes[:, None] - other.sizes[None])
    nearest = distance.argmin(axis=1)
    pairs = distance.min(axis=1) < 0.2
    turn = np.angle(np.exp(1j * (one.angles - other.angles[nearest])))
    pairs &= np.abs(turn) < 0.1
    assert pairs.mean() > 0.8
    off = np.abs(one.words.astype(int) - other.words[nearest])[pairs]
    assert off.mean() < 0.5


def test_nothing_to_see_is_like_nothing():
    white = find_keypoints(np.full((300, 300, 3), 240, np.uint8))
    assert (len(white), white.words.shape) == (0, (0, WORD))
    assert agreement(white, white) == Agreement()
    assert len(find_keypoints(np.zeros((3, 500, 3), np.uint8))) == 0


def test_a_slide_is_seen_from_afar_in_its_own_pixels(pixels, tmp_path):
    large = zoom(pixels, (4, 4, 1), order=1)
    path = tiff(tmp_path / "s.tif", large, resolution=(1e4 / 2, 1e4 / 2), resolutionunit=3)
    with open_slide(path) as slide, open_slide(jpeg(tmp_path / "s.jpg", large)) as again:
        whole, part, unknown = keypoints_of(slide), keypoints_of(slide, Box(400, 400, 1400, 1500)), keypoints_of(again)
        assert len(keypoints_of(slide, Box(5, 5, 20, 20))) == 0
    assert 50 < len(whole) <= MOST
    assert part.places.min() > 390
    for other in (part, unknown):
        assert agreement(whole, other).same_tissue
    nearest = np.abs(whole.places[:, None] - part.places[None]).sum(axis=2).min(axis=0)
    assert (nearest < 2).mean() > 0.25
