"""The work of a part of `bench.gpu_check`, and what its parts share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.bench.data_sets import DataSets
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.places import lattice_for
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import Section, load_section

Values = npt.NDArray[np.float32]
Tell = Callable[[str, Any], None]
PRECISIONS: tuple[Literal["fp32"], Literal["bf16"]] = ("fp32", "bf16")

SAME = 1e-3
"""Difference that rounding explains, as a part of the largest value."""


@dataclass(frozen=True)
class Trial:
    """The work of a part: slides, models and device, and whom to tell what it finds."""

    data: DataSets
    tell: Tell

    @property
    def device(self) -> torch.device:
        """The device that is held against the processor."""
        return self.data.device

    @property
    def small(self) -> bool:
        """Small sizes: to see that it works."""
        return self.data.options.quick

    @property
    def rounds(self) -> int:
        """How often rates are measured: a processor takes minutes over what a graphics card does in seconds."""
        return 1 if self.small or self.device.type == "cpu" else 3

    def options(self, precision: Literal["fp32", "bf16"], device: str | None = None) -> PredictionOptions:
        """Options of a prediction that keeps nothing."""
        return PredictionOptions(device=device or str(self.device), precision=precision, cache=False)

    def predict(self, precision: Literal["fp32", "bf16"], device: str | None = None) -> Values:
        """Predict the whole slide, coarse: (n, G) in label units."""
        model = self.data.load_model()
        places = lattice_for(self.data.slide, model.card)
        return predict_places(self.data.slide, model, places, self.options(precision, device))[0].matrix()

    def section(self, config: TrainingConfig) -> tuple[Section, Any]:
        """Load the slide with its counts as training does, and make its card."""
        sample, counts = self.data.sample, self.data.data
        card = card_for([sample], [counts], config)
        return load_section(sample, counts, card), card


def random_pixels(side: int) -> npt.NDArray[np.uint8]:
    """Draw a square of noise: (side, side, 3)."""
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
