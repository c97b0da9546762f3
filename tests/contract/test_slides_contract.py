"""Every reader in the table of slide formats answers alike."""

from __future__ import annotations

import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

from napari_nh2st.errors import SlideError
from napari_nh2st.geometry import Box
from napari_nh2st.slides import FORMATS, Slide, open_slide
from support.slides import MAKERS, WITHOUT_PIXEL_SIZE, picture

LOSSY = {"jpeg": 12, "sakura": 4}


def test_every_format_has_a_maker():
    assert set(MAKERS) == set(FORMATS)


@pytest.fixture(params=sorted(FORMATS))
def made(request, tmp_path):
    """A slide of one format, with the pixels it was made of."""
    pixels = picture()
    make, suffix = MAKERS[request.param]
    path = make(tmp_path / f"a slide{suffix}", pixels)
    slide = open_slide(path)
    yield request.param, slide, pixels, path
    slide.close()


def close_to(name: str, got: np.ndarray, expected: np.ndarray) -> bool:
    if got.shape != expected.shape:
        return False
    return int(np.abs(got.astype(int) - expected).max()) <= LOSSY.get(name, 0)


def test_names_itself_and_its_levels(made):
    name, slide, pixels, path = made
    assert isinstance(slide, Slide)
    assert (slide.format, slide.path, slide.shape) == (name, path, pixels.shape[:2])
    assert path.name.endswith(FORMATS[name].suffixes)
    for level in slide.levels:
        assert isinstance(level, zarr.Array)
        assert (level.dtype, level.ndim, level.shape[2], level.size > 0) == (np.uint8, 3, 3, True)
    assert slide.downsamples[0] == (1.0, 1.0)
    assert close_to(name, slide.levels[0][:], pixels)


def test_reads_level_0_as_it_is_and_white_outside(made):
    name, slide, pixels, _ = made
    got = slide.read(-5, -7, 250, 320, 1)
    assert (got.dtype, got.shape) == (np.uint8, (320, 250, 3))
    assert close_to(name, got[7 : 7 + 301, 5 : 5 + 233], pixels)
    assert (got[:7] == 255).all()
    assert (got[:, 5 + 233 :] == 255).all()
    assert (slide.read(10_000, 0, 8, 8, 1) == 255).all()


@pytest.mark.parametrize("scale", [0.7, 1.37, 2.0, 5.5])
def test_a_pixel_is_the_same_in_whichever_block_it_is_read(made, scale):
    _, slide, _, _ = made
    whole = slide.read(-20, -20, 400, 420, scale)
    rng = np.random.default_rng(1)
    for _ in range(12):
        x, y, width, height = (int(v) for v in rng.integers((-20, -20, 1, 1), (300, 300, 80, 80)))
        part = slide.read(x, y, width, height, scale)
        assert np.array_equal(part, whole[y + 20 : y + 20 + height, x + 20 : x + 20 + width])


def test_pixel_size_has_a_source_or_must_be_given(made):
    name, slide, _, path = made
    if name in WITHOUT_PIXEL_SIZE:
        assert (slide.mpp, slide.mpp_source) == (None, "none")
        with pytest.raises(SlideError, match="mpp="):
            slide.require_mpp()
    else:
        assert slide.require_mpp() == pytest.approx(0.5)
        assert slide.mpp_source not in ("none", "user")
    assert (open_slide(path, mpp=0.3).mpp, open_slide(path, mpp=0.3).mpp_source) == (0.3, "user")
    assert (slide.with_mpp(0.4).require_mpp(), slide.with_mpp(0.4, "array pitch").mpp_source) == (0.4, "array pitch")


def test_fingerprint_is_of_the_content(made, tmp_path):
    name, slide, _, path = made
    copy = tmp_path / "elsewhere" / ("renamed" + path.suffix)
    copy.parent.mkdir()
    (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
    if name == "mirax":
        shutil.copytree(path.with_suffix(""), copy.with_suffix(""))
    if name == "hamamatsu":
        for file in path.parent.glob(f"{path.stem}*.*g*"):
            shutil.copy(file, copy.parent)
    if name != "ome-tiff":  # whose own name is in its metadata
        assert open_slide(copy).fingerprint == slide.fingerprint
    changed = MAKERS[name][0](tmp_path / path.name, picture(seed=5))
    assert open_slide(changed).fingerprint != slide.fingerprint
    assert len(bytes.fromhex(slide.fingerprint)) == 16


def test_threads_and_other_processes_read_the_same(made):
    _, slide, _, _ = made
    boxes = [(x, y, 50, 60, 1.3) for x in range(0, 200, 40) for y in range(0, 200, 40)]
    alone = [slide.read(*box) for box in boxes]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda box: slide.read(*box), boxes))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    again = pickle.loads(pickle.dumps(slide))
    assert np.array_equal(again.read(*boxes[3]), alone[3])


def test_whole_slides_have_no_damage_and_closed_ones_say_so(made):
    _, slide, _, _ = made
    assert not slide.damaged(Box(0, 0, 233, 301))
    assert not slide.synthetic
    assert 0 <= slide.tissue().fraction <= 1
    slide.close()
    with pytest.raises(SlideError, match="closed"):
        slide.read(0, 0, 4, 4, 1)
