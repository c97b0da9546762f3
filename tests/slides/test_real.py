"""The real files, where they are at hand."""

from __future__ import annotations

import csv
import time

import numpy as np
import pytest

from napari_nh2st.errors import MppNeeded, SlideError
from napari_nh2st.geometry import Box
from napari_nh2st.slides import open_slide


@pytest.mark.parametrize(
    ("name", "kind", "shape", "mpp", "source"),
    [
        ("CMU-1-Small-Region.svs", "aperio", (2967, 2220), 0.499, "aperio"),
        ("CMU-1-Small-Region.webp.tiff", "tiff", (2967, 2220), None, "none"),
        ("bfconvert-jpeg.ome.tiff", "ome-tiff", (512, 512), None, "none"),
        ("osp_small.svs", "aperio", (16, 16), 0.499, "aperio"),
        ("test3-TRITC 2 (560).ndpi", "ndpi", (4864, 3968), 10000 / 43826, "ndpi"),
    ],
)
def test_slides(data_dir, name, kind, shape, mpp, source):
    with open_slide(data_dir / "slides" / name) as slide:
        assert (slide.format, slide.shape, slide.mpp, slide.mpp_source) == (kind, shape, mpp, source)
        assert max(slide.level_shapes[-1]) <= 2048
        assert slide.read(0, 0, 100, 100, 1.7).shape == (100, 100, 3)
        assert not slide.damaged(Box(0, 0, *shape[::-1]))


def test_a_pixel_size_that_is_wrong_by_a_hundred(data_dir):
    with open_slide(data_dir / "slides" / "CMU-1-Small-Region.jpeg.tiff") as slide:
        assert slide.mpp is None
        assert any("0.00499 um" in line for line in slide.warnings)
        with pytest.raises(MppNeeded, match=r"0\.00499 um wide, which cannot be right; give"):
            slide.require_mpp()
        assert slide.with_mpp(0.499).require_mpp() == 0.499


def test_the_same_region_in_three_codecs(data_dir):
    names = ["svs", "jpeg.tiff", "webp.tiff"]
    views = [open_slide(data_dir / "slides" / f"CMU-1-Small-Region.{n}").read(0, 0, 500, 700, 4.2) for n in names]
    assert np.abs(views[0].astype(int) - views[1]).mean() < 2
    assert np.abs(views[0].astype(int) - views[2]).mean() < 3


def test_a_slide_whose_only_tile_cannot_be_decoded(data_dir):
    with pytest.raises(SlideError, match="cannot be decoded: Bogus marker length"):
        open_slide(data_dir / "slides" / "osp_unreadable.svs")


def test_a_large_jpeg_opens_at_once_the_second_time(data_dir):
    path = data_dir / "her2st" / "C5.jpg"
    open_slide(path).close()
    start = time.process_time()
    slide = open_slide(path)
    assert time.process_time() - start < 0.5
    assert slide.shape == (9901, 9272)
    assert any("72 pixels per inch" in line for line in slide.warnings)


def test_measured_spots_lie_on_tissue(data_dir):
    folder = data_dir / "her2st"
    with (folder / "C5_selection.tsv").open(newline="") as file:
        spots = [(float(row["pixel_x"]), float(row["pixel_y"])) for row in csv.DictReader(file, delimiter="\t")]
    with open_slide(folder / "C5.jpg", mpp=0.682) as slide:
        tissue = slide.tissue()
        on = tissue.fraction_at(spots, 224)
        assert np.median(on) > 0.95
        assert np.mean(on > 0.5) > 0.97
        assert 0.14 < tissue.fraction < 0.2
    with open_slide(data_dir / "slides" / "CMU-1-Small-Region.svs") as slide:
        assert 0.3 < slide.tissue().fraction < 0.45
