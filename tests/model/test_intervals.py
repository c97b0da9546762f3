"""Intervals: what they hold on new spots, how they follow the place, and what has none."""

import numpy as np
import pytest

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.card import Card
from napari_nh2st.model.decoder import Decoder
from napari_nh2st.model.intervals import FEWEST, LEVELS, NO_INTERVALS, activity_of, fit_intervals, intervals_words
from support.models import small_card

GENES = 6
STD = np.linspace(0.5, 2, GENES)


def card(**more) -> Card:
    return small_card(n_genes=GENES, gene_means=[1.0] * GENES, gene_stds=STD.tolist(), **more)


def spots(n: int, seed: int, slope: float = -0.6) -> tuple[np.ndarray, np.ndarray]:
    """Measured and predicted values: the less is predicted of everything, the larger the errors."""
    rng = np.random.default_rng(seed)
    activity = rng.normal(0, 0.5, n)
    predicted = 1 + STD * (activity[:, None] + rng.normal(0, 0.1, (n, GENES)))
    errors = rng.normal(size=(n, GENES)) * STD * np.exp(slope * activity)[:, None]
    return (predicted + errors).astype(np.float32), predicted.astype(np.float32)


def fitted(n: int = 2000, slope: float = -0.6) -> Card:
    measured, predicted = spots(n, 0, slope)
    found = fit_intervals(
        card(), [measured[: n // 2], measured[n // 2 :]], [predicted[: n // 2], predicted[n // 2 :]], "sections"
    )
    return Card.model_validate({**card().model_dump(), "intervals": found.model_dump()})


def activity(predicted: np.ndarray) -> np.ndarray:
    return ((predicted - 1) / STD).mean(axis=1)


@pytest.mark.parametrize("level", LEVELS)
def test_new_spots_of_the_same_kind_are_held_as_often_as_claimed_wherever_they_lie(level):
    intervals = fitted().intervals
    measured, predicted = spots(4000, 1)
    held = np.abs(measured - predicted) <= intervals.half_widths(range(GENES), activity(predicted), level)
    assert np.abs(held.mean(axis=0) - level).max() < 0.03
    where = activity(predicted)
    for part in np.array_split(np.argsort(where), 3):  # a constant width would miss the lower third, and be vain above
        assert abs(held[part].mean() - level) < 0.05


def test_errors_that_are_the_same_everywhere_give_the_same_width_everywhere():
    intervals = fitted(slope=0.0).intervals
    assert abs(intervals.slope) < 0.1
    assert np.ptp(intervals.difficulty(np.array([-1.0, 1.0]))) < 0.2


def test_few_spots_are_rather_too_wide_than_too_narrow():
    measured, predicted = spots(FEWEST, 3, slope=0.0)
    intervals = fit_intervals(card(), [measured], [predicted], "blocks")
    new, guess = spots(4000, 4, slope=0.0)
    assert (np.abs(new - guess) <= intervals.half_widths(range(GENES), activity(guess))).mean() > 0.87
    assert fit_intervals(card(), [measured[1:]], [predicted[1:]], "blocks") is None


def test_beyond_what_was_calibrated_the_difficulty_goes_no_further():
    intervals = fitted().intervals
    low, lower, high, higher = intervals.difficulty(np.array([intervals.low, -9, intervals.high, 9]))
    assert low == lower > 1 > high == higher


def prediction(of: Card, n: int = 50) -> Prediction:
    rng = np.random.default_rng(2)
    decoder = Decoder(rng.normal(size=(GENES, 12)).astype(np.float32), np.ones(GENES, np.float32))
    hidden = rng.normal(size=(n, 12)).astype(np.float16)
    hidden[3] = np.nan
    places = TileSet.at(rng.uniform(0, 1000, (n, 2)), scale=1.0, pitch=112)
    return Prediction(places, hidden, decoder, of)


def test_a_prediction_has_half_widths_in_label_units_also_where_genes_are_left_out():
    whole = prediction(fitted())
    expected = whole.card.intervals.half_widths(range(GENES), activity(whole.matrix()))
    assert np.allclose(whole.half_width(whole.genes), expected, rtol=1e-4, equal_nan=True)
    assert np.isnan(whole.half_width("G2")[3])
    assert np.isfinite(np.delete(whole.half_width("G2"), 3)).all()
    assert (whole.half_width("G2", 0.95) >= whole.half_width("G2", 0.8))[whole.done].all()
    some = whole.only_done().only_genes(["G4", "G2"])
    assert np.allclose(some.half_width(["G2", "G4"]), expected[whole.done][:, [2, 4]], rtol=1e-4)
    values = Prediction(whole.places, whole.matrix(), Decoder.of_values(GENES), whole.card)
    assert np.allclose(values.half_width("G1"), expected[:, 1], rtol=1e-4, equal_nan=True)


def test_not_informative_is_where_the_interval_is_as_wide_as_the_spread():
    whole = prediction(fitted())
    wide = whole.half_width("G1") >= whole.card.intervals.spread([1])
    assert 0 < wide.sum() < len(whole)
    assert (whole.informative("G1") == ~wide & whole.done).all()


def test_what_has_no_intervals_says_why():
    with pytest.raises(Nh2stError, match=NO_INTERVALS):
        prediction(card()).half_width("G1")
    with pytest.raises(Nh2stError, match=r"0.8, 0.9, 0.95, not 0.5"):
        prediction(fitted()).half_width("G1", 0.5)
    whole = prediction(fitted())
    file = Prediction(whole.places, whole.matrix(["G1"]), Decoder.of_values(1), whole.card.only(["G1"]))
    with pytest.raises(Nh2stError, match="only some"):
        file.half_width("G1")
    assert NO_INTERVALS in intervals_words(card())
    assert "2,000 spots in sections" in intervals_words(fitted())


def test_activity_is_the_mean_over_the_panel_of_what_is_predicted():
    whole = prediction(fitted())
    assert np.allclose(
        activity_of(whole.hidden, whole.decoder, whole.card),
        activity(whole.matrix()),
        rtol=1e-3,
        atol=1e-4,
        equal_nan=True,
    )


def test_a_card_whose_intervals_do_not_fit_is_refused():
    good = fitted().model_dump()
    for wrong in (
        {"widths": [[1.0] * GENES] * 2},
        {"widths": [[1.0]] * 3},
        {"low": 5.0},
        {"spreads": [[-1.0] * GENES] * 3},
    ):
        with pytest.raises(ValueError, match=r"intervals|fit|greater"):
            Card.model_validate({**good, "intervals": {**good["intervals"], **wrong}})
    with pytest.raises(ValueError, match="gene_stds"):
        Card.model_validate({**good, "gene_stds": None})
