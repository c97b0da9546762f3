"""Our models inside LazySlide: its own `tl.feature_prediction` runs the example of the docs."""

import importlib.util
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest

from napari_nh2st.demo.tissue import make_section, write_slide

pytestmark = [pytest.mark.readers, pytest.mark.filterwarnings("ignore")]  # LazySlide's own

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "nh2st_in_lazyslide.py"


@pytest.fixture
def lazyslide(monkeypatch):
    """LazySlide, without the package that loads other people's vision models (it needs torchvision for this torch)."""
    if importlib.util.find_spec("timm") is None:
        for name in ("timm", "timm.data", "timm.data.constants"):
            monkeypatch.setitem(sys.modules, name, MagicMock(name=name))
    return pytest.importorskip("lazyslide", reason="make setup puts it into .venv/readers")


def test_the_example_is_short():
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 40


def test_lazyslide_predicts_genes_with_our_model(lazyslide, tmp_path):
    from wsidata import open_wsi

    write_slide(make_section(3, size_mm=(1.3, 1.2)), tmp_path / "slide.tif")
    wsi = open_wsi(tmp_path / "slide.tif", store=str(tmp_path / "slide.zarr"))
    lazyslide.pp.find_tissues(wsi)
    lazyslide.pp.tile_tissues(wsi, 112, mpp=1.0)
    names = {}
    exec(compile(EXAMPLE.read_text("utf-8"), EXAMPLE.name, "exec"), names)
    model = names["NH2ST"]("her2st")
    model.add_features(wsi)
    lazyslide.tl.feature_prediction(wsi, model, batch_size=7, pbar=False)
    table = wsi.tables["nh2st-her2st_tiles"]
    assert table.var_names.tolist() == model.model.card.genes
    assert len(table) == len(wsi["tiles"]) > 7
    assert np.isfinite(table.X).all()
    _has_the_values_of_our_own_prediction(table, wsi["tiles"], model.model, tmp_path)


def _has_the_values_of_our_own_prediction(table, tiles, model, folder):
    from napari_nh2st import open_slide
    from napari_nh2st.engine.predict import predict_places
    from napari_nh2st.geometry import TileSet

    with open_slide(folder / "slide.tif") as slide:
        centres = np.stack([tiles.centroid.x, tiles.centroid.y], axis=1)
        places = TileSet.at(centres, scale=model.card.scale_on(slide.mpp), pitch=model.card.patch)
        ours, _ = predict_places(slide, model, places)
    np.testing.assert_allclose(table.X, ours.matrix(), rtol=1e-5, atol=1e-5)
