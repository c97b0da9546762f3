"""The file whose tables repeat a few tiles is a slide like any other."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nh2st.bench.huge import LEVELS, PERIOD, TILE, write_huge
from napari_nh2st.demo.tissue import make_section
from napari_nh2st.slides import open_slide

SIZE = (9000, 7000)  # width, height: neither a multiple of the period nor of a tile


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    pixels = make_section(3, size_mm=(1.6, 1.4)).image
    return write_huge(tmp_path_factory.mktemp("huge") / "huge.tif", pixels, SIZE, mpp=0.5)


@pytest.fixture
def slide(path):
    with open_slide(path) as opened:
        yield opened


def test_it_opens_with_its_levels_and_pixel_size(slide):
    assert slide.shape == (SIZE[1], SIZE[0])
    assert slide.level_shapes[:LEVELS] == [(-(-SIZE[1] // 2**i), -(-SIZE[0] // 2**i)) for i in range(LEVELS)]
    assert slide.mpp == pytest.approx(0.5)
    assert slide.synthetic
    assert not slide.warnings
    assert slide.path.stat().st_size < 12e6


def test_every_period_is_the_same_tile(path, slide):
    """What is read equals the JPEG tile that the table names, in every repetition."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        data = file.filehandle
        data.seek(page.dataoffsets[1])
        tile = np.asarray(Image.open(io.BytesIO(data.read(page.databytecounts[1]))))
    first = slide.read(TILE, 0, TILE, TILE, 1.0)
    assert np.abs(first.astype(int) - tile).max() <= 8  # another JPEG decoder
    assert np.array_equal(first, slide.read(TILE + PERIOD, PERIOD, TILE, TILE, 1.0))


def test_levels_show_the_same_as_the_finest(slide):
    fine = slide.read(0, 0, 512, 512, 1.0).reshape(64, 8, 64, 8, 3).mean(axis=(1, 3))
    coarse = slide.read(0, 0, 64, 64, 8.0)
    assert np.abs(fine - coarse).mean() < 4


def test_it_has_tissue(slide):
    assert 0.2 < slide.tissue().fraction < 0.95


def test_a_run_in_the_middle_of_it_says_what_it_took(path, tmp_path):
    from napari_nh2st.bench.memory import predict_middle
    from support.models import small_model

    model = small_model(tmp_path, mpp=1.0)
    found = predict_middle(path, str(model.path), 40, "cpu", "fp32")
    assert found["tiles"] == 40
    assert found["seconds"] > 0
    assert found["peak_mb"] is None or found["peak_mb"] > 50
