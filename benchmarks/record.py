"""Write a benchmark's result beside the machine, the versions and the date it was measured with."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from minibag.machine import cpu_count, whole_file

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "scipy", "scikit-learn", "scikit-image", "opencv-python-headless", "kornia")


def processor() -> str:
    """Return the name of the processor, as the operating system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write(name: str, result: dict[str, Any]) -> Path:
    """Write ``result`` to ``results/<name>.json``: whole, or not at all."""
    machine = {"processor": processor(), "cpus": cpu_count(), "system": platform.system()}
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    date = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"date": date, "machine": machine, "load": load, "versions": versions(), **result}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    with whole_file(path) as part:
        part.write_text(json.dumps(record, indent=1) + "\n")
    return path
