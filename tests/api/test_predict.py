"""Predicting from Python: nothing is silent, and what is wrong says so in one line."""

import warnings

import numpy as np
import pytest

import napari_nh2st
from napari_nh2st import Nh2stError, Nh2stWarning, Prediction, open_prediction, open_slide, predict
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.errors import ModelError, NoTissue, SlideError
from napari_nh2st.geometry import Box
from napari_nh2st.slides import TissueMask
from support.models import small_model
from support.slides import picture, tiff

EXACT = PredictionOptions(device="cpu", precision="fp32", cache=False)
PART = (300, 300, 600, 450)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"), synthetic=True)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A slide of 1 um a pixel."""
    file = tmp_path_factory.mktemp("slide") / "s.tif"
    return tiff(file, picture(1000, 1200), resolution=(1e4, 1e4), resolutionunit=3)


@pytest.fixture
def slide(path):
    with open_slide(path) as opened:
        yield opened


def on_tissue(slide, share=1.0):
    mask = np.zeros((10, 12), dtype=bool)
    mask[:, : round(12 * share)] = True
    return PredictionOptions(**{**EXACT.__dict__, "tissue": TissueMask.from_array(mask, slide.shape)})


def test_a_model_has_to_be_named(slide):
    with pytest.raises(ModelError, match=r"name a model: .*demo, demo-paper, her2st.* or a model folder"):
        predict(slide)


def test_what_the_command_line_says_comes_as_warnings_to_the_caller_once(slide, model):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made = predict(slide, model, region=PART, options=on_tissue(slide))
    ours = [w for w in told if w.category is Nh2stWarning]
    said = [str(w.message) for w in ours]
    assert any("procedural tissue with invented genes" in text for text in said)
    assert len(set(said)) == len(said)
    assert {w.filename for w in ours} == {__file__}
    assert isinstance(made, Prediction)


@pytest.mark.filterwarnings("ignore::napari_nh2st.Nh2stWarning")
def test_a_region_is_a_box_or_four_numbers(slide, model, tmp_path):
    by_numbers = predict(slide, model, region=PART, options=on_tissue(slide), out=tmp_path)
    by_box = predict(slide, model, region=Box.from_xywh(*PART), options=on_tissue(slide))
    assert np.array_equal(by_numbers.places.centres, by_box.places.centres)
    assert len(by_box) > 0
    again = open_prediction(tmp_path)
    assert isinstance(again, Prediction)
    assert np.array_equal(again.matrix(), by_numbers.matrix())
    for wrong in ((1, 2, 3), "0,0,9,9", ((0, 0), (9, 9)), (0, 0, -4, 4)):
        with pytest.raises(Nh2stError, match=r"a region is|not a box"):
            predict(slide, model, region=wrong)


@pytest.mark.filterwarnings("ignore::napari_nh2st.Nh2stWarning")
def test_a_region_without_tissue_is_the_error_of_the_command_line(slide, model):
    with pytest.raises(NoTissue, match=r"s\.tif: there is no tissue in this region"):
        predict(slide, model, region=(800, 0, 300, 300), options=on_tissue(slide, 0.5))
    with pytest.raises(NoTissue, match="there is no tissue on this slide"):
        predict(slide, model, options=on_tissue(slide, 0.0))


@pytest.mark.filterwarnings("ignore::napari_nh2st.Nh2stWarning")
def test_a_pixel_size_holds_for_an_open_slide_too(slide, path, model):
    finer = predict(slide, model, mpp=0.5, region=PART, options=on_tissue(slide))
    assert (finer.slide["mpp"], finer.slide["mpp_source"]) == (0.5, "user")
    assert finer.places.scale == 2.0
    assert slide.mpp == pytest.approx(1.0)
    with open_slide(path, mpp=0.25) as given, pytest.raises(SlideError, match=r"opened with mpp=0.25, and mpp=0.5"):
        predict(given, model, mpp=0.5)


def test_the_package_shows_its_public_names_alone():
    assert {n for n in dir(napari_nh2st) if not n.startswith("__")} == set(napari_nh2st.__all__)
    for name in napari_nh2st.__all__:
        assert ">>> " in (getattr(napari_nh2st, name).__doc__ or "") or name in ("Nh2stError", "Nh2stWarning")
