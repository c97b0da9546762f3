import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_nh2st.api.predict import predict
from napari_nh2st.engine import block_encoder
from napari_nh2st.engine.going_on import settle
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.places import lattice_for, limits_of, neighbourhood, slide_box, warnings_for
from napari_nh2st.engine.predict import predict_places, store_for
from napari_nh2st.engine.session import Session
from napari_nh2st.engine.store import open_prediction, save_prediction
from napari_nh2st.errors import Cancelled, MppNeeded, Nh2stError
from napari_nh2st.geometry import SELF, Box, TileSet
from napari_nh2st.model.card import TrainingSample
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.nh2st import normalise
from napari_nh2st.slides import TissueMask, open_slide
from support.models import small_card
from support.slides import picture, tiff

EXACT = PredictionOptions(device="cpu", precision="fp32", cache=False)


def everywhere(slide):
    return TissueMask.from_array(np.ones((15, 23), dtype=bool), slide.shape)


def options(slide, **more):
    return PredictionOptions(
        **{"device": "cpu", "precision": "fp32", "cache": False, "tissue": everywhere(slide), **more}
    )


def assert_same(a, b):
    """The same numbers, to the rounding of what is stored: windows of another shape sum in another order."""
    assert np.array_equal(np.isnan(a), np.isnan(b))
    assert np.nanmax(np.abs(a.astype(np.float32) - b.astype(np.float32))) <= 4e-3 * max(1, np.nanmax(np.abs(b)))


