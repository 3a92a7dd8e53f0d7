"""What the cases share: the accelerator, and what "the CPU's numbers" means."""

from __future__ import annotations

import numpy as np
import torch

THERE = torch.device("pretend")


def where(net):
    """The kinds of devices that a network lies on."""
    return {tensor.device.type for tensor in net.state_dict().values()}


def close(found, expected, tolerance=1e-4):
    """Hold numbers of the accelerator, brought here, to those of the CPU."""
    here = found.detach().cpu() if isinstance(found, torch.Tensor) else found
    np.testing.assert_allclose(here, expected, rtol=tolerance, atol=tolerance)
