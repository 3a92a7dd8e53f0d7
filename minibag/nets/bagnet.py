"""BagNet (Brendel & Bethge, ICLR 2019): a ResNet-50 whose 3x3 convolutions are mostly 1x1.

Every unit of its last map sees only a q x q patch, so the logits are a mean of patch logits:
the evidence. Structure, parameter names and numbers are those of the published networks.

    stage    first block             channels  field (q = 9 / 17 / 33)  stride so far
    stem     conv 1x1, conv 3x3          64        3                          1
    layer1   3x3, stride 2              256        5                          2
    layer2   3x3, stride 2              512        9                          4
    layer3   3x3 (1x1 for 9), stride 2 1024        9 / 17 / 17                8
    layer4   3x3 (1x1 for 9, 17)       2048        9 / 17 / 33                8
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from itertools import chain

from torch import Tensor, nn

from minibag.bag import PatchGrid
from minibag.nets.published import load_published

# Side of the kernel in the first block of layer1 ... layer4; all other blocks are 1x1.
KERNELS = {5: (3, 1, 1, 1), 9: (3, 3, 1, 1), 17: (3, 3, 3, 1), 33: (3, 3, 3, 3)}
STRIDES = (2, 2, 2, 1)


class Add(nn.Module):
    """The sum of two maps, as a module, so that attribution methods can hook it."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return a + b."""
        return a + b


class Bottleneck(nn.Module):
    """conv 1x1, conv k x k without padding, conv 1x1, added to the skip; (N, C, h, w) to the same.

    The k x k kernel makes the map smaller than the skip, which must be cropped: at the bottom and
    right as published, so that it looks at the corner of its window, or to the centre.
    """

    def __init__(self, c_in: int, width: int, kernel: int, stride: int, centred: bool) -> None:
        super().__init__()
        c_out = 4 * width
        self.conv1 = nn.Conv2d(c_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, kernel, stride, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, c_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or c_in != c_out:
            skip = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(skip, nn.BatchNorm2d(c_out))
        self.add = Add()
        self.relu3 = nn.ReLU()
        self.centred = centred and kernel > 1

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, 4 width, h', w')."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.centred:
            edge = int(self.conv2.dilation[0])  # 1 pixel, unless `with_stride` spread the kernel
            x = x[..., edge:-edge, edge:-edge]
        skip = x if self.downsample is None else self.downsample(x)
        skip = skip[..., : out.shape[-2], : out.shape[-1]]
        return self.relu3(self.add(out, skip))