def by_brute_force(slide, model, places):
    """Patch by patch through the released way of thinking: one place, its whole surroundings, no block, no cache."""
    net, card = model.net, model.card
    scale = card.scale_on(slide.mpp)
    centres, present = neighbourhood(places, card, slide_box(slide), everywhere(slide))
    # What the 7 x 7 cells of a patch see lies within the encoder's radius: no padding is in sight.
    reach = (net.encoder.receptive_radius // card.architecture.stride + 1) * card.architecture.stride

    def embed(x, y):
        corner = np.round(np.array([x, y]) / scale - card.patch / 2).astype(int)
        if not net.dense:
            pixels = slide.read(*corner.tolist(), card.patch, card.patch, scale)
            return net.encode(normalise(torch.from_numpy(pixels[None])))[0]
        half = card.architecture.stride // 2
        left, top = (corner - reach + half).tolist()
        pixels = slide.read(left, top, card.patch + 2 * reach, card.patch + 2 * reach, scale)
        at = reach // card.architecture.stride
        return net.encode(normalise(torch.from_numpy(pixels[None])))[0, :, at, at]

    with torch.inference_mode():
        near = torch.stack([torch.stack([embed(*c) for c in nine]) for nine in centres])
        hidden = net.hidden_vectors(Seen(near, torch.from_numpy(present)))
        return net.decoder(hidden).numpy()


def test_blocks_equal_patch_by_patch(slide, model):
    """Reading in blocks with a halo, the cache and float16 change nothing that matters, seams and borders included."""
    places = lattice_for(slide, model.card, pitch=112, tissue=everywhere(slide))
    prediction, encoded = predict_places(slide, model, places, options(slide))
    assert encoded == len(places)
    some = np.linspace(0, len(places) - 1, 8).astype(int)
    expected = by_brute_force(slide, model, places.select(some))
    assert np.abs(prediction.matrix()[some] - expected).max() < 0.1 * prediction.matrix().std(axis=0).min()


def test_a_region_gives_the_numbers_of_the_whole(slide, model):
    whole, _ = predict_places(slide, model, lattice_for(slide, model.card, tissue=everywhere(slide)), options(slide))
    part_places = lattice_for(slide, model.card, Box(700, 300, 1800, 1200), tissue=everywhere(slide))
    part, _ = predict_places(slide, model, part_places, options(slide))
    index = {tuple(g): i for i, g in enumerate(whole.places.grid)}
    same = [index[tuple(g)] for g in part_places.grid]
    assert len(same) > 10
    assert_same(part.hidden, whole.hidden[same])


def test_small_windows_give_the_numbers_of_large_ones(slide, context, monkeypatch):
    places = lattice_for(slide, context.card, pitch=112, tissue=everywhere(slide))
    large, _ = predict_places(slide, context, places, options(slide))
    monkeypatch.setattr(block_encoder, "LARGEST", 1)
    small, _ = predict_places(slide, context, places, options(slide))
    assert_same(small.hidden, large.hidden)


def test_spots_off_the_lattice_are_interpolated_between_cells(slide, context):
    grid = lattice_for(slide, context.card, pitch=16, tissue=everywhere(slide))
    middle = grid.centres[(grid.grid == [30, 40]).all(axis=1)][0]
    step = 16 * grid.scale
    emb = Session(slide, context, pitch=16, options=options(slide)).embeddings
    corners = emb.entries(middle + np.array([[0, 0], [step, 0], [0, step], [step, step]]))
    between = emb.entries(middle[None] + np.array([[0.25 * step, 0.5 * step]]))
    for window in emb.windows(emb.lacking(corners.astype(np.int64)), 4):
        emb.encode(window, emb.read(window), lambda: False)
    a, b, c, d = emb.take(corners.astype(np.int64))
    expected = 0.5 * (0.75 * a + 0.25 * b) + 0.5 * (0.75 * c + 0.25 * d)
    assert np.allclose(emb.interpolate(between)[0], expected, atol=1e-3)


def test_given_places_come_back_in_their_order(slide, model):
    rng = np.random.default_rng(0)
    centres = rng.uniform(150, 1300, size=(70, 2))
    places = TileSet.at(centres, scale=model.card.scale_on(slide.mpp), pitch=model.card.pitch)
    forward, _ = predict_places(slide, model, places, options(slide))
    back, _ = predict_places(slide, model, places.select(np.arange(70)[::-1]), options(slide))
    assert np.allclose(forward.hidden, back.hidden[::-1], atol=2e-2)
    assert np.array_equal(forward.places.centres, centres)
    assert len(np.unique(forward.hidden, axis=0)) == 70


def test_background_is_neither_predicted_nor_a_neighbour(slide, context):
    mask = np.zeros((15, 23), dtype=bool)
    mask[:, :8] = True
    tissue = TissueMask.from_array(mask, slide.shape)
    places = lattice_for(slide, context.card, tissue=tissue)
    assert places.centres[:, 0].max() < 900
    _, present = neighbourhood(places, context.card, slide_box(slide), tissue)
    right = places.centres[:, 0] > 700
    assert not present[right][:, [2, 5, 8]].any()
    assert present[:, SELF].all()


def test_an_edited_mask_changes_what_neighbours_say(slide, context):
    """Taking neighbours away changes a context prediction: the mask is obeyed, not only shown."""
    mask = np.ones((15, 23), dtype=bool)
    places = lattice_for(slide, context.card, Box(0, 0, 900, 900), tissue=everywhere(slide))
    mask[:, 6:] = False
    full, _ = predict_places(slide, context, places, options(slide))
    cut, _ = predict_places(slide, context, places, options(slide, tissue=TissueMask.from_array(mask, slide.shape)))
    assert not np.allclose(full.matrix(), cut.matrix())


def test_a_second_run_encodes_nothing(slide, model, tmp_path):
    places = lattice_for(slide, model.card, tissue=everywhere(slide))
    work = options(slide, store=store_for(tmp_path, slide, model, places.pitch, options(slide)))
    first, encoded = predict_places(slide, model, places, work)
    assert encoded == len(places)
    again = options(slide, store=store_for(tmp_path, slide, model, places.pitch, options(slide)))
    second, encoded = predict_places(slide, model, places, again)
    assert encoded == 0
    assert np.array_equal(first.hidden, second.hidden)
    assert np.array_equal(open_prediction(tmp_path).matrix(), first.matrix())


def test_cached_embeddings_serve_another_pitch_and_another_session(slide, context, tmp_path, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path))
    fine = lattice_for(slide, context.card, pitch=32, tissue=everywhere(slide))
    _, first = predict_places(slide, context, fine, options(slide, cache=True))
    coarse = lattice_for(slide, context.card, tissue=everywhere(slide))
    _, second = predict_places(slide, context, coarse, options(slide, cache=True))
    assert (first, second) == (len(fine), 0)


