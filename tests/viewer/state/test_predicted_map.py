"""The map of a slide: sparse, quick to decode, and within its memory."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from napari_nh2st.geometry import Box, TileSet
from napari_nh2st.model.decoder import Decoder
from napari_nh2st.viewer.state.predicted_map import BLOCK, PredictedMap, Preview
from support.predictions import prediction
from viewer.fakes import GENES, card


def empty_map(shape: tuple[int, int], *, pitch: int = 112, hidden: int = 4, scale: float = 2.0) -> PredictedMap:
    weight = np.random.default_rng(0).normal(size=(len(GENES), hidden)).astype(np.float32)
    slide = {"path": "x.svs", "fingerprint": "f", "mpp": 0.5, "mpp_source": "aperio", "shape": shape}
    return PredictedMap(slide, card(), Decoder(weight, np.arange(4, dtype=np.float32)), scale=scale, pitch=pitch)


def random_hidden(n: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, width)).astype(np.float16)


@pytest.mark.parametrize("shape", [(960, 1280), (961, 4003), (5000, 300)])
@pytest.mark.parametrize(("pitch", "scale"), [(112, 1.0), (16, 2.78), (48, 0.71)])
def test_the_lattice_by_formula_is_the_lattice(shape, pitch, scale) -> None:
    made = empty_map(shape, pitch=pitch, scale=scale)
    laid = TileSet.lattice(Box(0, 0, shape[1], shape[0]), scale=scale, pitch=pitch, patch=112)
    np.testing.assert_array_equal(made.tiles().grid, laid.grid)
    np.testing.assert_array_equal(made.tiles().centres, laid.centres)
    assert made.origin == tuple(laid.centres[0])


def test_values_are_the_decoder_s() -> None:
    made = empty_map((6000, 9000), pitch=16, hidden=24)
    cells = np.random.default_rng(2).choice(made.rows * made.columns, 5000, replace=False)
    hidden = random_hidden(5000, 24)
    hidden[:3] = np.array([6e-8, -6e-8, 65504.0, -65504.0] * 6, np.float16)  # the ends of what float16 holds
    made.add(cells, hidden)
    for gene in GENES[:3]:
        expected = made.decoder(hidden, [GENES.index(gene)])[:, 0]
        np.testing.assert_allclose(made.values(gene).ravel()[cells], expected, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(made.values(gene, cells), expected, rtol=1e-5, atol=1e-4)
    assert np.isfinite(made.values("ERBB2")).sum() == made.count == 5000
    np.testing.assert_array_equal(made.hidden_of(cells), hidden)
    exported = made.prediction()
    np.testing.assert_array_equal(exported.hidden, hidden[np.argsort(cells)])
    np.testing.assert_array_equal(made.cells(exported.places), np.sort(cells))


def test_a_gene_of_a_hundred_thousand_cells_among_five_million() -> None:
    made = empty_map((71_000, 72_000), pitch=16, hidden=384)
    assert made.rows * made.columns > 4_900_000
    assert made.nbytes == 0
    side = np.arange(317)
    cells = (side[:, None] * made.columns + side).ravel() + 1000 * made.columns + 1000
    made.add(cells, random_hidden(len(cells), 384))
    assert made.nbytes < 120 << 20
    took = []
    for gene in GENES * 2:
        started = time.process_time()
        values = made.values(gene)
        took.append(time.process_time() - started)
    assert np.isfinite(values).sum() == len(cells)
    print(f"a gene of {len(cells):,} cells among {made.rows * made.columns:,}: {1000 * min(took):.0f} ms")
    assert min(took) < 0.5  # about 0.05 s on a free machine


def test_what_was_seen_longest_ago_goes_first() -> None:
    made = empty_map((960 * 4, 1280 * 4), pitch=16)
    cells = np.arange(made.rows * made.columns)
    made.add(cells, random_hidden(len(cells), 4))
    full, block = made.nbytes, BLOCK * BLOCK * 8
    corner = Box(0, 0, 200, 200)
    made.seen(corner)
    dropped = made.shrink(full // 2)
    assert made.nbytes <= full // 2
    assert made.count == made.done.sum() == len(cells) - len(dropped)
    assert made.missing(dropped).all()
    kept = made.cells(TileSet.lattice(corner, scale=2.0, pitch=16, patch=112))
    assert made.done[kept].all()
    assert np.isnan(made.values("ERBB2", dropped)).all()
    assert made.shrink(full).size == 0
    made.shrink(block)
    assert made.done[kept].all()


def test_damaged_is_neither_done_nor_missing() -> None:
    made = empty_map((2000, 2000))
    hidden = random_hidden(3, 4)
    hidden[1] = np.nan
    made.add(np.array([0, 1, 2]), hidden)
    assert made.count == 2
    assert list(made.missing(np.arange(4))) == [False, False, False, True]
    assert np.isnan(made.values("ERBB2", np.array([1])))
    assert len(made.prediction()) == 2


def test_a_preview_shows_where_nothing_better_is() -> None:
    made = empty_map((2000, 2000))
    made.preview = Preview(np.arange(6), np.array([0, 0, 0, 1, 1, 1]), random_hidden(2, 4))
    looks = made.decoder(made.preview.hidden, [0])[:, 0]
    assert made.count == 0
    assert len(made.prediction()) == 0
    np.testing.assert_allclose(made.values("ERBB2").ravel()[:6], looks[[0, 0, 0, 1, 1, 1]])
    real = np.full((2, 4), 2, np.float16)
    real[1] = np.nan
    made.add(np.array([1, 2]), real)
    values = made.values("ERBB2").ravel()
    np.testing.assert_allclose(values[1], made.decoder(real[:1], [0])[0, 0])
    assert np.isnan(values[2])  # damaged: better nothing than a guess


def test_a_slide_smaller_than_a_tile() -> None:
    with pytest.raises(ValueError, match="smaller than one tile"):
        empty_map((100, 5000))


def test_a_map_of_values_keeps_them_as_they_are_and_says_so() -> None:
    whole = prediction(undone=0)
    values = replace(whole, hidden=whole.matrix(), decoder=Decoder.of_values(len(whole.genes)))
    made = PredictedMap.of(values)
    assert made.values_only
    assert not PredictedMap.of(whole).values_only
    cells = made.cells(whole.places)
    np.testing.assert_array_equal(made.values("CD74").ravel()[cells], values.hidden[:, 1])
    np.testing.assert_array_equal(made.prediction().matrix(), values.hidden)
