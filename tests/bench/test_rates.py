import pytest

from napari_nh2st.bench.rates import Rate, in_turns, median_rate, ratio
from napari_nh2st.errors import Cancelled, Nh2stError


def test_contenders_take_turns_and_the_first_round_does_not_count():
    order = []
    speeds = {"a": iter([1.0, 6.0, 8.0, 4.0]), "b": iter([9.0, 2.0, 4.0, 1.0])}

    def contender(name):
        def run():
            order.append(name)
            return Rate(next(speeds[name]))

        return run

    rates = in_turns({"a": contender("a"), "b": contender("b")}, 3)
    assert "".join(order) == "abababab"
    assert [r.places for r in rates["a"]] == [6.0, 8.0, 4.0]
    found = ratio(rates["a"], rates["b"])
    assert (found.value, found.low, found.high) == (3.0, 2.0, 4.0)  # each round with itself: 3, 2, 4


def test_areas_are_compared_as_areas():
    fine, coarse = [Rate(490.0, 2.0)], [Rate(10.0, 3.0)]
    assert ratio(coarse, fine, "area").value == pytest.approx(1.5)
    assert median_rate(fine) == {"places_per_s": 490.0, "mm2_per_s": 2.0}
    assert median_rate([Rate(3.0)]) == {"places_per_s": 3.0}


def test_a_stop_is_heard_between_contenders():
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        in_turns({"a": lambda: Rate(1.0), "b": lambda: Rate(1.0)}, 1, lambda: next(asked))


def test_a_contender_that_fails_is_out_and_the_others_go_on():
    def broken():
        raise Nh2stError("there is no tissue")

    failed = {}
    rates = in_turns({"a": lambda: Rate(1.0), "b": broken}, 2, failed=failed)
    assert rates == {"a": [Rate(1.0)] * 2}
    assert failed == {"b": "failed: there is no tissue"}


def test_a_failure_that_nobody_foresaw_says_where():
    failed = {}
    in_turns({"a": lambda: Rate(1 / 0)}, 1, failed=failed)
    assert failed["a"].startswith("failed: ZeroDivisionError in test_rates.py:")
