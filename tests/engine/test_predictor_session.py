"""Someone else's model on a slide: the right pixels at the right places, and results that know their model."""

import numpy as np
import pytest

from napari_nh2st.engine.open_session import open_session
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.place_session import PlaceSession
from napari_nh2st.engine.predict import predict_places, store_for
from napari_nh2st.engine.store import open_prediction
from napari_nh2st.errors import Cancelled, ModelError, Nh2stError
from napari_nh2st.geometry import SELF, TileSet
from napari_nh2st.model.predictor_model import PredictorModel
from napari_nh2st.slides import TissueMask
from support.predictors import Colours, Norms


def opened(slide, predictor, *, pitch=None, mask=None, **more) -> PlaceSession:
    mask = np.ones((15, 23), dtype=bool) if mask is None else mask
    options = PredictionOptions(
        device="cpu", precision="fp32", cache=False, tissue=TissueMask.from_array(mask, slide.shape), **more
    )
    return open_session(slide, PredictorModel(predictor), pitch=pitch, options=options)


def collect(session, places, **how):
    values = np.full((len(places), session.model.decoder.width), np.nan, dtype=np.float32)
    for chunk in session.stream(places, **how):
        values[chunk.indices] = chunk.hidden
    return values


def colours_at(slide, places, side):
    """Mean colours, each tile read by itself."""
    corners = np.round(places.centres / places.scale - side / 2).astype(int)
    means = [slide.read(int(x), int(y), side, side, places.scale).mean(axis=(0, 1)) / 255 for x, y in corners]
    return np.array(means, dtype=np.float32)


def same(a, b):
    return np.testing.assert_allclose(a, b, atol=6e-4)  # float16 is kept


@pytest.mark.parametrize("focus", [None, (1700.0, 1000.0)])
def test_every_tile_is_read_where_it_lies_at_the_models_scale(slide, focus):
    predictor = Colours()
    session = opened(slide, predictor)
    places = session.places()
    assert places.scale == pytest.approx(2.0)
    assert len(places) == 12 * 18
    same(collect(session, places, focus=focus), colours_at(slide, places, 64))
    largest = max(len(batch) for batch in predictor.batches)
    assert largest <= predictor.batch_size
    assert focus is not None or largest == 25  # squares of five
    centres = np.concatenate([batch.centres for batch in predictor.batches])
    assert sorted(map(tuple, centres)) == sorted(map(tuple, places.centres * slide.mpp))
    assert predictor.devices == ["cpu"]


def test_given_places_are_read_to_the_nearest_pixel(slide):
    session = opened(slide, Colours())
    spots = TileSet.at([(401.3, 502.9), (1800.0, 777.5), (5.0, 5.0)], scale=session.scale, pitch=64)
    same(collect(session, spots), colours_at(slide, spots, 64))


def test_a_finer_lattice_is_any_whole_number_of_pixels(slide):
    session = opened(slide, Colours(), pitch=40)
    places = session.places().select(np.arange(90))
    same(collect(session, places), colours_at(slide, places, 64))


def test_neighbours_come_row_by_row_and_white_where_there_is_no_tissue(slide):
    mask = np.ones((15, 23), dtype=bool)
    mask[:, 12:] = False
    predictor = Colours(neighbours=True, distance=80)
    session = opened(slide, predictor, mask=mask)
    places = session.places()
    values = collect(session, places)
    order = np.concatenate([b.centres for b in predictor.batches])
    for batch in predictor.batches:
        assert batch.inputs.shape[1:] == (9, 64, 64, 3)
        assert batch.present[:, SELF].all()
        assert (batch.inputs[~batch.present] == 255).all()
    present = np.concatenate([b.present for b in predictor.batches])
    assert (~present).any()
    steps = np.array([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)]) * 80 * places.scale
    for row in (0, 7, len(places) - 1):
        (at,) = np.flatnonzero((order == places.centres[row] * slide.mpp).all(axis=1))
        nine = TileSet.at(places.centres[row] + steps[present[at]], scale=places.scale, pitch=80)
        same(values[row], colours_at(slide, nine, 64).mean(axis=0))


def test_neighbours_can_be_taken_away(slide):
    session = opened(slide, Colours(neighbours=True))
    places = session.places().select(np.arange(20, 24))
    absent = np.ones((4, 9), dtype=bool)
    same(session.hidden(places, absent=absent), colours_at(slide, places, 64))


