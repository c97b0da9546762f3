"""The slide's sample: the same places and numbers in a panned view, a whole run and a training."""

import numpy as np
import pytest
import torch

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.session import Session
from napari_nh2st.engine.slide_sample import sample_places
from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.geometry import Box, TileSet
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.heads.table import SAMPLE_PLACES
from napari_nh2st.slides import TissueMask, open_slide
from napari_nh2st.training.data.embedded import embed_sample
from napari_nh2st.training.network.predict_section import predict_section
from napari_nh2st.training.sections.section import load_section
from support.models import small_card, small_model
from support.sections import GENES, sheet


@pytest.fixture(scope="module")
def triplex(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"), "triplex")


def session(slide, model, **more):
    return Session(slide, model, options=PredictionOptions(device="cpu", precision="fp32", cache=False, **more))


def hidden(one, places, focus=None):
    out = np.full((len(places), one.model.net.decoder.in_features), np.nan, dtype=np.float32)
    for chunk in one.stream(places, focus=focus):
        out[chunk.indices] = chunk.hidden
    return out


def assert_same(a, b):
    assert np.abs(a - b).max() <= 4e-3 * max(1.0, float(np.abs(b).max()))


def test_a_panned_view_agrees_with_the_whole_slide(slide, triplex):
    one = session(slide, triplex)
    places = one.places()
    expected = hidden(one, places)
    assert np.isfinite(expected).all()
    region = np.flatnonzero((places.centres < 900).all(axis=1))
    part = places.select(region)
    panned = session(slide, triplex, tissue=TissueMask.from_array(np.ones((3, 5), dtype=bool), slide.shape))
    assert not panned.ready(part)
    assert_same(hidden(panned, part, focus=(300.0, 300.0)), expected[region])
    assert panned.ready(part)
    again = session(slide, triplex, whole=places)
    assert_same(hidden(again, part), expected[region])


def test_the_slide_s_look_changes_what_is_predicted(slide, triplex, monkeypatch):
    one, two = session(slide, triplex), session(slide, triplex)
    places = one.places(Box(0, 0, 900, 900))
    two._sample = None  # as if nothing were known of the slide
    assert np.abs(hidden(one, places) - hidden(two, places)).max() > 0.01


def test_a_preview_waits_for_no_slide(slide, triplex, monkeypatch):
    one = session(slide, triplex)
    monkeypatch.setattr(one._encoder, "encode", lambda *_: pytest.fail("encoded a window"))
    assert np.isfinite(one.preview(one.places(Box(0, 0, 900, 900)))).all()


def test_the_places_follow_from_the_slide_alone(slide, triplex):
    card = triplex.card
    one, two = (sample_places(slide, card) for _ in range(2))
    assert np.array_equal(one.centres, two.centres)
    assert len(one) <= SAMPLE_PLACES
    fine = small_card().model_copy(update={"architecture": card.architecture, "mpp": 0.2})
    many = sample_places(slide, fine)
    assert len(many) == SAMPLE_PLACES
    assert len(np.unique(many.grid, axis=0)) == SAMPLE_PLACES


@pytest.mark.parametrize("spots", ["all", "few"])
def test_training_sees_the_sample_that_a_session_sees(spots, tmp_path, triplex):
    """The same places, to the µm, and the same embeddings: where spots cover the tissue, and where they do not."""
    sample = read_sheet(sheet(tmp_path, ("S1", "P1", 1, 1600)))[0]
    data = read_expression(sample)
    data = data if spots == "all" else data[(data.obsm["spatial"] < 500).all(axis=1)].copy()
    card = triplex.card.model_copy(update={"genes": GENES, "gene_means": None})
    section = load_section(sample, data, card)
    assert (len(section.sample.beyond) > len(section.sample.centres) / 2) is (spots == "few")
    trained = embed_sample(triplex.net, section, card)
    with open_slide(sample.slide) as slide:
        one = session(slide, triplex)
        one._see_slide(lambda: False)
        seen = one._seen_slide.sample
        predicted = one.hidden(one.places(Box(0, 0, 600, 600)))
    assert np.isfinite(predicted).all()
    assert trained.present.sum() == len(section.sample.centres) > 20
    assert torch.equal(seen.present, trained.present)
    assert torch.allclose(seen.centres, trained.centres, atol=0.01)
    apart = (seen.embeddings - trained.embeddings).abs().max()
    assert apart < 5e-3 * trained.embeddings.abs().max()  # kept in half precision, and stain aside


def test_a_section_in_memory_is_predicted_as_its_slide_is(tmp_path, triplex):
    sample = read_sheet(sheet(tmp_path, ("S1", "P1", 1, 1600)))[0]
    card = triplex.card.model_copy(update={"genes": [*GENES, "A", "B"], "gene_means": None})
    data = read_expression(sample)
    section = load_section(sample, data, card.only(GENES))
    predicted = predict_section(triplex.net, section, card)
    with open_slide(sample.slide) as slide:
        one = session(slide, triplex)
        places = TileSet.at(data.obsm["spatial"], scale=one.scale, pitch=card.pitch)
        vectors = torch.from_numpy(one.hidden(places).astype(np.float32))
    with torch.inference_mode():
        apart = np.abs(triplex.net.decoder(vectors).numpy() - predicted)
    # A window of a section ends within the encoder's sight of its outermost neighbours; all else is the same.
    assert np.median(apart) < 1e-3 * np.abs(predicted).max()
    assert apart.max() < 0.05 * np.abs(predicted).max()


@pytest.mark.parametrize(("blocks", "name"), [(1, "resnet10"), (2, "resnet18")])
@pytest.mark.parametrize("stride", [16, 32])
def test_a_window_round_a_sampled_place_holds_all_that_is_seen(blocks, name, stride):
    arch = small_card().architecture.model_copy(update={"encoder": name, "stride": stride})
    assert 0 <= arch.halo - ResNet18(4, stride, blocks).receptive_radius < stride


def test_a_session_says_how_the_head_links_its_slide(slide, tmp_path):
    one = session(slide, small_model(tmp_path, "merge"))
    centres, graph = one.graph()
    expected = sample_places(slide, one.model.card).centres
    assert np.abs(centres - expected).max() < one.scale * one.model.card.architecture.stride
    assert graph.links.shape == (len(centres), len(centres))
    assert len(graph.near.hubs) == len(graph.alike.hubs) == 5
    again = session(slide, one.model)
    list(again.stream(again.places(Box(0, 0, 900, 900))))
    assert np.array_equal(again.graph()[1].links, graph.links)
