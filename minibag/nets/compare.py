"""Three small networks to compare BagNets with: a ResNet, a VGG and a DenseNet.

They have the blocks of the published networks (He et al. 2016; Simonyan & Zisserman 2015; Huang
et al. 2017), made for images of 64 to 96 pixels: ResNet and DenseNet begin with a 3x3 convolution
instead of 7x7 and pooling, none has dropout, and there are 0.3 to 1.2 million parameters. All pad
their convolutions, and a cell of their last maps sees 62 pixels or more: what it says is no
evidence of a patch, but of nearly the whole image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from minibag.nets.bagnet import Add


class Convnet(nn.Module):
    """Feature maps, their mean over the image, a linear layer: all three networks end so."""

    def __init__(self, features: nn.Sequential, channels: int, num_classes: int) -> None:
        super().__init__()
        self.features = features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W), normalised, H and W of at least 8 pixels, to logits (N, C)."""
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < 8:
            raise ValueError(
                f"expected images (N, 3, H, W) of at least 8 x 8, got {tuple(x.shape)}"
            )
        return self.fc(self.pool(self.features(x)).flatten(1))


def conv(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that keeps the size of its map, but for the stride."""
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, added to the skip; (N, c_in, h, w) to (N, c_out, h', w')."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *(conv(c_in, c_out, 3, stride), nn.BatchNorm2d(c_out), nn.ReLU()),
            *(conv(c_out, c_out), nn.BatchNorm2d(c_out)),
        )
        self.skip = nn.Sequential()
        if stride > 1 or c_in != c_out:
            self.skip.extend([conv(c_in, c_out, 1, stride), nn.BatchNorm2d(c_out)])
        self.add, self.relu = Add(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(branch(x) + skip(x))."""
        return self.relu(self.add(self.branch(x), self.skip(x)))


class DenseLayer(nn.Module):
    """A bottleneck whose ``growth`` new channels join the old: (N, c, h, w) to c + growth."""

    def __init__(self, c_in: int, growth: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *(nn.BatchNorm2d(c_in), nn.ReLU(), conv(c_in, 4 * growth, 1)),
            *(nn.BatchNorm2d(4 * growth), nn.ReLU(), conv(4 * growth, growth)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x and branch(x), one behind the other."""
        return torch.cat([x, self.branch(x)], 1)


def small_resnet(
    num_classes: int = 10, width: int = 32, layers: Sequence[int] = (2, 2, 2)
) -> Convnet:
    """Return a ResNet of basic blocks: a stem of stride 2, then ``layers`` blocks in each stage.

    The first stage has ``width`` channels; every other one doubles them and halves the map.
    """
    parts: list[nn.Module] = [conv(3, width, 3, 2), nn.BatchNorm2d(width), nn.ReLU()]
    c_in = width
    for stage, n in enumerate(layers):
        c_out = width * 2**stage
        for block in range(n):
            parts.append(BasicBlock(c_in, c_out, 2 if stage and not block else 1))
            c_in = c_out
    return Convnet(nn.Sequential(*parts), c_in, num_classes)


def small_vgg(
    num_classes: int = 10, width: int = 32, layers: Sequence[int] = (1, 1, 2, 2)
) -> Convnet:
    """Return a VGG with batch norm: ``layers`` 3x3 convolutions in each stage, max pooling between.

    The first stage has ``width`` channels and works at full size; every other one doubles them.
    """
    parts: list[nn.Module] = []
    c_in = 3
    for stage, n in enumerate(layers):
        if stage:
            parts.append(nn.MaxPool2d(2))
        c_out = width * 2**stage
        for _ in range(n):
            parts += [conv(c_in, c_out), nn.BatchNorm2d(c_out), nn.ReLU()]
            c_in = c_out
    return Convnet(nn.Sequential(*parts), c_in, num_classes)


def small_densenet(
    num_classes: int = 10, width: int = 16, layers: Sequence[int] = (4, 8, 8)
) -> Convnet:
    """Return a DenseNet-BC: a stem of stride 2, then ``layers`` dense layers in each stage.

    ``width`` is the growth rate; between stages, channels and sides of the map are halved.
    """
    channels = 2 * width
    parts: list[nn.Module] = [conv(3, channels, 3, 2)]
    for stage, n in enumerate(layers):
        if stage:
            parts += [nn.BatchNorm2d(channels), nn.ReLU(), conv(channels, channels // 2, 1)]
            parts.append(nn.AvgPool2d(2))
            channels //= 2
        parts += [DenseLayer(channels + i * width, width) for i in range(n)]
        channels += n * width
    parts += [nn.BatchNorm2d(channels), nn.ReLU()]
    return Convnet(nn.Sequential(*parts), channels, num_classes)