class BagNet(nn.Module):
    """A bag of learned words; see `bagnet33` for the parameters, shapes and errors."""

    def __init__(
        self,
        patch_size: int,
        num_classes: int = 1000,
        width: int = 64,
        layers: Sequence[int] = (3, 4, 6, 3),
        centred: bool = False,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        if patch_size not in KERNELS or len(layers) != 4 or min(*layers, width, num_classes) < 1:
            raise ValueError(
                f"a BagNet has a patch size of {', '.join(map(str, KERNELS))}, four stages of at "
                f"least one block, a width and classes; got patch_size={patch_size}, "
                f"layers={tuple(layers)}, width={width}, num_classes={num_classes}"
            )
        self.patch_size, self.stride = patch_size, math.prod(STRIDES)
        self.conv1 = nn.Conv2d(3, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width, momentum=0.001)
        self.relu = nn.ReLU()
        c_in, stages = width, []
        for i, (kernel, stride, n) in enumerate(
            zip(KERNELS[patch_size], STRIDES, layers, strict=True)
        ):
            wide = width * 2**i
            blocks = [Bottleneck(c_in, wide, kernel, stride, centred)]
            blocks += [Bottleneck(4 * wide, wide, 1, 1, centred) for _ in range(n - 1)]
            stages.append(nn.Sequential(*blocks))
            c_in = 4 * wide
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(c_in, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                k, _ = module.kernel_size
                nn.init.normal_(module.weight, 0, math.sqrt(2 / (k * k * module.out_channels)))
        if weights is not None:
            load_published(self, patch_size, weights)

    def stem(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) to the first map (N, width, H - 2, W - 2)."""
        return self.relu(self.bn1(self.conv2(self.conv1(x))))

    def stages(self) -> list[Callable[[Tensor], Tensor]]:
        """Return the parts of the network, each a function of the map before it."""
        return [self.stem, self.layer1, self.layer2, self.layer3, self.layer4]

    def features(self, x: Tensor) -> Tensor:
        """Return what the network says of every patch before `fc`: (N, 32 width, h, w)."""
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"expected images (N, 3, H, W), got a tensor {tuple(x.shape)}")
        self.grid((x.shape[2], x.shape[3]))
        for stage in self.stages():
            x = stage(x)
        return x

    def evidence(self, x: Tensor) -> Tensor:
        """Return the logits of every patch, (N, C, h, w); their mean over h, w is `forward(x)`."""
        return self.fc(self.features(x).movedim(1, -1)).movedim(-1, 1)

    @property
    def n_classes(self) -> int:
        """Number of logits C; TypeError if ``fc`` is not linear: then it is no bag any more."""
        if not isinstance(self.fc, nn.Linear):
            raise TypeError(
                f"the evidence of a BagNet is a linear function of its features: fc must be "
                f"nn.Linear, not {type(self.fc).__name__}"
            )
        return self.fc.out_features

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) to logits (N, C)."""
        return self.fc(self.pool(self.features(x)).flatten(1))

    def grid(self, image_shape: tuple[int, int]) -> PatchGrid:
        """Return where the patches of an image (H, W) lie; ValueError if H or W is below q."""
        q = self.patch_size
        if min(image_shape) < q:
            raise ValueError(
                f"an image of {image_shape[0]} x {image_shape[1]} pixels has no patch of {q} x {q}:"
                f" this BagNet needs sides of at least q = {q}; enlarge or pad the image"
            )
        h, w = ((side - q) // self.stride + 1 for side in image_shape)
        return PatchGrid(q, self.stride, 0, (h, w))

    def with_stride(self, stride: int) -> BagNet:
        """Return this network on a denser grid of patches; the weights are shared, not copied.

        A stride that goes is made up for by spreading every later kernel (its dilation), so a
        cell still computes the same function of its patch. ``stride`` is 1, 2, 4 or 8 pixels and
        at most the present one, else ValueError.
        """
        if stride not in (1, 2, 4, 8) or stride > self.stride:
            raise ValueError(f"a stride is 1, 2, 4 or 8, up to its own {self.stride}, not {stride}")
        shared = {id(tensor): tensor for tensor in chain(self.parameters(), self.buffers())}
        net = copy.deepcopy(self, shared)
        kept, spread, net.stride = 1, 1, stride
        for block in (block for block in net.modules() if isinstance(block, Bottleneck)):
            step, kernel = block.conv2.stride[0], block.conv2.kernel_size[0]
            dilation = block.conv2.dilation[0] * spread if kernel > 1 else 1
            block.conv2.dilation = (dilation, dilation)
            if step > 1 and kept == stride:
                convs = [block.conv2, *(block.downsample or [])]
                for conv in (conv for conv in convs if isinstance(conv, nn.Conv2d)):
                    conv.stride = (1, 1)
                spread *= step
            else:
                kept *= step
        return net


def bagnet9(
    num_classes: int = 1000,
    width: int = 64,
    layers: Sequence[int] = (3, 4, 6, 3),
    centred: bool = False,
    weights: str | None = None,
) -> BagNet:
    """BagNet-9: patches of 9 x 9 pixels; parameters, shapes and errors as `bagnet33`."""
    return BagNet(9, num_classes, width, layers, centred, weights)


def bagnet17(
    num_classes: int = 1000,
    width: int = 64,
    layers: Sequence[int] = (3, 4, 6, 3),
    centred: bool = False,
    weights: str | None = None,
) -> BagNet:
    """BagNet-17: patches of 17 x 17 pixels; parameters, shapes and errors as `bagnet33`."""
    return BagNet(17, num_classes, width, layers, centred, weights)


def bagnet33(
    num_classes: int = 1000,
    width: int = 64,
    layers: Sequence[int] = (3, 4, 6, 3),
    centred: bool = False,
    weights: str | None = None,
) -> BagNet:
    """BagNet-33: patches of 33 x 33 pixels.

    Input is RGB in [0, 1], minus (.485, .456, .406), over (.229, .224, .225): (N, 3, H, W) with H
    and W of at least q = 33. ``net(x)`` gives logits (N, C), ``net.evidence(x)`` those of every
    patch (N, C, h, w), ``net.grid((H, W))`` says which pixels they saw. Call ``net.eval()`` before
    you read either: in training mode, batch norm mixes the patches of a batch.

    Parameters
    ----------
    num_classes : number of classes C
    width : channels of the stem; the last map has 32 times as many
    layers : blocks in each of the four stages
    centred : look at the centre of the window in the skips instead of its top left corner, as
        published; not compatible with published weights
    weights : None for random ones, "imagenet" for the published ones, see `load_published`

    Raises
    ------
    ValueError
        If an option is unknown or does not go with the weights, or images are smaller than q.

    References
    ----------
    Brendel & Bethge, "Approximating CNNs with bag-of-local-features models works surprisingly
    well on ImageNet", ICLR 2019.
    """
    return BagNet(33, num_classes, width, layers, centred, weights)
