"""One matrix of counts is recognised under other names, in another order and in part."""

import numpy as np
import pytest
import scipy.sparse as sp

from napari_nh2st.expression.spot_marks import MOST, same_counts, spot_marks

RATES = np.random.default_rng(0).gamma(0.5, 20, 300)


def counts(seed: int, spots: int = 120) -> sp.csr_matrix:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 2, (spots, 1))
    return sp.csr_matrix(rng.poisson(RATES * depth).astype(np.float32))


CHANGED = {
    "in another order of spots and genes": lambda m: m[::-1][:, np.random.default_rng(1).permutation(300)],
    "a fifth of the spots": lambda m: m[10:34],
    "without rare genes": lambda m: m[:, np.argsort(RATES)[90:]],
    "dense": lambda m: sp.csr_matrix(m.toarray()),
}


@pytest.mark.parametrize("how", CHANGED)
def test_the_same_counts_are_recognised(how):
    whole = counts(1)
    assert same_counts(spot_marks(whole), spot_marks(sp.csr_matrix(CHANGED[how](whole))))


def test_another_section_is_not_the_same():
    assert not same_counts(spot_marks(counts(1)), spot_marks(counts(2)))


def test_a_part_of_more_spots_than_marks_are_kept_is_recognised():
    whole = counts(3, 3 * MOST)
    marks = spot_marks(whole)
    assert len(marks) == MOST
    assert same_counts(marks, spot_marks(whole[: MOST // 4]))
    assert not same_counts(marks, spot_marks(counts(4, MOST // 4)))


def test_spots_that_are_alike_say_nothing():
    few = sp.csr_matrix(np.random.default_rng(0).integers(0, 3, (200, 2)).astype(np.float32))
    assert len(spot_marks(few)) == 0
    assert not same_counts(spot_marks(few), spot_marks(few))
    assert len(spot_marks(sp.csr_matrix((0, 5), dtype=np.float32))) == 0
