"""One rule for all numbers that claim to be exact: float32 is float32, whatever the process allows.

NVIDIA's convolutions round float32 to TF32 (10 bits of 23) unless told otherwise, products of
matrices may do so on any device, and autocast rounds both to 16 bits. Heat maps, evidence, logits,
attribution and validation are computed inside `exact`, and are the same whatever is allowed around
it. Training is not: there a recipe says what may be rounded.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

# PyTorch's settings form a tree: one that is not set follows its parent. A setting reads as what is
# in force, which does not tell whether it was set. But once its parents are "ieee", all that follow
# them are, too, and one that is not must have been set: only such a one is touched, and given back
# its value. (Of oneDNN's "all", the public name sets another: PyTorch 2.15 and before.)
SETTINGS = (
    ("generic", "all"),
    ("cuda", "all"),
    ("mkldnn", "all"),
    *((backend, kind) for backend in ("cuda", "mkldnn") for kind in ("conv", "matmul", "rnn")),
)
_lock = threading.Lock()
_inside = 0  # how many threads, and how deep
_before: list[tuple[str, str, str]] = []  # what the settings were, if anyone is inside


@contextmanager
def exact() -> Iterator[None]:
    """Compute float32 in float32 meanwhile: no TF32, no autocast, on any device.

    The settings are those of the process, so until the last thread has left, what other threads
    compute is exact, too; then they are as the first found them. Autocast is each thread's own.
    """
    global _inside
    with _lock:
        if not _inside:
            _forbid()
        _inside += 1
    try:
        with ExitStack() as stack:
            for kind in filter(torch.is_autocast_enabled, _devices()):
                stack.enter_context(torch.autocast(kind, enabled=False))
            yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _give_back()


def set_tf32(allowed: bool) -> None:
    """Let NVIDIA's products and convolutions round to TF32 from now on, outside `exact`, or not."""
    with _lock:
        _give_back()
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
        for kind in ("conv", "matmul", "rnn"):  # the lines above leave some to follow the parents
            torch._C._set_fp32_precision_setter("cuda", kind, "tf32" if allowed else "ieee")
        if _inside:
            _forbid()


def trains_in_tf32() -> bool:
    """Whether convolutions of float32 outside `exact` are rounded to TF32 here, now."""
    able = torch.cuda.is_available() and torch.cuda.is_tf32_supported()
    return able and torch._C._get_fp32_precision_getter("cuda", "conv") == "tf32"


def _forbid() -> None:
    for setting in SETTINGS:
        if (value := torch._C._get_fp32_precision_getter(*setting)) != "ieee":
            _before.append((*setting, value))
            torch._C._set_fp32_precision_setter(*setting, "ieee")


def _give_back() -> None:
    while _before:
        torch._C._set_fp32_precision_setter(*_before.pop())


def _devices() -> list[str]:
    accelerator = torch.accelerator.current_accelerator()
    return ["cpu", *([accelerator.type] if accelerator else [])]