def test_a_whole_slide_is_one_batch_and_is_asked_once(slide):
    predictor = Colours(whole_slide=True)
    session = opened(slide, predictor)
    places = session.places()
    some = places.select(np.arange(30, 40))
    same(collect(session, some), colours_at(slide, some, 64))
    same(collect(session, places), colours_at(slide, places, 64))
    assert [len(batch) for batch in predictor.batches] == [len(places)]


def test_embeddings_are_those_of_our_encoder(slide, context):
    session = opened(slide, Norms(context.path))
    ours = open_session(slide, context, options=session.options)
    places = session.places()
    embeddings = ours.embed(places)
    expected = np.stack([np.linalg.norm(embeddings, axis=1) / 100, embeddings[:, 0]], axis=1)
    np.testing.assert_allclose(collect(session, places), expected, atol=2e-3 * np.abs(expected).max())
    around = opened(slide, Norms(context.path, neighbours=True))
    np.testing.assert_allclose(collect(around, places), expected, atol=2e-3 * np.abs(expected).max())
    assert session.embeds
    assert not opened(slide, Colours()).embeds
    with pytest.raises(Nh2stError, match="gives no embeddings"):
        opened(slide, Colours()).embed(places)


@pytest.mark.usefixtures("quick_collections")
def test_batches_shrink_where_memory_is_short(slide):
    class Greedy(Colours):
        def predict(self, batch):
            if len(batch) > 3:
                raise MemoryError
            return super().predict(batch)

    session = opened(slide, Greedy())
    places = session.places().select(np.arange(40))
    same(collect(session, places), colours_at(slide, places, 64))

    class Insatiable(Colours):
        def predict(self, batch):
            raise RuntimeError("CUDA out of memory")

    with pytest.raises(Nh2stError, match="not enough memory for the model 'colours'"):
        collect(opened(slide, Insatiable()), places)


@pytest.mark.parametrize("needs", [{}, {"whole_slide": True}])
def test_a_cancel_is_heard_before_the_next_batch(slide, needs):
    predictor = Colours(**needs)
    session = opened(slide, predictor)
    asked = 0

    def cancelled():
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(Cancelled):
        list(session.stream(session.places(), cancelled=cancelled))
    assert len(predictor.batches) <= 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda n: np.zeros((n, 2)), r"gave values of shape \(\d+, 2\)"),
        (lambda n: np.full((n, 3), np.nan), "gave values that are not finite"),
        (lambda n: np.full((n, 3), 1e6), "gave values beyond 65,504"),
        (lambda n: 1 / 0, "failed: ZeroDivisionError: division by zero"),
        (lambda n: "words", "failed: ValueError"),
    ],
)
def test_a_wrong_answer_is_one_line_that_names_the_model(slide, answer, said):
    class Wrong(Colours):
        def predict(self, batch):
            return answer(len(batch))

    session = opened(slide, Wrong())
    with pytest.raises(ModelError, match=f"the model 'colours' {said}"):
        list(session.stream(session.places()))


def test_a_model_that_cannot_be_loaded_is_one_line(slide):
    class Lost(Colours):
        def load(self, device):
            raise FileNotFoundError("no weights")

    with pytest.raises(ModelError, match="the model 'colours' cannot be loaded: FileNotFoundError: no weights"):
        opened(slide, Lost())


def test_results_last_and_only_the_same_model_goes_on_with_them(slide, tmp_path):
    def run(predictor, count):
        model = PredictorModel(predictor)
        options = PredictionOptions(device="cpu", tissue=tissue)
        store = store_for(tmp_path, slide, model, 64, options)
        places = open_session(slide, model, options=options).places().select(np.arange(count))
        made = predict_places(slide, model, places, PredictionOptions(device="cpu", tissue=tissue, store=store))
        store.close()
        return made

    tissue = TissueMask.from_array(np.ones((15, 23), dtype=bool), slide.shape)
    assert run(Colours(), 30)[1] == 30
    prediction, encoded = run(Colours(), 50)
    assert encoded == 20
    kept = open_prediction(tmp_path / "s.nh2st")
    assert np.array_equal(np.sort(kept["GREEN"]), np.sort(prediction["GREEN"]))
    assert kept.card.unit == "share of white"
    assert kept.card.trust("RED") == "no held-out accuracy is known for this model"
    assert kept.provenance["model_version"] == "1"
    assert not (tmp_path / "s.nh2st" / "weight").exists()

    class Newer(Colours):
        version = "2"

    with pytest.raises(Nh2stError, match="another model, version of the model"):
        run(Newer(), 30)

    class Changed(Colours):
        genes = ("RED", "GREEN", "VIOLET")

    with pytest.raises(Nh2stError, match=r"prediction with another .*model"):
        run(Changed(), 30)
