"""Whether a section agrees with its prediction at all."""

from __future__ import annotations

import pytest

from napari_nh2st.evaluation.agreement import disagreement
from napari_nh2st.model.card import Evaluation
from viewer.fakes import card


@pytest.mark.parametrize(
    ("mean", "high", "expected", "synthetic", "said"),
    [
        (0.05, 0.10, 0.17, False, True),
        (-0.001, 0.02, 0.17, False, True),
        (0.05, 0.20, 0.17, False, False),  # the interval reaches what the card says
        (0.09, 0.10, 0.17, False, False),
        (0.0, 0.01, 0.05, False, False),  # nothing was to be expected
        (0.0, 0.01, 0.30, True, False),
    ],
)
def test_a_correlation_about_nothing_where_the_card_says_otherwise(mean, high, expected, synthetic, said):
    kind = "synthetic" if synthetic else "cross-patient"
    told = card(evaluation=Evaluation(kind=kind, samples=["C5"], pcc_mean=expected, genes={}), synthetic=synthetic)
    genes = {"A": {}, "B": {}}
    for lacking in (0, 2):  # those count as 0 in the figures, and say nothing here
        part = 2 / (2 + lacking)
        figures = {"pcc_mean": part * mean, "ci": {"pcc_mean": (0.0, part * high)}, "genes": genes}
        words = disagreement(told, {**figures, "n_lacking": lacking})
        assert bool(words) == said
        assert not said or f"mean PCC {mean:z.2f}" in words
