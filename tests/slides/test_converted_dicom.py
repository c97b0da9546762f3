"""A slide that wsidicomizer has converted to DICOM is read as the slide that it was."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nh2st import predict
from napari_nh2st.demo.tissue import make_section, write_slide
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.slides import open_slide
from support.models import small_model

pytestmark = [pytest.mark.readers, pytest.mark.filterwarnings("ignore")]  # of the program itself


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A TIFF of three levels, and the DICOM folder made of it."""
    wsidicomizer = pytest.importorskip("wsidicomizer", reason="make setup puts wsidicomizer into .venv/readers")
    from wsidicomizer.wsidicomizer import SourceIdentifier

    folder = tmp_path_factory.mktemp("converted")
    tiff = write_slide(make_section(3, size_mm=(1.5, 1.4)), folder / "slide.tif")
    (folder / "case").mkdir()
    wsidicomizer.WsiDicomizer.convert(  # its other source needs libturbojpeg of the system
        tiff, folder / "case", include_label=False, include_overview=False, preferred_source=SourceIdentifier.TIFFSLIDE
    )
    return tiff, folder / "case"


def test_it_is_the_same_tissue_at_the_same_pixel_size(pair):
    with open_slide(pair[0]) as tiff, open_slide(pair[1]) as dicom:
        assert (dicom.format, dicom.mpp_source) == ("dicom", "dicom")
        assert dicom.mpp == pytest.approx(tiff.mpp)
        assert dicom.shape == tiff.shape
        for scale in (1.0, 2.0, 3.3):
            pixels = [slide.read(50, 60, 300, 300, scale).astype(int) for slide in (tiff, dicom)]
            apart, moved = (np.abs(pixels[0] - np.roll(pixels[1], by, 1))[:, 2:-2].mean() for by in (0, 1))
            assert apart < 6, scale  # JPEG, twice
            assert apart < moved / 2, scale
        assert dicom.tissue().fraction == pytest.approx(tiff.tissue().fraction, abs=0.01)
        assert dicom.warnings == []


def test_it_is_predicted_alike(pair, tmp_path):
    model, options = small_model(tmp_path), PredictionOptions(cache=False)
    tiff, dicom = (predict(path, model, options=options) for path in pair)
    grids = [[tuple(cell) for cell in made.places.grid.tolist()] for made in (tiff, dicom)]
    both = sorted(set(grids[0]) & set(grids[1]))
    assert len(both) >= 0.97 * max(map(len, grids))  # a tile at the edge may have a pixel more of tissue
    values = [
        made.matrix()[[grid.index(cell) for cell in both]] for made, grid in zip((tiff, dicom), grids, strict=True)
    ]
    assert np.corrcoef(values[0].ravel(), values[1].ravel())[0, 1] > 0.98
