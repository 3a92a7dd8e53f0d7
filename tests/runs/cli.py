"""What the tests of the command line share."""

import os
import re
import subprocess
import sys
from pathlib import Path

from safetensors.numpy import load_file


def run(*arguments, cwd: Path, module=("minibag",), **options) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, from a folder that is not the repository."""
    command = [sys.executable, "-m", *module, *map(str, arguments)]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, **options)


def is_refusal(code: int, stdout: str, stderr: str) -> bool:
    """Whether a command failed with one clear line and nothing else."""
    one_line = re.fullmatch(r"python -m minibag( \w+)?: error: \S.*\n", stderr)
    return (code, stdout) == (2, "") and one_line is not None


def accuracy(line: str) -> tuple[float, float, float]:
    """Return accuracy, low and high in per cent."""
    found = re.search(r"accuracy ([\d.]+)% \(95 % interval ([\d.]+)% to ([\d.]+)%", line)
    assert found, line
    value, low, high = map(float, found.groups())
    assert low <= value <= high
    return value, low, high


def weights(file: Path) -> dict[str, bytes]:
    """Return the bytes of every array of a model; its card, which has run times, aside."""
    return {name: array.tobytes() for name, array in load_file(file).items()}
