"""Probe: a model is loaded, and predicts the same patches several ways."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.doctor.child import tell
from napari_nh2st.doctor.known_answers import known_answer

if TYPE_CHECKING:
    import torch

    from napari_nh2st.model.folder import Model
    from napari_nh2st.model.predictor_model import PredictorModel

PATCHES = 2
Values = npt.NDArray[np.float32]


def probe(name: str, device: str = "auto") -> None:
    """Tell whether a model can be loaded, and whether its predictions repeat and agree."""
    from napari_nh2st.engine.device import choose_device
    from napari_nh2st.model.folder import Model
    from napari_nh2st.model.models import load_model

    model = load_model(name)
    if not isinstance(model, Model):
        _probe_predictor(model, str(choose_device(device)))
        return
    tell("loaded", True)
    state = model.net.state_dict()
    tell("weights", sum(v.numel() for v in state.values()))
    tell("reference", None if model.reference is None else model.reference.tiles)
    cpu = choose_device("cpu")
    first, second = predict_patches(model, cpu), predict_patches(model, cpu)
    tell("predicted", bool(np.isfinite(first).all()))
    tell("repeats", float(np.abs(first - second).max()))
    tell("size", float(np.abs(first).max()))
    known = known_answer(model.hash)
    if known is not None:
        tell("known", float(np.abs(first[:, : len(known[0])] - np.array(known)).max()))
    chosen = choose_device(device)
    tell("device", chosen.type)
    if chosen.type != "cpu":
        tell("device_differs", float(np.abs(first - predict_patches(model, chosen)).max()))


def _probe_predictor(model: PredictorModel, device: str) -> None:
    """Tell whether someone else's model can be loaded, and how it breaks the contract."""
    from napari_nh2st.testing import check_predictor

    model.load(device)
    tell("loaded", True)
    try:
        check_predictor(model.predictor, device=device)
    except AssertionError as error:
        tell("contract", str(error))
    else:
        tell("contract", "")


def patches(side: int) -> npt.NDArray[np.uint8]:
    """Return (n, side, side, 3) uint8 of coloured stripes, made of whole numbers alone: the same on every machine."""
    n, y, x, c = np.ogrid[:PATCHES, :side, :side, :3]
    stripes: npt.NDArray[np.uint8] = (128 + ((x * (3 + c) + y * (5 - c) + 37 * n) // 8 % 96)).astype(np.uint8)
    return stripes


def predict_patches(model: Model, device: torch.device) -> Values:
    """Return (n, G) values of the patches, each without its surroundings, in fp32."""
    from napari_nh2st.engine.model_runner import ModelRunner
    from napari_nh2st.geometry import SELF
    from napari_nh2st.model.folder import decoder_of

    runner = ModelRunner(copy.deepcopy(model.net), device, "fp32")
    embeddings = runner.encode_patches(patches(model.card.patch), lambda: False)
    own = np.arange(PATCHES, dtype=np.int32)
    present = np.zeros((PATCHES, 9), dtype=bool)
    present[:, SELF] = True
    hidden = runner.hidden_vectors(embeddings, own, np.repeat(own[:, None], 9, axis=1), present)
    decoder = decoder_of(model.net)
    return (hidden @ decoder.weight.T + decoder.bias).astype(np.float32)
