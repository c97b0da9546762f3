"""Settings of pretraining."""

from __future__ import annotations

from dataclasses import dataclass

from napari_nh2st.engine.options import Precision

STEPS, BATCH = 200, 64


@dataclass(frozen=True)
class PretrainSettings:
    """Settings of pretraining.

    Attributes
    ----------
    width, stride, blocks : int
        Of the `ResNet18`.
    steps, batch : int
        Optimiser steps; places in each, two crops of each.
    seed : int
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "fp32", "bf16"}
    """

    width: int = 32
    stride: int = 16
    blocks: int = 1
    steps: int = STEPS
    batch: int = BATCH
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
