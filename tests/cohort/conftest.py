"""A small model, and slides of a cohort."""

import numpy as np
import pytest

from support.models import small_model
from support.slides import picture, tiff


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"), gene_stds=[1.0] * 6)


@pytest.fixture(scope="session")
def slides(tmp_path_factory):
    """A folder: two slides of 1 um per pixel, one of them larger, and a file that is none."""
    folder = tmp_path_factory.mktemp("slides")
    for name, (height, width) in {"a": (700, 800), "b": (1700, 1500)}.items():
        pixels = np.full((height + 200, width + 200, 3), 250, np.uint8)
        pixels[100:-100, 100:-100] = picture(height, width, seed=len(name)) // 2 + 60
        tiff(folder / f"{name}.tif", pixels, resolution=(1e4, 1e4), resolutionunit=3)
    (folder / "broken.tif").write_bytes(b"no slide")
    return folder
