"""A small model and a small slide for the commands."""

import numpy as np
import pytest

from support.models import small_model
from support.slides import picture, tiff


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"), gene_stds=[1.0] * 6)


@pytest.fixture(scope="session")
def slide(tmp_path_factory):
    """Dark blotches on white, 1 um per pixel."""
    pixels = np.full((1600, 1900, 3), 250, np.uint8)
    pixels[200:1300, 300:1500] = picture(1100, 1200) // 2 + 60
    folder = tmp_path_factory.mktemp("a folder with spaces # and %")
    return tiff(folder / "ä slide.tif", pixels, resolution=(1e4, 1e4), resolutionunit=3)
