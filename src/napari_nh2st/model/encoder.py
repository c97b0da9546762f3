"""ResNet-18 without pooling and classifier, in torchvision's parameter names, of any width; ResNet-10 on request.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
"""

from __future__ import annotations

from torch import Tensor, nn

# (kernel, stride) of every convolution or pooling on the longest path, for stride 32; see `receptive_radius`.
_STEM = [(7, 2), (3, 2)]


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.stride = stride
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        # A strided 1 x 1 convolution equals subsampling and a plain one. They are separate here because the strided
        # one's gradient overruns memory on narrow channels-last input (uxlfoundation/oneDNN#6035).
        step = self.stride
        # Without padding the two convolutions lose a cell each on every side, and the shortcut as many.
        lost = 0 if self.conv1.padding == (1, 1) else step + 1
        shortcut = x[:, :, lost : x.shape[2] - lost : step, lost : x.shape[3] - lost : step]
        shortcut = shortcut if self.downsample is None else self.downsample(shortcut)
        x = self.relu(self.bn1(self.conv1(x)))
        out: Tensor = self.relu(self.bn2(self.conv2(x)) + shortcut)
        return out


class ResNet18(nn.Module):
    """ResNet-18's convolutional part.

    Parameters
    ----------
    width : int
        Channels of the first stage; 64 is the original. The map has ``8 * width`` channels.
    stride : {32, 16}
        Pixels per cell of the feature map. 16 leaves the last stage at the resolution of the third, for
        input at half the resolution: as many cells per tissue at about half the cost.
    blocks : {2, 1}
        Residual blocks per stage. One makes it a ResNet-10, which learns better from a few hundred spots.
    """

    def __init__(self, width: int = 64, stride: int = 32, blocks: int = 2) -> None:
        super().__init__()
        if stride not in (16, 32):
            raise ValueError(f"stride must be 16 or 32, got {stride}")
        if blocks not in (1, 2):
            raise ValueError(f"blocks must be 1 or 2, got {blocks}")
        self.stride, self.blocks = stride, blocks
        self.channels = 8 * width
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._stage(width, width, 1, blocks)
        self.layer2 = self._stage(width, 2 * width, 2, blocks)
        self.layer3 = self._stage(2 * width, 4 * width, 2, blocks)
        self.layer4 = self._stage(4 * width, 8 * width, stride // 16, blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _stage(inputs: int, outputs: int, stride: int, blocks: int) -> nn.Sequential:
        more = [BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)]
        return nn.Sequential(BasicBlock(inputs, outputs, stride), *more)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) normalised RGB -> (B, 8 * width, H / stride, W / stride)."""
        return self.late(self.early(x))

    def early(self, x: Tensor) -> Tensor:
        """Run the stages at a quarter of the resolution: (B, 3, H, W) -> (B, width, H / 4, W / 4)."""
        out: Tensor = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        return out

    def late(self, x: Tensor) -> Tensor:
        """Run the rest: (B, width, H / 4, W / 4) -> (B, 8 * width, H / stride, W / stride)."""
        for stage in self.late_stages:
            x = stage(x)
        return x

    @property
    def late_stages(self) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
        """The stages of `late`, in their order."""
        return self.layer2, self.layer3, self.layer4

    @property
    def receptive_radius(self) -> int:
        """Pixels beyond a cell's anchor that can change it: the halo that makes a block exact at its seams."""
        return self._radius((1, 2, 2, self.stride // 16))

    @property
    def early_radius(self) -> int:
        """The same for the output of `early`, in pixels of the image."""
        return self._radius((1,))

    def _radius(self, stages: tuple[int, ...]) -> int:
        layers = list(_STEM)
        for stride in stages:
            layers += [(3, stride), (3, 1), *[(3, 1), (3, 1)] * (self.blocks - 1)]
        jump, radius = 1, 0
        for kernel, stride in layers:
            radius += (kernel // 2) * jump
            jump *= stride
        return radius
