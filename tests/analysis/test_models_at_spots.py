"""Which of several models is right where, at measured spots."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from napari_nh2st.analysis.measured import Comparison
from napari_nh2st.analysis.models_at_spots import models_at_spots, under_spots
from napari_nh2st.errors import SampleError
from napari_nh2st.evaluation.protocol import Scored
from napari_nh2st.expression import Sample
from support.predictions import card, prediction

GENES = ["ERBB2", "CD74", "FLAT"]
SAMPLE = Sample("S1", "", Path("s.tif"), Path("s.h5ad"), "")


def comparison(predicted, truth, centres, *, name="one", genes=GENES, trained_as=""):
    own = card(name=name, genes=list(genes), gene_means=None, ensembl=None, evaluation=None)
    scored = Scored(SAMPLE, list(genes), centres, truth, predicted)
    return Comparison("S1", own, scored, {}, [], 0, trained_as, doubts=("a doubt",))


@pytest.fixture
def section():
    """Measured values and two models: the first is right on the left, the second on the right."""
    rng = np.random.default_rng(0)
    centres = np.stack(np.meshgrid(np.arange(20.0), np.arange(15.0)), axis=-1).reshape(-1, 2) * 100
    truth = rng.normal(size=(300, 3)).astype(np.float32)
    truth[:, 2] = 1.0
    left = centres[:, :1] < 1000
    noise = rng.normal(size=(2, 300, 3)).astype(np.float32)
    one, two = (np.where(side, truth, truth + n) for side, n in zip((left, ~left), noise, strict=True))
    return centres, truth, one.astype(np.float32), two.astype(np.float32), left[:, 0]


def test_the_nearer_model_is_the_one_that_knows(section):
    centres, truth, one, two, left = section
    found = models_at_spots(
        [comparison(one, truth, centres), comparison(0.1 * two + 7, truth, centres, name="two", trained_as="S9")]
    )
    nearest, margin = found.nearest("ERBB2")
    assert (nearest[left] == 0).mean() > 0.7
    assert (nearest[~left] == 1).mean() > 0.7
    z = [stats.zscore(v[:, 0].astype(float)) for v in (truth, one, two)]  # another unit makes no difference
    away = np.abs(np.stack(z[1:]) - z[0])
    assert found.distances("ERBB2") == pytest.approx(away, abs=1e-4)
    assert margin == pytest.approx(np.abs(away[0] - away[1]), abs=1e-4)
    assert np.array_equal(nearest, away.argmin(axis=0))
    assert (found.trained_as, found.doubts) == (("", "S9"), ("a doubt",))


def test_the_table_has_scipys_correlations_and_the_map_agrees_with_them(section):
    centres, truth, one, two, _ = section
    found = models_at_spots([comparison(one, truth, centres), comparison(two, truth, centres, name="two")])
    table = found.table()
    assert list(table.columns) == ["one", "two", "difference", "low", "high", "nearer", "spots"]
    for i, gene in enumerate(GENES[:2]):
        for name, values in (("one", one), ("two", two)):
            assert table[name][gene] == pytest.approx(stats.pearsonr(truth[:, i], values[:, i]).statistic, abs=1e-5)
        assert table.low[gene] <= table.difference[gene] <= table.high[gene]
        squares = (found.distances(gene).astype(float) ** 2).mean(axis=1)
        assert squares == pytest.approx(2 - 2 * table.loc[gene, ["one", "two"]].to_numpy(float), abs=1e-4)
        assert table.nearer[gene] == pytest.approx((found.nearest(gene)[0] == 1).mean())
    assert (found.nearest("FLAT")[0] == -1).all()  # measured the same everywhere
    assert np.isnan(table.nearer["FLAT"])
    assert (table.spots == 300).all()


def test_spots_and_genes_that_all_have(section):
    centres, truth, one, two, _ = section
    other = comparison(two[::-1][5:, 1:], truth[::-1][5:, 1:], centres[::-1][5:], name="two", genes=GENES[1:])
    found = models_at_spots([comparison(one, truth, centres), other])
    assert found.genes == GENES[1:]
    assert len(found) == 295
    assert found.centres == pytest.approx(centres[:295])
    assert found.predicted[1, :, 0] == pytest.approx(two[:295, 1])
    with pytest.raises(SampleError, match="no gene of S1 was measured and is predicted by one and two"):
        models_at_spots([comparison(one, truth, centres), comparison(two, truth, centres, name="two", genes="XYZ")])
    with pytest.raises(SampleError, match="0 spots of S1 in common"):
        models_at_spots([comparison(one, truth, centres), comparison(two, truth, centres + 5, name="two")])


def test_of_three_models_each_has_a_column(section):
    centres, truth, one, two, _ = section
    found = models_at_spots([comparison(v, truth, centres, name=n) for n, v in (("a", one), ("b", two), ("c", truth))])
    assert list(found.table().columns) == ["a", "b", "c", "spots"]
    nearest, margin = found.nearest("CD74")
    assert (found.distances("CD74")[2] == 0).all()
    assert (nearest[margin > 0] == 2).all()


def test_a_spot_has_the_tile_that_holds_it():
    made = prediction(undone=0)
    spots = made.places.centres[[3, 8]] + (40, -40)
    at = under_spots(made, np.vstack([spots, [-500, 0]]))
    assert at.gene("ERBB2")[:2] == pytest.approx(made.gene("ERBB2")[[3, 8]])
    assert at.done.tolist() == [True, True, False]
