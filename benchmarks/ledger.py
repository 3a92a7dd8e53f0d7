"""What every operation of a network does: its multiply-adds, its bytes, and who is alive."""

from __future__ import annotations

import weakref
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

Floors = dict[str, dict[str, dict[str, float]]]  # way to run it, kind of operation, quantity
KINDS = {"relu": "relu", "relu_": "relu", "threshold_backward": "relu", "add": "add", "add_": "add"}


class Ledger(TorchDispatchMode):
    """Counts what runs while it is entered; works on shapes alone (device "meta"), too.

    ``rows`` are kind, multiply-adds and bytes of each operation: every input read once and every
    output written once. A norm in training reads its maps twice, for it has to know the statistics
    before it can write its first value. ``peak`` is the most bytes that were alive at a time, of
    all tensors made since it was entered.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[str, int, int]] = []
        self.live = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and write it down."""
        out = func(*args, **(kwargs or {}))
        if func.is_view:
            return out
        packet, name = func.overloadpacket, func.overloadpacket.__name__
        read, written = ([t for t in tree_leaves(v) if isinstance(t, Tensor)] for v in (args, out))
        size, kind = sum(t.nbytes for t in [*read, *written]), KINDS.get(name, "other")
        if "convolution" in name:
            side = args[2 if "backward" in name else 1].shape[-1]
            kind = f"conv {side}x{side}"
        elif "batch_norm" in name:
            kind = "norm"
            size += sum(t.nbytes for t in read) if any(a is True for a in args) else 0  # training
        work = flop_registry[packet](*args, out_val=out) // 2 if packet in flop_registry else 0
        self.rows.append((kind, work, size))
        for tensor in written:
            self._watch(tensor.untyped_storage())
        return out

    def by_kind(self, n: int, bandwidth: float, rate: float) -> dict[str, dict[str, float]]:
        """Return multiply-adds, bytes and floors (s) per image of ``n``, of every kind and in all.

        The floor of an operation is the longer of bytes / bandwidth and multiply-adds / rate; the
        fused floor takes only convolutions and the weights' update to touch memory.
        """
        table: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for kind, work, size in self.rows:
            floor = max(size / bandwidth, work / rate)
            touches = kind == "weights" or kind.startswith("conv")
            for row in (table[kind], table["all"]):
                row["multiply_adds"] += work / n
                row["bytes"] += size / n
                row["floor"] += floor / n
                row["fused_floor"] += (floor if touches else work / rate) / n
        return {
            **{kind: table[kind] for kind in sorted(table) if kind != "all"},
            "all": table["all"],
        }

    def _watch(self, storage: torch.UntypedStorage) -> None:
        """Count the bytes of a new storage until it is freed."""
        key, size = id(storage), storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.live -= size


def print_floors(floors: Floors) -> None:
    """Print where the floors come from: G multiply-adds, MB, ms and share of each kind."""
    print(f"{'':9}" + "".join(f"{way:>30}" for way in floors))
    for kind in floors["training"]:  # which has all kinds
        cells = []
        for way in floors.values():
            row, whole = way.get(kind, dict.fromkeys(way["all"], 0.0)), way["all"]["floor"]
            cells.append(f"{row['multiply_adds'] / 1e9:9.2f} {row['bytes'] / 1e6:6.0f} ")
            cells.append(f"{row['floor'] * 1e3:7.2f} {row['floor'] / whole:5.0%}")
        print(f"{kind:9}" + "".join(cells))
    fused = [f"{way['all']['fused_floor'] * 1e3:24.2f}      " for way in floors.values()]
    print(f"{'fused':9}{''.join(fused)}", flush=True)
