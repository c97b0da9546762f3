"""Checks that the author of a model calls in their own tests: docs/predictors.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import SELF
from napari_nh2st.model.predictor import Batch, Embeddings, Predictor, Tiles

_PLACES = 6
_SAME = 1e-3  # of the largest value: a batch of another size sums in another order


def check_predictor(predictor: Predictor, *, device: str = "cpu", tolerance: float = _SAME) -> None:
    """Check that a predictor keeps to the contract.

    It describes itself; loads twice; gives n x G finite numbers, the same ones each time; a place's answer depends
    neither on the batch nor on the order; and it leaves its inputs as they were.

    Parameters
    ----------
    predictor : Predictor
    device : str
        On which it is loaded.
    tolerance : float
        How far answers of other batches may differ, as a part of the largest value.

    Raises
    ------
    AssertionError
        Naming what is wrong.
    ModelError
        If it does not describe itself, or cannot be loaded.

    Examples
    --------
    >>> from napari_nh2st.testing import check_predictor
    >>> check_predictor(MyPredictor())  # doctest: +SKIP
    """
    from napari_nh2st.model.predictor_model import PredictorModel

    model = PredictorModel(predictor)
    again = PredictorModel(predictor)
    assert model.hash == again.hash, f"{predictor!r} describes itself in another way each time"
    model.load(device)
    again.load(device)
    batch = _batch(predictor)
    before = np.array(batch.inputs[:])
    values = model.ask(batch)
    assert np.array_equal(before, batch.inputs[:]), f"{predictor!r} changes the inputs that it is given"
    near = tolerance * max(1.0, float(np.abs(values).max(initial=0)))

    def same(other: npt.NDArray[Any], what: str) -> None:
        furthest = float(np.abs(other - values).max(initial=0))
        assert furthest <= near, f"{predictor!r}: {what} changes a value by {furthest:.3g}"

    same(model.ask(batch), "asking twice")
    order = np.random.default_rng(1).permutation(len(batch))
    turned = np.empty_like(values)
    turned[order] = model.ask(_rows(batch, order))
    same(turned, "the order of the places")
    if not predictor.needs.whole_slide:
        single = [model.ask(_rows(batch, np.array([i]))) for i in range(len(batch))]
        same(np.concatenate(single), "the size of the batch")
    if predictor.needs.neighbours:
        model.ask(_alone(batch))


def _rows(batch: Batch, rows: npt.NDArray[np.int64]) -> Batch:
    return replace(batch, inputs=batch.inputs[:][rows], present=batch.present[rows], centres=batch.centres[rows])


def _alone(batch: Batch) -> Batch:
    """Return the batch as if there were no tissue around its places."""
    present = np.zeros_like(batch.present)
    present[:, SELF] = True
    inputs = np.array(batch.inputs[:])
    inputs[~present] = 255 if inputs.dtype == np.uint8 else 0
    return replace(batch, inputs=inputs, present=present)


def _batch(predictor: Predictor) -> Batch:
    """Return a few places of tissue that looks like H&E from afar."""
    needs, rng = predictor.needs, np.random.default_rng(0)
    n = _PLACES * (9 if needs.neighbours else 1)
    inputs = _tiles(needs.size, n, rng) if isinstance(needs, Tiles) else _embeddings(needs, n, rng)
    if needs.neighbours:
        inputs = inputs.reshape(_PLACES, 9, *inputs.shape[1:])
    present = np.zeros((_PLACES, 9), dtype=bool)
    present[:, SELF] = True
    present |= needs.neighbours
    return Batch(inputs, present, rng.uniform(100, 5000, (_PLACES, 2)))


def _tiles(side: int, n: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw tiles (n, side, side, 3) between pink and violet, in patches of an eighth of a side."""
    pink, violet = np.array([225, 160, 200.0]), np.array([95, 60, 140.0])
    step = max(1, side // 8)
    coarse = rng.uniform(0, 1, (n, -(-side // step), -(-side // step), 1))
    share = coarse.repeat(step, axis=1).repeat(step, axis=2)[:, :side, :side]
    noise = rng.normal(0, 8, (n, side, side, 3))
    drawn: npt.NDArray[np.uint8] = np.clip(pink + share * (violet - pink) + noise, 0, 255).astype(np.uint8)
    return drawn


def _embeddings(needs: Embeddings, n: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Encode drawn tiles with the encoder that is needed, (n, d)."""
    import torch

    from napari_nh2st.engine.model_runner import ModelRunner
    from napari_nh2st.model.folder import load_model

    encoder = load_model(needs.model)
    runner = ModelRunner(encoder.net, torch.device("cpu"), "fp32")
    return runner.encode_patches(_tiles(encoder.card.patch, n, rng), lambda: False)
