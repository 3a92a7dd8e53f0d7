"""What a network is, as short hashes, so that a checkpoint is not taken by another one."""

from __future__ import annotations

import functools
import hashlib
import inspect
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

OURS_NOT = frozenset(vars(nn.Module()))  # torch's own bookkeeping, hooks among it
PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.memory_format)


def fingerprint(net: nn.Module) -> dict[str, str]:
    """Return hashes of a network's structure and of its code, not of its weights.

    The structure: names, classes and options of all modules, functions among them (an activation
    that is no module), names and shapes of the state, which weights learn, and the buffers that no
    state keeps. The code: the methods of classes that are not torch's, for example ``forward``.

    It cannot see functions that methods call, global variables, hooks, tensors that are no buffers
    and what objects hold that are neither numbers, texts, functions nor lists of them.
    """
    structure: list[Any] = []
    for name, module in net.named_modules():
        compiled = "_orig_mod" in module._modules  # the network is what it was compiled from
        options = {k: v for k, v in vars(module).items() if k not in OURS_NOT and not compiled}
        structure.append((name, _title(type(module)), _describe(options)))
    state = net.state_dict()
    structure += [(name, tuple(tensor.shape)) for name, tensor in state.items()]
    structure += [name for name, weight in net.named_parameters() if weight.requires_grad]
    structure += [(k, _digest(v)) for k, v in net.named_buffers() if k not in state]
    kinds = {kind for module in net.modules() for kind in type(module).__mro__}
    code = sorted((_title(kind), _methods(kind)) for kind in kinds if not _is_torchs(kind))
    hashes = {"network": structure, "code of the network": code}
    return {k: hashlib.sha256(repr(v).encode()).hexdigest()[:16] for k, v in hashes.items()}


def _title(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _is_torchs(kind: type) -> bool:
    return kind.__module__.split(".")[0] in ("torch", "builtins", "abc", "typing")


def _digest(tensor: Tensor) -> str:
    content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return hashlib.sha256(content.tobytes()).hexdigest()


def _methods(kind: type) -> list[Any]:
    """Return the byte code of all that a class defines."""
    found = []
    for name, value in sorted(vars(kind).items()):
        value = getattr(value, "__func__", getattr(value, "fget", value))
        if inspect.isfunction(value):
            found.append((name, _code(value.__code__)))
    return found


def _code(code: CodeType) -> list[Any]:
    """Return byte code, names and constants, but no lines and files, which do nothing."""
    constants = [_code(c) if isinstance(c, CodeType) else _describe(c) for c in code.co_consts]
    return [code.co_code.hex(), code.co_names, code.co_varnames, constants]


def _describe(value: Any) -> Any:
    """Return what can be said of a value with the same words in every process."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, list | tuple):
        return [_describe(item) for item in value]
    if isinstance(value, dict):
        return sorted((str(key), repr(_describe(item))) for key, item in value.items())
    if isinstance(value, set | frozenset):
        return sorted(repr(_describe(item)) for item in value)
    if isinstance(value, functools.partial):
        return [_describe(part) for part in (value.func, value.args, value.keywords)]
    if inspect.isfunction(value) and not (value.__module__ or "").startswith("torch."):
        return [_title(value), _code(value.__code__)]
    return _title(value) if hasattr(value, "__qualname__") else _title(type(value))
