"""The model as the engine runs it: on one device, in one precision, batch norm and normalisation folded in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_nh2st.engine.calibration import calibrate
from napari_nh2st.engine.device import computing
from napari_nh2st.errors import Cancelled
from napari_nh2st.model.encoder import BasicBlock, ResNet18
from napari_nh2st.model.nh2st import IMAGENET_MEAN, IMAGENET_STD, ContextNH2ST, normalise
from napari_nh2st.model.stain import stain_maps

if TYPE_CHECKING:
    from napari_nh2st.model.nh2st import NH2ST

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

# Bytes of the largest layer that is computed at once on a processor: glibc gives larger buffers back to the system
# after each use, and the system fills them with zeros for the next one, which costs as much as a convolution.
BUFFER = 28 * 2**20


def folded(encoder: ResNet18) -> ResNet18:
    """Copy an encoder for RGB of 0 to 255: same answers where it sees no zero padding, one pass less over memory.

    Batch norm goes into the convolution before it, and normalisation by ImageNet's mean and standard deviation into the
    first one. Zero padding then means black instead of the mean, which is why it must lie in a halo.
    """
    net: Any = copy.deepcopy(encoder).eval()
    for block in [net, *(m for m in net.modules() if isinstance(m, BasicBlock))]:
        block.conv1, block.bn1 = fuse_conv_bn_eval(block.conv1, block.bn1), nn.Identity()
        if block is not net:
            block.conv2, block.bn2 = fuse_conv_bn_eval(block.conv2, block.bn2), nn.Identity()
            if block.downsample is not None:
                block.downsample = fuse_conv_bn_eval(*block.downsample)
    weight, bias = net.conv1.weight, net.conv1.bias
    mean, std = (
        torch.tensor(v, device=weight.device)[None, :, None, None] * 255 for v in (IMAGENET_MEAN, IMAGENET_STD)
    )
    with torch.no_grad():
        bias -= (weight * mean / std).sum(dim=(1, 2, 3))
        weight /= std
    out: ResNet18 = net
    return out


@contextmanager
def cancellable(encoder: nn.Module, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Ask `cancelled` before every stage of the encoder: a stop takes effect within a fraction of a window."""

    def ask(*_: Any) -> None:
        if cancelled():
            raise Cancelled("stopped")

    hooks = [part.register_forward_pre_hook(ask) for part in encoder.children()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that a device, or this machine, has no memory left for a tensor."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in words or "allocate memory" in words)


class ModelRunner:
    """A model on one device: pixels to embeddings, embeddings to hidden vectors.

    Parameters
    ----------
    net : NH2ST
        Moved to the device.
    device : torch.device
    precision : {"fp32", "bf16"}
    """

    def __init__(self, net: NH2ST, device: torch.device, precision: str) -> None:
        self.device, self.precision = device, precision
        self.layout: Any = calibrate(device).memory_format
        self.net: NH2ST = net.to(device).to(memory_format=self.layout).eval()  # type: ignore[call-overload]
        self.encoder: ResNet18 = folded(self.net.encoder).to(memory_format=self.layout)  # type: ignore[call-overload]
        self.stride: int = self.net.arch.stride
        self.halo = -(-self.net.encoder.receptive_radius // self.stride)

    def encode_window(self, pixels: U8, cancelled: Callable[[], bool]) -> F32:
        """Encode a window of tissue with its halo: one embedding a cell, the 7 x 7 cells round it pooled.

        Parameters
        ----------
        pixels : (H, W, 3) uint8
            ``(rows + 6 + 2 halo) * stride`` high, and so wide.
        cancelled : callable

        Returns
        -------
        (rows, columns, d) float32
        """
        assert isinstance(self.net, ContextNH2ST)
        halo, stride = self.halo, self.stride
        with cancellable(self.encoder, cancelled), self._computing():
            # A byte a channel goes to the device; height, width, channel is the order of channels-last already.
            image = torch.from_numpy(pixels).to(self.device).permute(2, 0, 1)[None]
            maps = self._maps(image)[..., halo:-halo, halo:-halo]
            out = F.avg_pool2d(maps.float(), 7, stride=1)
            if self.net.kernel_head is not None:
                rim = (halo - 1) * stride  # a cell more than is described: its own border is not exact
                stain = stain_maps(image[..., rim:-rim, rim:-rim] if rim else image, stride)
                out = torch.cat([out, stain[..., 1:-1, 1:-1]], dim=1)
            return self._numpy(out[0].permute(1, 2, 0))

    def _maps(self, image: Tensor) -> Tensor:
        """Feature maps of (1, 3, H, W) bytes. On a processor the widest layers run in bands that fit a buffer."""
        if self.device.type != "cpu":
            return self.encoder.late(self.encoder.early(image.float().contiguous(memory_format=self.layout)))
        margin = -(-self.encoder.early_radius // self.stride) * self.stride
        line = image.shape[3] * self.encoder.conv1.out_channels  # bytes of the first layer a line of the image
        band = max(1, (BUFFER // line - 2 * margin) // self.stride) * self.stride
        height = image.shape[2]
        parts = []
        for top in range(0, height, band):
            bottom = min(height, top + band)
            above, below = max(0, top - margin), min(height, bottom + margin)
            part = image[:, :, above:below].float().contiguous(memory_format=self.layout)
            early = self.encoder.early(part)
            parts.append(early[:, :, (top - above) // 4 : (bottom - above) // 4])
        return self.encoder.late(torch.cat(parts, dim=2))

    def encode_patches(self, pixels: U8, cancelled: Callable[[], bool]) -> F32:
        """Encode patches by themselves: (n, patch, patch, 3) -> (n, d)."""
        with cancellable(self.net.encoder, cancelled), self._computing():
            out = self.net.encode(normalise(torch.from_numpy(pixels).to(self.device)))
            return self._numpy(out.flatten(1))

    def hidden_vectors(self, cells: F32, own: Any, nine: Any, present: Any) -> F32:
        """Hidden vectors (B, h) of places that share embeddings (M, d); see `ContextNH2ST.hidden_vectors_at`."""
        with torch.inference_mode():
            embeddings, own_index, nine_index, there = (
                torch.from_numpy(np.ascontiguousarray(a)).to(self.device) for a in (cells, own, nine, present)
            )
            if isinstance(self.net, ContextNH2ST):
                hidden = self.net.hidden_vectors_at(embeddings, own_index.long(), nine_index.long(), there)  # (B, h)
            else:
                target = embeddings[own_index.long()]  # (B, d)
                hidden = self.net.hidden_vectors(target, target[:, None], there)  # (B, h)
            return self._numpy(hidden)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with torch.inference_mode(), computing(self.device, self.precision):
            yield

    @staticmethod
    def _numpy(values: Tensor) -> F32:
        out: F32 = values.float().cpu().numpy()
        return out
