import gc
from collections.abc import Iterator

import pytest

from napari_nh2st.slides import open_slide
from support.models import small_model
from support.slides import picture, tiff

MPP = 0.8  # 1.25 level-0 pixels per model pixel: not a whole number


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """Colour everywhere (all of it counts as tissue), 1,500 x 2,300 px."""
    path = tiff(
        tmp_path_factory.mktemp("slide") / "s.tif", picture(1500, 2300), resolution=(1e4 / MPP,) * 2, resolutionunit=3
    )
    with open_slide(path) as opened:
        assert opened.mpp == pytest.approx(MPP)
        yield opened


@pytest.fixture(scope="module", params=["context", "paper"])
def model(request, tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"), "context")


@pytest.fixture
def quick_collections() -> Iterator[None]:
    """Leave out of each collection what was there before: where memory is short, one follows the other."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
