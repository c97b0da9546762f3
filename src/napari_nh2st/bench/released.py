"""The procedure of the code released with NH2ST, as a yardstick: ten patches encoded for every spot, spot by spot.

Written anew from what that code does (Qu et al., arXiv 2506.23827; its layer sizes). Its patches lie ready in memory:
reading is not counted against it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree

from napari_nh2st.bench.rates import Clock, Rate
from napari_nh2st.engine.embeddings import read_patches
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.nh2st import NH2ST, normalise
from napari_nh2st.slides import Slide
from napari_nh2st.training.objectives.objective import Step
from napari_nh2st.training.objectives.paper_contrast import PaperContrast
from napari_nh2st.training.objectives.table import PublishedContrastOptions

ARCHITECTURE = Architecture(
    variant="paper", encoder="resnet18", width=64, stride=32, dim=512, hidden=256, heads=8, dropout=0.5
)
"""The released sizes: ResNet-18 on 224 px, 25,088 -> 512, hypergraph 25,088 -> 1,024 -> 512, 512 -> 256 -> genes."""

GENES = 250
NEIGHBOURS = 9


class Released:
    """Predicts spots as the released code's test step does: batch 1, float32, target and nine neighbours.

    Parameters
    ----------
    slide : Slide
    spots : (n, 2) float64
        Centres, level-0 pixels. The nine nearest, the spot among them, are its neighbours.
    patch_um : float
        Contender of a patch.
    device : torch.device
    arch : Architecture
        The released sizes; a test takes smaller ones.
    """

    def __init__(
        self,
        slide: Slide,
        spots: npt.NDArray[np.float64],
        patch_um: float,
        device: torch.device,
        *,
        count: int,
        arch: Architecture = ARCHITECTURE,
    ) -> None:
        self.device = device
        self.net = NH2ST(arch, GENES).to(device).eval()
        self.contrast = PaperContrast(PublishedContrastOptions(), arch, GENES).to(device).eval()
        scale = patch_um / arch.patch / slide.require_mpp()
        _, near = cKDTree(spots).query(spots, min(NEIGHBOURS, len(spots)))
        # From the middle of the spots, so that neighbourhoods overlap as they do everywhere.
        chosen = np.argsort(np.linalg.norm(spots - spots.mean(axis=0), axis=1))[:count]
        used, where = np.unique(near[chosen], return_inverse=True)
        corners = np.round(spots[used][:, ::-1] / scale - arch.patch / 2).astype(np.int64)
        patches = read_patches(slide, corners, arch.patch, scale)
        self._patches = torch.from_numpy(patches)
        self._near = torch.from_numpy(where.reshape(len(chosen), -1))
        self._labels = torch.rand(1, NEIGHBOURS, GENES, device=device)

    def __len__(self) -> int:
        return len(self._near)

    @torch.inference_mode()
    def predict(self) -> torch.Tensor:
        """Predict every spot: (n, genes)."""
        return torch.cat([self._one(near) for near in self._near])

    def _one(self, near: torch.Tensor) -> torch.Tensor:
        """Encode a target and its nine neighbours, the target itself once more among them, and run every branch."""
        target = self.net.encoder(self._images(near[:1]))  # (1, C, 7, 7)
        maps = self.net.encoder(self._images(near))  # (9, C, 7, 7)
        order = torch.arange(1, NEIGHBOURS + 1) % len(near)
        nine = maps[order].clone()  # where fewer spots are than nine, some stand twice
        nine[SELF] = target[0]
        there = torch.ones(1, NEIGHBOURS, dtype=torch.bool, device=self.device)
        hidden, tokens = self.net.look(Seen(nine[None], there))
        prediction = self.net.learnt(hidden)
        none = torch.zeros(1, dtype=torch.long, device=self.device)
        step = Step(tokens, hidden, prediction, self.net.learnt, self._labels, there, there, none)
        self.contrast.pairs(step)
        return prediction

    def _images(self, which: torch.Tensor) -> torch.Tensor:
        return normalise(self._patches[which].to(self.device)).contiguous()

    def measure(self) -> Rate:
        """Measure once."""
        clock = Clock()
        self.predict().cpu()
        return Rate(len(self) / clock.seconds)
