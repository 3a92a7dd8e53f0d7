"""Small networks whose batch norms have seen data, so that nothing about them is trivial."""

import torch
from torch import nn

import minibag as mb

FACTORY = {9: mb.bagnet9, 17: mb.bagnet17, 33: mb.bagnet33}


def small_bagnet(q, centred=False, dtype=torch.float64, layers=(2, 1, 2, 1)):
    """A BagNet-q of width 4 for five classes, in evaluation mode."""
    torch.manual_seed(q)
    net = FACTORY[q](num_classes=5, width=4, layers=layers, centred=centred).to(dtype)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.3)
    return net.eval()


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
