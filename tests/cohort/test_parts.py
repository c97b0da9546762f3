"""Parts of a huge slide: whole chunks of its folder, each written by one process while others write theirs."""

from dataclasses import replace

import numpy as np
import pytest

from napari_nh2st.cohort.parts import divide, tiles_in
from napari_nh2st.engine.file_lock import FolderBusy
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.places import tissue_places
from napari_nh2st.engine.predict import part_store_for, predict_places, store_for
from napari_nh2st.engine.store import EMPTY, PREDICTED, open_prediction
from napari_nh2st.slides import open_slide


@pytest.fixture
def slide(slides):
    with open_slide(slides / "b.tif") as opened:
        yield opened


def test_parts_have_every_tile_once(slide, model):
    places = tissue_places(slide, model.card)
    parts = divide(places, 1.0, len(places) / 3)
    assert len(parts) == 3
    assert len({chunk for part in parts for chunk in part}) == sum(map(len, parts))
    tiles = np.concatenate([tiles_in(places, part).grid for part in parts])
    assert sorted(map(tuple, tiles.tolist())) == sorted(map(tuple, places.grid.tolist()))
    assert len(divide(places, 1.0, 10 * len(places))) == 1


def test_parts_share_a_folder_and_nobody_else_writes_it(slide, model, tmp_path):
    options = PredictionOptions("cpu", "fp32")
    places = tissue_places(slide, model.card)
    first, second = divide(places, 1.0, len(places) / 2)
    store_for(tmp_path, slide, model, places.pitch, options).close()
    one, two = (part_store_for(tmp_path, slide, model, places.pitch, options, part) for part in (first, second))
    with pytest.raises(FolderBusy):
        store_for(tmp_path, slide, model, places.pitch, options)
    for store, part in ((one, first), (two, second)):
        own = tiles_in(places, part)
        hidden = np.full((len(own), model.decoder.width), 0.5, np.float16)
        store.write(own.grid, hidden, np.full(len(own), PREDICTED, np.uint8))
        store.close()
    whole = store_for(tmp_path, slide, model, places.pitch, options)
    assert whole.mended == 0
    assert (whole.state_at(places.grid) != EMPTY).all()
    whole.close()
    assert len(open_prediction(tmp_path)) == len(places)
    assert not [p.name for p in (tmp_path / "b.nh2st").rglob(".*")]


def test_parts_and_parts_of_parts_give_the_bytes_of_one_run(slide, model, tmp_path, monkeypatch):
    """Windows are those of the whole slide, and those of which something is missing are encoded again."""
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))  # first: both runs use one trial of the processor
    places = tissue_places(slide, model.card)
    options = PredictionOptions("cpu", "fp32", whole=places)
    alone, _ = predict_places(slide, model, places, replace(options, cache=False))
    predict_places(slide, model, places.select(np.arange(5)), options)
    store_for(tmp_path, slide, model, places.pitch, options).close()
    for part in divide(places, 1.0, len(places) / 3):
        own = tiles_in(places, part)
        store = part_store_for(tmp_path, slide, model, places.pitch, options, part)
        predict_places(slide, model, own, replace(options, store=store))
        store.close()
    store_for(tmp_path, slide, model, places.pitch, options).close()
    together = open_prediction(tmp_path)
    np.testing.assert_array_equal(together.places.grid, places.grid)
    np.testing.assert_array_equal(together.hidden, alone.hidden)
