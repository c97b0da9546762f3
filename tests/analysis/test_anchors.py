"""Anchor spots: the closed form against the textbook's, what they tell of the rest, and where to measure next."""

from dataclasses import replace

import numpy as np
import pytest

from napari_nh2st import metrics
from napari_nh2st.analysis import anchors as module
from napari_nh2st.analysis.anchors import Anchors, correct
from napari_nh2st.analysis.where_next import most_telling_anchors, where_next
from napari_nh2st.engine.prediction import Decoder, Prediction
from napari_nh2st.engine.store import open_prediction, save_prediction
from napari_nh2st.errors import Nh2stError, SampleError
from napari_nh2st.geometry import Box, TileSet
from support.predictions import card

GENES = [f"G{i}" for i in range(12)]
MPP = 0.5


def slide_of(width=6, undone=0):
    """A prediction of 30 x 40 tiles whose hidden vectors are smooth fields of the slide."""
    places = TileSet.lattice(Box(0, 0, 40 * 112, 30 * 112), scale=1.0, pitch=112, patch=112)
    rng = np.random.default_rng(0)
    x = places.centres / 1000
    waves = [np.sin(x @ rng.normal(size=2) * 2 + rng.uniform(0, 6)) for _ in range(width)]
    hidden = np.stack(waves, axis=1).astype(np.float16)
    if undone:
        hidden[-undone:] = np.nan
    decoder = Decoder(rng.normal(size=(len(GENES), width)).astype(np.float32), np.ones(len(GENES), np.float32))
    facts = {"path": "s.tif", "fingerprint": "f", "mpp": MPP, "shape": [30 * 112, 40 * 112]}
    own = card(genes=GENES, gene_means=None, gene_stds=[1.0] * len(GENES), ensembl=None, evaluation=None)
    return Prediction(places, hidden, decoder, own, facts, {"model_hash": "abc"})


def measured(prediction, rows, *, seed=1, noise=0.2, genes=GENES):
    """The truth: what is predicted, a shift, what hangs on the hidden vectors otherwise, and depth that varies."""
    rng = np.random.default_rng(seed)
    hidden = prediction.hidden.astype(float)
    wrong = np.tanh(2 * hidden[:, :2]) @ rng.normal(size=(2, len(GENES)))
    far = np.sin(prediction.places.centres[:, :1] / 900) @ rng.normal(size=(1, len(GENES)))
    truth = (prediction.matrix() + 0.7 + wrong + far).astype(np.float32)
    columns = [GENES.index(g) for g in genes]
    values = truth[:, columns] + rng.normal(0, noise, (len(truth), len(columns)))
    depth = rng.uniform(500, 5000, len(truth))
    names = [f"s{i}" for i in rows]
    anchors = Anchors("S", names, prediction.places.centres[rows], list(genes), values[rows].astype("f4"), depth[rows])
    at = replace(prediction, places=TileSet.at(anchors.centres, scale=1.0, pitch=112), hidden=prediction.hidden[rows])
    return truth, anchors, at


def some(prediction, count, seed=3):
    return np.sort(np.random.default_rng(seed).choice(len(prediction), count, replace=False))


def textbook(prediction, anchors, rows, noise):
    """The posterior mean of Rasmussen and Williams, equation 2.25, gene by gene."""
    hidden = prediction.hidden.astype(float)
    z = ((hidden - hidden.mean(axis=0)) / hidden.std(axis=0)).clip(-5, 5)
    um = prediction.places.centres * MPP
    alike = np.exp(-module.GAMMA * ((z[:, None] - z[rows]) ** 2).mean(axis=2))
    near = np.exp(-np.linalg.norm(um[:, None] - um[rows], axis=2) / module.LENGTH)
    kernel = module.LIKE * alike + (1 - module.LIKE) * near
    residuals = anchors.values - prediction.matrix(anchors.genes)[rows]
    shift = residuals.sum(axis=0) / (len(rows) + module.SHIFT)
    spread = noise * np.diag(np.sqrt(np.median(anchors.depth) / anchors.depth))
    return shift + kernel @ np.linalg.solve(kernel[rows] + spread, residuals - shift)


