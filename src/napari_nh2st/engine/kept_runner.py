"""The model runner of a process that predicts one slide after the other with the same model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.engine.calibration import calibrate
from napari_nh2st.engine.model_runner import ModelRunner

if TYPE_CHECKING:
    import torch

    from napari_nh2st.model.nh2st import NH2ST


class KeptRunner:
    """Makes a `ModelRunner`, and gives it again while net, device and precision are the same.

    Its sessions must work one after the other: they share the runner's net.
    """

    def __init__(self) -> None:
        self._kept: ModelRunner | None = None

    def __call__(self, net: NH2ST, device: torch.device, precision: str) -> ModelRunner:
        """Return the runner; another model, or another way to run it, replaces the one that was kept."""
        kept, way = self._kept, (device, precision, calibrate(device).memory_format)
        if kept is None or kept.net is not net or (kept.device, kept.precision, kept.layout) != way:
            kept = self._kept = None  # before the next one takes memory
            kept = self._kept = ModelRunner(net, device, precision)
        return kept

    def drop(self) -> None:
        """Let go of what is kept."""
        self._kept = None
