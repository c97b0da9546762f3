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
from napari_nh2st.engine.head_runner import HeadRunner, SeenSlide
from napari_nh2st.engine.out_of_memory import Halving
from napari_nh2st.errors import Cancelled
from napari_nh2st.model.encoder import BasicBlock, ResNet18
from napari_nh2st.model.nh2st import IMAGENET_MEAN, IMAGENET_STD, normalise
from napari_nh2st.model.stain import STAIN_MARGIN, stain_inside, stain_maps

if TYPE_CHECKING:
    from napari_nh2st.model.heads.seen import SlideSample
    from napari_nh2st.model.nh2st import NH2ST

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F16 = npt.NDArray[np.float16]

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


def without_padding(encoder: ResNet18) -> ResNet18:
    """Copy an encoder that computes nothing but what it sees whole: each layer's map is smaller than its input.

    The first cell is centred on pixel `receptive_radius`. So the halo of a window costs only the early layers anything,
    and nothing in it has to be cut away.
    """
    net = copy.deepcopy(encoder)
    for part in net.modules():
        if isinstance(part, (nn.Conv2d, nn.MaxPool2d)):
            part.padding = (0, 0) if isinstance(part, nn.Conv2d) else 0
    return net


def _ask(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled("stopped")


@contextmanager
def cancellable(encoder: nn.Module, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Ask `cancelled` before every stage of the encoder: a stop takes effect within a fraction of a window."""
    hooks = [part.register_forward_pre_hook(lambda *_: _ask(cancelled)) for part in encoder.children()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class ModelRunner:
    """A model on one device: pixels to embeddings, embeddings to hidden vectors.

    Parameters
    ----------
    net : NH2ST
        Moved to the device.
    device : torch.device
    precision : {"fp32", "bf16"}
        Of the encoder, and of the head's largest product.
    """

    def __init__(self, net: NH2ST, device: torch.device, precision: str) -> None:
        self.device, self.precision = device, precision
        self.layout: Any = calibrate(device).memory_format
        self.net: NH2ST = net.to(device).to(memory_format=self.layout).eval()  # type: ignore[call-overload]
        encoder = without_padding(folded(self.net.encoder))
        self.encoder: ResNet18 = encoder.to(memory_format=self.layout)  # type: ignore[call-overload]
        self.stride: int = self.net.arch.stride
        self._head = HeadRunner(self.net, device, precision)
        self._patches = Halving(device)
        self.halo: int = self.encoder.receptive_radius

    def window_side(self, entries: int) -> int:
        """Pixels down or across a window of so many entries: the cells that they pool, and a halo round these."""
        return (entries + 6 - 1) * self.stride + 1 + 2 * self.halo

    def encode_window(self, pixels: U8, cancelled: Callable[[], bool]) -> F32 | F16:
        """Encode a window of tissue with its halo: one embedding a cell, the 7 x 7 cells round it pooled.

        Parameters
        ----------
        pixels : (H, W, 3) uint8
            `window_side` of its rows high, of its columns wide. The first cell is centred on pixel (halo, halo).
        cancelled : callable

        Returns
        -------
        (rows, columns, d) float32, or the float16 that is kept of it
            The latter from a graphics card, which joins and rounds it before half as many bytes come back.
        """
        with self._computing():
            # A byte a channel goes to the device; height, width, channel is the order of channels-last already.
            image = torch.from_numpy(pixels).to(self.device).permute(2, 0, 1)[None]
            learnt = F.avg_pool2d(self._maps(image, cancelled).float(), 7, stride=1)[0].permute(1, 2, 0)
            if self.device.type != "cpu":
                kept: F16 = self._with_stain(learnt, image).half().cpu().numpy()
                return kept
            if self.net.kernel_head is None:
                return self._numpy(learnt)
            return np.concatenate([self._numpy(learnt), self._stain_inside(pixels)], axis=2)

    def _stain_inside(self, pixels: U8) -> F32:
        """Stain statistics (rows, columns, s) of a window, by the way that is faster on a processor."""
        stride = self.stride
        rim = self.halo - stride // 2 - STAIN_MARGIN
        height, width = (n - 2 * self.halo - 1 + stride + 2 * STAIN_MARGIN for n in pixels.shape[:2])
        return stain_inside(pixels[rim : rim + height, rim : rim + width], stride)

    def _with_stain(self, learnt: Tensor, image: Tensor) -> Tensor:
        """Join embeddings (rows, columns, c) and the stain statistics of their window (1, 3, H, W), on its device."""
        if self.net.kernel_head is None:
            return learnt
        rim = self.halo - self.stride  # a cell more than is described: its own border is not exact
        height, width = (n - 2 * self.halo - 1 + 3 * self.stride for n in image.shape[2:])
        maps = stain_maps(image[..., rim : rim + height, rim : rim + width], self.stride)
        return torch.cat([learnt, maps[0, :, 1:-1, 1:-1].permute(1, 2, 0)], dim=2)

    def _maps(self, image: Tensor, cancelled: Callable[[], bool]) -> Tensor:
        """Feature maps of (1, 3, H, W) bytes. On a processor the widest layers run in bands that fit a buffer.

        Several threads may ask at once, so the encoder has no hooks.
        """
        seen = 2 * self.encoder.early_radius + 1  # lines of the image behind a line of `early`
        line = image.shape[3] * self.encoder.conv1.out_channels  # bytes of the first layer a line of the image
        height = (image.shape[2] - seen) // 4 + 1
        band = max(1, (BUFFER // line - seen) // 4 + 1) if self.device.type == "cpu" else height
        parts = []
        for top in range(0, height, band):
            _ask(cancelled)
            bottom = min(height, top + band)
            part = image[:, :, 4 * top : 4 * (bottom - 1) + seen].float().contiguous(memory_format=self.layout)
            parts.append(self.encoder.early(part))
        maps = torch.cat(parts, dim=2)
        for stage in self.encoder.late_stages:
            _ask(cancelled)
            maps = stage(maps)
        return maps

    def encode_patches(self, pixels: U8, cancelled: Callable[[], bool]) -> F32:
        """Encode patches by themselves: (n, patch, patch, 3) -> (n, d).

        Raises
        ------
        Nh2stError
            If there is not enough memory for one patch.
        """

        def encode(part: slice) -> F32:
            with cancellable(self.net.encoder, cancelled), self._computing():
                out = self.net.encode(normalise(torch.from_numpy(pixels[part]).to(self.device)))
                return self._numpy(out.flatten(1))

        return self._patches(encode, len(pixels), self.net.embedding_dim)

    def see_slide(self, sample: SlideSample) -> SeenSlide:
        """See `HeadRunner.see_slide`."""
        return self._head.see_slide(sample)

    def hidden_vectors(
        self, cells: F32, own: Any, nine: Any, present: Any, slide: SeenSlide | None = None, centres: F32 | None = None
    ) -> F32:
        """Hidden vectors (B, h) of places that share embeddings (M, d); see `HeadRunner`."""
        return self._head(cells, own, nine, present, slide, centres)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with torch.inference_mode(), computing(self.device, self.precision):
            yield

    @staticmethod
    def _numpy(values: Tensor) -> F32:
        out: F32 = values.float().cpu().numpy()
        return out