def test_it_is_the_textbooks_posterior_mean(monkeypatch):
    monkeypatch.setattr(module, "NOISES", (1.0,))
    prediction = slide_of()
    rows = some(prediction, 25)
    _, anchors, at = measured(prediction, rows)
    corrected = correct(prediction, at, anchors).apply(prediction)
    wanted = prediction.matrix() + textbook(prediction, anchors, rows, 1.0)
    assert corrected.matrix() == pytest.approx(wanted, abs=5e-3)  # hidden vectors are float16
    assert np.abs(wanted - prediction.matrix()).max() > 1


def test_leaving_one_out_is_what_leaving_one_out_gives(monkeypatch):
    monkeypatch.setattr(module, "NOISES", (1.0,))
    prediction = slide_of()
    rows = some(prediction, 15)
    _, anchors, at = measured(prediction, rows)
    anchors = replace(anchors, depth=np.full(15, 1000.0))  # the median does not change
    said = []
    for i in range(15):
        others = np.delete(np.arange(15), i)
        said.append(textbook(prediction, anchors.select(others), rows[others], 1.0)[rows[i]])
    after = prediction.matrix()[rows] + np.array(said)
    found = correct(prediction, at, anchors).agreement
    assert found.error_after == pytest.approx(((anchors.values - after) ** 2).mean(), rel=1e-3)
    assert found.error_before == pytest.approx(((anchors.values - prediction.matrix()[rows]) ** 2).mean(), rel=1e-3)


def test_few_spots_tell_of_all_others_and_more_tell_more():
    prediction = slide_of()
    scores = []
    for count in (5, 20, 80):
        rows = some(prediction, count)
        truth, anchors, at = measured(prediction, rows)
        found = correct(prediction, at, anchors)
        rest = np.setdiff1d(np.arange(len(prediction)), rows)
        corrected = found.apply(prediction).matrix()
        scores.append(metrics.pcc(truth[rest], corrected[rest]).per_gene.mean())
        errors = [((truth - p)[rest] ** 2).mean() for p in (prediction.matrix(), corrected)]
        assert errors[1] < errors[0]
    before = metrics.pcc(truth, prediction.matrix()).per_gene.mean()
    assert before < scores[0] < scores[1] < scores[2] > before + 0.1
    assert found.agreement.pcc_before == pytest.approx(before, abs=0.1)
    assert found.agreement.pcc_after == pytest.approx(scores[2], abs=0.1)


def test_a_spot_of_little_depth_weighs_less():
    prediction = slide_of()
    rows = some(prediction, 20)
    _, anchors, at = measured(prediction, rows, noise=0)
    moved = anchors.values.copy()
    moved[0] += 5
    pulls = []
    for depth in (50.0, 50_000.0):
        depths = np.full(20, 2000.0)
        depths[0] = depth
        pair = [
            correct(prediction, at, replace(anchors, values=v, depth=depths)).apply(prediction)
            for v in (anchors.values, moved)
        ]
        pulls.append(np.abs(pair[1].matrix() - pair[0].matrix())[rows[0]].mean())
    assert pulls[0] < 0.7 * pulls[1]


def test_what_is_corrected_is_a_prediction_like_any_other(tmp_path):
    prediction = slide_of(undone=4)
    rows = some(prediction.only_done(), 30)
    _, anchors, at = measured(prediction, rows, genes=GENES[:5])
    corrected = correct(prediction, at, anchors).apply(prediction)
    assert np.array_equal(corrected.done, prediction.done)
    done = prediction.done
    assert corrected.matrix(GENES[5:])[done] == pytest.approx(prediction.matrix(GENES[5:])[done])  # were not measured
    assert np.abs(corrected.matrix(GENES[:5]) - prediction.matrix(GENES[:5]))[done].max() > 0.5
    facts = corrected.provenance["anchors"]
    assert (facts["count"], facts["spots"], facts["genes"]) == (30, anchors.names, 5)
    assert prediction.provenance == {"model_hash": "abc"}
    again = open_prediction(save_prediction(corrected, tmp_path / "s.nh2st"))
    assert again.matrix() == pytest.approx(corrected.only_done().matrix())
    assert again.provenance["anchors"] == facts
    part = replace(prediction, places=prediction.places.select(rows[:3]), hidden=prediction.hidden[rows[:3]])
    assert correct(prediction, at, anchors).apply(part).matrix() == pytest.approx(corrected.matrix()[rows[:3]])
    with pytest.raises(Nh2stError, match="corrected with 30 spots already"):
        correct(corrected, at, anchors)


