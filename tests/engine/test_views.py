"""Test-time views: tissue is turned before it is encoded, and the answers are of the same places."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_nh2st.engine.embeddings import turned, turned_back
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.session import Session
from napari_nh2st.geometry import Box
from napari_nh2st.model.nh2st import normalise
from napari_nh2st.slides import TissueMask

VIEWS = range(8)


def session(slide, model, view, **more):
    tissue = TissueMask.from_array(np.ones((15, 23), dtype=bool), slide.shape)
    return Session(
        slide,
        model,
        options=PredictionOptions(device="cpu", precision="fp32", cache=False, tissue=tissue, view=view, **more),
    )


def test_the_eight_views_are_the_symmetries_of_the_square():
    picture = np.arange(6).reshape(2, 3)
    seen = {turned(picture, view).tobytes() + bytes(turned(picture, view).shape) for view in VIEWS}
    assert len(seen) == 8
    for view in VIEWS:
        assert np.array_equal(turned_back(turned(picture, view), view), picture)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_the_network_on_turned_pixels_at_the_turned_places(slide, context, view):
    one = session(slide, context, view)
    places = one.places(Box(500, 300, 1500, 1200))
    stride, rim = one.runner.stride, -(-one.runner.halo // one.runner.stride)
    # A square of tissue with a cell's centre in its very middle: it is one however it is turned.
    span = (7 // 2 + rim) * stride
    corners = np.round(places.centres / one.scale).astype(int)
    expected = []
    for x, y in corners:
        square = slide.read(int(x) - span, int(y) - span, 2 * span + 1, 2 * span + 1, one.scale)
        with torch.inference_mode():
            maps = context.net.encoder(normalise(torch.from_numpy(turned(square, view))[None]))[..., rim:-rim, rim:-rim]
        assert maps.shape[2:] == (7, 7)
        expected.append(F.avg_pool2d(maps, 7)[0, :, 0, 0].numpy())
    found = one.embed(places)
    assert len(places) > 20
    assert np.abs(found - np.stack(expected)).max() < 4e-3 * np.abs(found).max()


@pytest.mark.parametrize("view", [0, 3, 6])
def test_a_patch_encoder_takes_turned_patches(slide, tmp_path, view):
    from support.models import small_model

    model = small_model(tmp_path, "paper")
    one = session(slide, model, view)
    places = one.places(Box(300, 300, 900, 700))
    patch = model.card.patch
    corners = np.round(places.centres / one.scale).astype(int) - patch // 2
    pixels = np.stack([turned(slide.read(int(x), int(y), patch, patch, one.scale), view) for x, y in corners])
    with torch.inference_mode():
        expected = model.net.encode(normalise(torch.from_numpy(pixels))).flatten(1).numpy()
    assert np.abs(one.embed(places) - expected).max() < 4e-3 * np.abs(expected).max()
    given = type(places).at(places.centres, scale=places.scale, pitch=places.pitch)
    assert np.abs(one.embed(given) - expected).max() < 4e-3 * np.abs(expected).max()


def test_views_differ_and_keep_their_embeddings_apart(slide, context, tmp_path, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path))
    tissue = TissueMask.from_array(np.ones((15, 23), dtype=bool), slide.shape)
    found = []
    for view in (0, 5, 0, 5):
        one = Session(
            slide, context, options=PredictionOptions(device="cpu", precision="fp32", tissue=tissue, view=view)
        )
        places = one.places(Box(500, 300, 900, 700))
        found.append(one.hidden(places).astype(float))
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[1], found[3])
    spread = np.abs(found[0] - found[1]).max()
    assert 1e-3 < spread < 0.5 * np.abs(found[0]).max()


def test_a_view_that_is_none_is_refused():
    with pytest.raises(ValueError, match="0 to 7"):
        PredictionOptions(view=8)