@pytest.mark.parametrize("after", [0, 1])
def test_cancel_stops_within_a_second_and_a_second_run_does_the_rest(slide, model, tmp_path, after):
    places = lattice_for(slide, model.card, pitch=112, tissue=everywhere(slide))
    asked, when = threading.Event(), []
    work = options(slide, store=store_for(tmp_path, slide, model, 112, options(slide)), cancelled=asked.is_set)
    done = 0
    with pytest.raises(Cancelled):
        for chunk in Session(slide, model, pitch=places.pitch, options=work).stream(places):
            done = chunk.done
            if len(when) < 1 and done > after:
                asked.set()
                when.append(time.monotonic())
    assert time.monotonic() - when[0] < 1
    assert 0 < done < len(places)
    assert threading.active_count() < 20
    rest = options(slide, store=store_for(tmp_path, slide, model, 112, options(slide)))
    whole, encoded = predict_places(slide, model, places, rest)
    assert encoded <= len(places) - done
    undisturbed, _ = predict_places(slide, model, places, options(slide))
    assert_same(whole.hidden, undisturbed.hidden)


def test_cancel_takes_effect_inside_a_block(slide, context):
    places = lattice_for(slide, context.card, tissue=everywhere(slide))
    calls = []

    def third_question():
        calls.append(1)
        return len(calls) >= 4

    with pytest.raises(Cancelled):
        predict_places(slide, context, places, options(slide, cancelled=third_question))
    assert 4 <= len(calls) <= 6  # on several cores both threads ask, and each once in vain
    predict_places(slide, context, places.select(np.arange(2)), options(slide))  # the hooks are gone


def test_dropping_the_stream_leaves_no_thread(slide, context):
    places = lattice_for(slide, context.card, pitch=112, tissue=everywhere(slide))
    before = threading.active_count()
    chunks = Session(slide, context, pitch=places.pitch, options=options(slide)).stream(places)
    next(chunks)
    chunks.close()
    time.sleep(0.1)
    assert threading.active_count() <= before


def test_a_store_of_another_model_is_refused_by_name(slide, context, tmp_path):
    store_for(tmp_path, slide, context, 112, options(slide))
    with pytest.raises(Nh2stError, match="another pitch"):
        store_for(tmp_path, slide, context, 128, options(slide))


def test_half_precision_agrees(slide, model):
    places = lattice_for(slide, model.card, tissue=everywhere(slide))
    full, _ = predict_places(slide, model, places, options(slide))
    half, _ = predict_places(slide, model, places, options(slide, precision="bf16"))
    for gene in range(len(model.card.genes)):
        assert np.corrcoef(full.matrix()[:, gene], half.matrix()[:, gene])[0, 1] > 0.98


def test_what_auto_was_is_kept_with_the_results(slide, context, tmp_path, monkeypatch):
    monkeypatch.setenv("NH2ST_PRECISION", "bf16")
    places = lattice_for(slide, context.card, Box(500, 200, 1500, 900), tissue=everywhere(slide))
    auto = options(slide, precision="auto")
    prediction, _ = predict_places(slide, context, places, options(slide, precision="auto"))
    assert prediction.provenance["precision"] == "bf16"
    predict_places(slide, context, places, replace(auto, store=store_for(tmp_path, slide, context, places.pitch, auto)))
    assert open_prediction(tmp_path).provenance["precision"] == "bf16"
    with pytest.raises(Nh2stError, match="another precision"):
        store_for(tmp_path, slide, context, places.pitch, options(slide, precision="fp32"))


@pytest.mark.parametrize("kept", ["bf16", "fp32"])
def test_what_the_folder_has_wins_over_auto(slide, context, tmp_path, monkeypatch, kept):
    """A second run on a busier machine would choose another precision: it goes on with that of the folder."""
    region, mask = Box(500, 200, 1500, 900), everywhere(slide)
    places = lattice_for(slide, context.card, region, pitch=64, tissue=mask)
    first = options(slide, precision=kept)
    predict_places(
        slide,
        context,
        places.select(np.arange(3)),
        replace(first, store=store_for(tmp_path, slide, context, 64, first)),
    )
    monkeypatch.setenv("NH2ST_PRECISION", {"bf16": "fp32", "fp32": "bf16"}[kept])
    auto = options(slide, precision="auto")
    whole = predict(slide, context, region=region, out=tmp_path, options=auto)  # nor is the pitch given
    assert (whole.places.pitch, whole.provenance["precision"], len(whole)) == (64, kept, len(places))
    settled = settle(tmp_path / "s.nh2st", slide, context, None, auto)
    assert (settled.pitch, settled.options.precision, len(settled.notes)) == (64, kept, 2)
    assert settle(tmp_path / "none.nh2st", slide, context, None, auto).notes == []
    exact, _ = predict_places(slide, context, places, options(slide, precision=kept))
    assert_same(whole.hidden, exact.hidden)
    with pytest.raises(Nh2stError, match="another pitch"):
        store_for(tmp_path, slide, context, 112, auto)


