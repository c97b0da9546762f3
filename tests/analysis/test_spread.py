"""Spread: how far answers for the same places differ."""

import statistics

import numpy as np
import pytest

from napari_nh2st.analysis.spread import VIEWS, Answer, shared_genes, spread_over
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.session import Session
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import Box, TileSet
from napari_nh2st.model.decoder import Decoder
from napari_nh2st.model.folder import decoder_of
from napari_nh2st.slides import TissueMask, open_slide
from support.models import small_model
from support.slides import picture, tiff


def answer(seed: int, genes: str = "ABC", n: int = 5) -> Answer:
    rng = np.random.default_rng(seed)
    decoder = Decoder(rng.normal(size=(len(genes), 4)).astype(np.float32), rng.normal(size=len(genes)).astype("f4"))
    return Answer(f"m{seed}", list(genes), decoder, rng.normal(size=(n, 4)).astype(np.float16))


def test_it_is_the_standard_deviation_over_decoded_answers():
    answers = [answer(0), answer(1, "CAB"), answer(2)]
    for gene in "ABC":
        each = [a.values(gene).astype(float) for a in answers]
        expected = [statistics.stdev(of) for of in zip(*each, strict=True)]
        assert spread_over(answers, gene) == pytest.approx(expected, rel=1e-4)


def test_answers_that_agree_have_none_and_gaps_stay_gaps():
    one = answer(3)
    assert spread_over([one, one, one], "B") == pytest.approx(0, abs=1e-6)
    holes = one.hidden.copy()
    holes[2] = np.nan
    found = spread_over([one, Answer("gaps", one.genes, one.decoder, holes)], "B")
    assert np.isnan(found).tolist() == [False, False, True, False, False]


def test_models_of_other_panels_share_some_genes():
    answers = [answer(0, "ABC"), answer(1, "CBX")]
    assert shared_genes(answers) == ["B", "C"]
    assert np.isfinite(spread_over(answers, "C")).all()
    with pytest.raises(Nh2stError, match="m1 does not predict A"):
        spread_over(answers, "A")
    with pytest.raises(Nh2stError, match="two answers"):
        spread_over(answers[:1], "C")


def test_further_places_come_behind():
    first, more = answer(0), answer(0, n=3)
    both = first.followed_by(more)
    expected = np.concatenate([first.values("A"), more.values("A")])
    assert both.values("A") == pytest.approx(expected, abs=1e-5)  # a product of another shape sums in another order


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tiff(tmp_path_factory.mktemp("slide") / "s.tif", picture(900, 1100), resolution=(1e4,) * 2, resolutionunit=3)
    with open_slide(path) as opened:
        yield opened


def ask(slide, model, places=None, **how) -> tuple[TileSet, Answer]:
    tissue = TissueMask.from_array(np.ones((9, 11), dtype=bool), slide.shape)
    session = Session(
        slide, model, options=PredictionOptions(device="cpu", precision="fp32", cache=False, tissue=tissue, **how)
    )
    places = session.places(Box(200, 200, 800, 800)) if places is None else places
    return places, Answer(model.card.name, model.card.genes, decoder_of(model.net), session.hidden(places))


def test_views_of_a_model_differ_and_the_same_view_does_not(slide, tmp_path):
    model = small_model(tmp_path)
    answers = [ask(slide, model, view=view)[1] for view in VIEWS]
    assert np.median(spread_over(answers, "G2")) > 1e-3
    again = ask(slide, model, view=VIEWS[1])[1]
    assert spread_over([answers[1], again], "G2") == pytest.approx(0, abs=1e-6)


def test_a_model_of_another_scale_is_asked_at_the_same_places(slide, tmp_path):
    model, other = small_model(tmp_path / "a"), small_model(tmp_path / "b", mpp=1.3, pitch=128)
    places, mine = ask(slide, model)
    at = TileSet.at(places.centres, scale=other.card.scale_on(slide.mpp), pitch=other.card.patch)
    _, theirs = ask(slide, other, at)
    assert np.isfinite(spread_over([mine, theirs], "G1")).all()
