"""Links of a place and its eight neighbours with those that they touch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_nh2st.geometry import NEIGHBOUR_STEPS


class NineLinks(nn.Module):
    """The graph of nine places: each is linked with itself and with the present ones beside it."""

    beside: Tensor

    def __init__(self) -> None:
        super().__init__()
        steps = torch.from_numpy(NEIGHBOUR_STEPS)
        self.register_buffer("beside", (steps[:, None] - steps[None]).abs().amax(-1) <= 1, persistent=False)

    def forward(self, present: Tensor) -> Tensor:
        """(B, 9) bool -> (B, 9, 9) bool; an absent place is linked with itself alone."""
        itself = torch.eye(len(NEIGHBOUR_STEPS), dtype=torch.bool, device=present.device)
        return itself | (self.beside & present[:, None] & present[..., None])