def test_damaged_tiles_are_masked_not_guessed(tmp_path, context):
    path = tiff(tmp_path / "damaged.tif", picture(1200, 1200), resolution=(1e4, 1e4), resolutionunit=3)
    import tifffile

    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags["TileByteCounts"]
        counts = list(tag.value)
        offset, size = tag.valueoffset, tag.dtype.name
    hole = 19 * 5 + 5  # tile row 5, column 5 of 19
    width = {"SHORT": 2, "LONG": 4}[size]
    with path.open("r+b") as file:
        file.seek(offset + hole * width)
        file.write(b"\0" * width)
    assert counts[hole] > 0
    with open_slide(path) as slide:
        places = lattice_for(slide, context.card, tissue=everywhere(slide))
        prediction, _ = predict_places(slide, context, places, options(slide))
    touched = (np.abs(places.centres - (5 * 64 + 32)) < 56 + 32).all(axis=1)
    assert 0 < touched.sum() < len(places) / 2
    assert not prediction.done[touched].any()
    assert prediction.done[~touched].all()


def test_saving_and_opening(slide, context, tmp_path):
    places = lattice_for(slide, context.card, Box(500, 200, 1500, 900), tissue=everywhere(slide))
    prediction, _ = predict_places(slide, context, places, options(slide))
    again = open_prediction(save_prediction(prediction, tmp_path / "a name.nh2st"))
    assert np.array_equal(again.matrix(), prediction.matrix())
    assert np.allclose(again.places.centres, places.centres)
    assert again.slide == prediction.slide
    assert again.card == prediction.card


def test_heatmap_cells_lie_on_their_tiles(slide, context):
    places = lattice_for(slide, context.card, Box(500, 200, 1500, 900), tissue=everywhere(slide))
    prediction, _ = predict_places(slide, context, places, options(slide))
    heat = prediction.heatmap("G2")
    for i in range(len(places)):
        column, row = np.round((places.centres[i] - heat.origin) / heat.cell).astype(int)
        assert np.allclose(np.array(heat.origin) + np.array([column, row]) * heat.cell, places.centres[i], atol=1e-6)
        assert heat.values[row, column] == prediction.gene("G2")[i]


def test_what_was_never_predicted_is_said(tmp_path):
    with pytest.raises(Nh2stError, match="not a prediction"):
        open_prediction(tmp_path)


def test_a_pitch_off_the_encoder_s_cells_is_refused(slide):
    with pytest.raises(ValueError, match="multiple of 16"):
        lattice_for(slide, small_card(), pitch=100, tissue=everywhere(slide))


def test_a_slide_without_mpp_is_not_guessed_at(tmp_path):
    path = tiff(tmp_path / "plain.tif", picture(600, 600))
    with open_slide(path) as slide, pytest.raises(MppNeeded, match="mpp="):
        lattice_for(slide, small_card())


def test_a_demo_model_on_a_real_slide_is_warned_of(slide):
    said = warnings_for(slide, small_card(synthetic=True))
    assert any("means nothing" in s for s in said)
    assert not any("means nothing" in s for s in warnings_for(slide, small_card()))


def test_how_far_the_training_reaches_is_said_of_every_real_model(slide):
    card = small_card(tissue="HER2-positive breast tumours")
    (said,) = limits_of(slide, card)
    assert said == (
        "The model 'small-context' was trained on 1 section of 1 patient (HER2-positive breast tumours): "
        "accuracy on any other tissue, stain or scanner is unknown."
    )
    assert warnings_for(slide, card)[-1] == said
    assert limits_of(slide, small_card(training=[])) == []  # nothing is known of its training
    assert limits_of(slide, small_card(synthetic=True)) == []  # a stronger sentence says it


def test_a_slide_of_the_training_set_is_told_apart(slide):
    seen = TrainingSample(sample="C5", patient="C", spots=10, fingerprint=slide.fingerprint)
    (said,) = limits_of(slide, small_card(training=[seen]))
    assert "(C5) was among the training sections" in said
    assert "has not been measured" not in said


def test_an_empty_set_of_places_predicts_nothing(slide, context):
    empty = lattice_for(slide, context.card, Box(0, 0, 1, 1), tissue=everywhere(slide))
    prediction, encoded = predict_places(slide, context, empty, options(slide))
    assert (len(prediction), encoded) == (0, 0)