def test_more_anchors_than_columns_lose_nothing(monkeypatch):
    prediction = slide_of()
    rows = some(prediction, 300)
    _, anchors, at = measured(prediction, rows)
    found = correct(prediction, at, anchors)
    assert found.apply(prediction).hidden.shape[1] == 6 + len(GENES)  # no more than there are genes
    monkeypatch.setattr(module, "NOISES", (2.0,))
    wanted = prediction.matrix() + textbook(prediction, anchors, rows, 2.0)
    assert correct(prediction, at, anchors).apply(prediction).matrix() == pytest.approx(wanted, abs=2e-2)


def test_values_without_a_decoder_are_corrected_themselves():
    prediction = slide_of()
    rows = some(prediction, 20)
    _, anchors, at = measured(prediction, rows)
    direct = Decoder.of_values(len(GENES))
    as_values = replace(prediction, hidden=prediction.matrix(), decoder=direct)
    at_values = replace(at, hidden=at.matrix(), decoder=direct)
    corrected = correct(as_values, at_values, anchors).apply(as_values)
    assert corrected.hidden.shape == as_values.hidden.shape
    assert corrected.hidden.dtype == np.float32
    truth, *_ = measured(prediction, rows)
    errors = [((truth - p.matrix()) ** 2).mean() for p in (as_values, corrected)]
    assert errors[1] < 0.7 * errors[0]


def test_what_cannot_be_used_is_said():
    prediction = slide_of()
    _, anchors, at = measured(prediction, some(prediction, 4))
    beside = at.hidden.copy()
    beside[:2] = np.nan
    with pytest.raises(Nh2stError, match="2 measured spots lie on predicted tissue: 3 or more are needed"):
        correct(prediction, replace(at, hidden=beside), anchors)
    with pytest.raises(SampleError, match="S has no spot nope"):
        anchors.rows(["nope"])
    other = card(label_recipe="log10-cp10k-panel-smoothed")
    with pytest.raises(SampleError, match="anchors cannot correct another unit"):
        Anchors.of("S", None, other)
    with pytest.raises(Nh2stError, match="9999 places were asked for"):
        where_next(prediction, 9999)


def test_the_next_place_is_the_one_that_leaves_least_unknown():
    prediction = slide_of()
    part = replace(prediction, places=prediction.places.select(np.arange(60)), hidden=prediction.hidden[:60])
    likeness = module.Likeness(part)
    described = likeness.describe(part)
    kernel = likeness.between(described, described).astype(float)
    noise = np.exp(np.log(module.NOISES).mean())
    chosen = []
    for _ in range(3):
        left = []
        for i in range(60):
            at = [*chosen, i]
            among = kernel[np.ix_(at, at)] + noise * np.eye(len(at))
            left.append(np.trace(kernel - kernel[:, at] @ np.linalg.solve(among, kernel[at])))
        chosen.append(int(np.argmin(left)))
    found = where_next(part, 3)
    assert found.places.centres == pytest.approx(part.places.centres[chosen])
    assert found.spread[0] == pytest.approx(1, abs=1e-3)
    table = found.table()
    assert list(table.columns) == ["x_px", "y_px", "x_um", "y_um", "spread"]
    assert table["x_um"].to_numpy() == pytest.approx(table["x_px"].to_numpy() * MPP)
    assert list(table.index) == [1, 2, 3]


def test_what_is_measured_is_not_proposed_again():
    prediction = slide_of()
    left = np.flatnonzero(prediction.places.centres[:, 0] < 2000)
    _, anchors, at = measured(prediction, left[::10])
    corrected = correct(prediction, at, anchors).apply(prediction)
    share = [(where_next(p, 8).places.centres[:, 0] < 2000).mean() for p in (prediction, corrected)]
    assert share[1] < share[0]


def test_proposed_spots_tell_more_than_spots_of_one_corner():
    prediction = slide_of()
    truth, anchors, at = measured(prediction, np.arange(len(prediction)), noise=0.5)
    chosen = most_telling_anchors(prediction, at, 12)
    assert len(set(chosen)) == 12
    corner = np.argsort(prediction.places.centres.sum(axis=1))[:12]
    errors = []
    for rows in (chosen, corner):
        part = replace(at, places=at.places.select(rows), hidden=at.hidden[rows])
        corrected = correct(prediction, part, anchors.select(rows)).apply(prediction)
        errors.append(((truth - corrected.matrix()) ** 2).mean())
    assert errors[0] < errors[1]
