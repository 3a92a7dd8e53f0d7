"""A pretend accelerator for machines without one: `register` makes it torch's own.

It is host memory under the name of another device, see ``pretend.cpp``: `fit` finds it,
``.numpy()`` refuses its tensors, and an operator that gets tensors of both devices raises, as on a
GPU. So whatever forgets a ``.to(device)`` or a ``.cpu()`` fails on a machine without a GPU, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("pretend.cpp")
BUILT = Path(__file__).parents[2] / "artifacts"  # `make clean` removes it
NAME = "pretend"


def compiler() -> str | None:
    """Return the C++ compiler of this machine, None if it has none."""
    return shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")


def library() -> Path:
    """Return the compiled device; it is compiled once for each torch and each source."""
    key = hashlib.sha256(SOURCE.read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    built = BUILT / f"{NAME}-{key}.so"
    if not built.exists():
        BUILT.mkdir(exist_ok=True)
        part = built.with_suffix(f".{os.getpid()}.part")
        home = Path(torch.__file__).parent
        command = [compiler() or "g++", "-std=c++20", "-O0", "-w", "-fPIC", "-shared", SOURCE]
        command += ["-isystem", home / "include", "-L", home / "lib", "-ltorch_cpu", "-lc10"]
        subprocess.run([*command, "-o", part], check=True)
        part.replace(built)
    return built


class Module:
    """What torch asks of the Python module of a device."""

    _is_in_bad_fork = staticmethod(lambda: False)
    is_initialized = is_available = staticmethod(lambda: True)
    current_device = staticmethod(lambda: 0)
    device_count = staticmethod(lambda: 1)
    get_device_name = staticmethod(lambda device=None: "pretend accelerator")
    device = contextlib.nullcontext
    set_device = synchronize = staticmethod(lambda device=None: None)
    manual_seed = manual_seed_all = staticmethod(lambda seed: torch.ops.pretend.seed(seed))
    get_rng_state = staticmethod(lambda device=None: torch.ops.pretend.get_rng_state())
    set_rng_state = staticmethod(lambda state, device=None: torch.ops.pretend.set_rng_state(state))
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16, torch.float16, torch.float32])


def register() -> None:
    """Make the pretend device torch's accelerator, for the whole of this process."""
    torch.ops.load_library(library())
    torch.utils.rename_privateuse1_backend(NAME)
    torch._register_device_module(NAME, Module())
    torch.utils.generate_methods_for_privateuse1_backend()
    torch.ops.pretend.start()
