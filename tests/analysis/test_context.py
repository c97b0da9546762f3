"""What the surroundings change: the numbers are those of a fresh prediction with the neighbours masked."""

import numpy as np
import pytest
import torch

from napari_nh2st.analysis.context import looks_around, neighbour_effects, tile_table, without_surroundings
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.places import neighbourhood, slide_box
from napari_nh2st.engine.session import Session
from napari_nh2st.errors import Cancelled
from napari_nh2st.geometry import SELF, TileSet
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.folder import decoder_of
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.slides import TissueMask, open_slide
from support.models import small_card, small_model
from support.slides import picture, tiff

GENES = list(range(6))


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "s.tif"
    with open_slide(tiff(path, picture(1200, 1500), resolution=(1e4 / 0.8,) * 2, resolutionunit=3)) as opened:
        yield opened


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    alone = Architecture(width=4, stride=16, dim=16, hidden=12, heads=4, neighbours=False)
    looking = small_model(folder, "context")
    with torch.no_grad():  # an untrained one hardly heeds its neighbours
        looking.net.head.to_hidden[0].weight[:, 16:] *= 30
    return {
        "context": looking,
        "paper": small_model(folder, "paper"),
        "alone": small_model(folder / "alone", "context", architecture=alone),
    }


def session(slide, model):
    mask = np.ones((12, 15), dtype=bool)
    mask[:, :3] = False  # no tissue at the left edge: some neighbours are not there
    tissue = TissueMask.from_array(mask, slide.shape)
    return Session(slide, model, options=PredictionOptions(device="cpu", precision="fp32", cache=False, tissue=tissue))


def fresh(one, place, present):
    """Genes (len(present), G) of one place for each row of neighbours that are there, by the network itself."""
    model = one.model
    centres = place.neighbours(model.card.pitch)[0]
    inside = np.clip(centres, 0, None)  # what is not there is not looked at
    seen = one.embed(TileSet.at(inside, scale=one.scale, pitch=model.card.pitch))
    nodes = torch.from_numpy(seen)[None].expand(len(present), -1, -1)
    with torch.inference_mode():
        hidden = model.net.hidden_vectors(Seen(nodes, torch.from_numpy(present)))
        return model.net.decoder(hidden).numpy()


def test_the_numbers_are_those_of_a_fresh_prediction_with_the_neighbours_masked(slide, models):
    one = session(slide, models["context"])
    places, decoder = one.places(), decoder_of(models["context"].net)
    there = neighbourhood(places, one.model.card, slide_box(slide), one.tissue)[1]
    corner, inner = int(np.argmin(there.sum(axis=1))), int(np.argmax(there.sum(axis=1)))
    assert 1 < there[corner].sum() < there[inner].sum() == 9
    for index in (corner, inner):
        place = places.select(np.array([index]))
        found = neighbour_effects(one, place, decoder)
        assert np.array_equal(found.present, there[index])
        masks = np.stack([there[index] & (np.arange(9) != i) for i in range(9)] + [np.zeros(9, dtype=bool)])
        masks[:, SELF] = True
        expected = fresh(one, place, masks)
        size = float(np.abs(expected).max())
        assert found.here(GENES) == pytest.approx(expected[SELF], abs=4e-3 * size)
        changes, alone = found.changes(GENES), found.change_alone(GENES)
        assert np.allclose(changes, expected[:9] - expected[SELF], atol=4e-3 * size)
        assert np.allclose(alone, expected[9] - expected[SELF], atol=4e-3 * size)
        assert not changes[~found.present].any()
        assert not changes[SELF].any()
        assert np.abs(changes).max() > 8e-3 * size  # else the comparison shows nothing
        assert np.abs(alone).max() > 8e-3 * size


@pytest.mark.parametrize("variant", ["paper", "alone"])
def test_a_model_that_does_not_look_around_gives_zeros(slide, models, variant):
    model = models[variant]
    assert not looks_around(model.card)
    one = session(slide, model)
    place = one.places().select(np.array([5]))
    found = neighbour_effects(one, place, decoder_of(model.net))
    assert np.isfinite(found.here(GENES)).all()
    assert not found.changes(GENES).any()
    assert not found.change_alone(GENES).any()


def test_the_whole_slide_without_surroundings_is_each_tile_without_them(slide, models, monkeypatch):
    monkeypatch.setattr("napari_nh2st.analysis.context.SQUARE", 512)
    model = models["context"]
    one, decoder = session(slide, model), decoder_of(model.net)
    places = one.places()
    hidden = np.full((len(places), len(decoder.weight[0])), np.nan, dtype=np.float16)
    chunks = list(without_surroundings(one, places))
    assert len(chunks) > 3
    assert sorted(np.concatenate([mine for mine, _ in chunks])) == list(range(len(places)))
    for mine, part in chunks:
        hidden[mine] = part
    for index in (0, len(places) // 2):
        found = neighbour_effects(one, places.select(np.array([index])), decoder)
        alone = found.here(GENES) + found.change_alone(GENES)
        assert decoder(hidden[[index]], GENES)[0] == pytest.approx(alone, abs=1e-3)
    assert not list(without_surroundings(one, places.select(np.arange(0))))


def test_a_cancel_is_heard(slide, models):
    one = session(slide, models["context"])
    places = one.places()
    with pytest.raises(Cancelled):
        next(without_surroundings(one, places, cancelled=lambda: True))
    with pytest.raises(Cancelled):
        neighbour_effects(one, places.select(np.array([0])), decoder_of(one.model.net), cancelled=lambda: True)


def test_a_tile_is_compared_with_its_slide(slide, models):
    model = models["context"]
    one, decoder = session(slide, model), decoder_of(model.net)
    places = one.places()
    hidden = one.hidden(places)
    found = neighbour_effects(one, places.select(np.array([3])), decoder)
    table = tile_table(found, model.card.genes, hidden)
    values = decoder(hidden, GENES).astype(np.float64)
    expected = (values[3] - values.mean(axis=0)) / values.std(axis=0)
    assert table.index.name == "gene"
    assert table["z"].is_monotonic_decreasing
    assert table["z"][model.card.genes].to_numpy() == pytest.approx(expected, abs=1e-2)
    assert table["mean"][model.card.genes].to_numpy() == pytest.approx(values.mean(axis=0))
    assert table["alone"][model.card.genes].to_numpy() == pytest.approx(found.change_alone(GENES))
    same = tile_table(found, model.card.genes, np.repeat(hidden[3:4], 5, axis=0))
    assert same["z"].isna().all()


def test_cards_say_whether_a_model_looks_around():
    assert looks_around(small_card("context"))
    assert not looks_around(small_card("paper"))
