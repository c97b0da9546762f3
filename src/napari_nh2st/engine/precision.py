"""The precision to predict and train in: the one that was asked for, or what this machine does best."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import torch

from napari_nh2st.engine.calibration import calibrate
from napari_nh2st.engine.device import choose_device, has_fast_bf16
from napari_nh2st.engine.options import PRECISIONS, Precision
from napari_nh2st.errors import Nh2stError

if TYPE_CHECKING:
    from napari_nh2st.engine.options import PredictionOptions

PRECISION_VARIABLE = "NH2ST_PRECISION"


def choose_precision(name: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """Resolve a precision; "auto" is what NH2ST_PRECISION says, else bfloat16 where it is native and won a short trial.

    Raises
    ------
    Nh2stError
        If NH2ST_PRECISION names no precision.
    """
    if name == "auto":
        name = _meant_by_auto()
    if name == "auto":
        return calibrate(device).precision if has_fast_bf16(device) else "fp32"
    return name


def chosen(options: PredictionOptions) -> tuple[torch.device, Literal["fp32", "bf16"]]:
    """Resolve device and precision of options; where "auto" leaves them open, those of their store."""
    signature = {} if options.store is None else options.store.meta["signature"]
    name, precision = options.device, options.precision
    if name == "auto" and signature.get("device") == "cpu":
        name = "cpu"
    device = choose_device(name)
    if precision == "auto" and signature.get("device") == device.type and signature.get("precision") in PRECISIONS:
        precision = signature["precision"]
    return device, choose_precision(precision, device)


def _meant_by_auto() -> Precision:
    said = os.environ.get(PRECISION_VARIABLE) or "auto"
    for precision in PRECISIONS:
        if precision == said:
            return precision
    raise Nh2stError(f"{PRECISION_VARIABLE} is {said!r}: set it to {', '.join(PRECISIONS)}, or to nothing")
