"""Print environment.yml: the exact versions of requirements.lock for conda, Binder, JupyterHub.

    python -m tests.house.environment > environment.yml    (``make lock`` does it)

pip cannot install the project in place while it checks hashes, so the pins are repeated here
without them; ``test_environment.py`` proves that they are the lock's.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
HEADER = """\
# Written by `make lock` from requirements.lock: conda env create -f environment.yml
# Binder and JupyterHub (repo2docker) read it as it is. Edit the ranges in pyproject.toml instead.
name: minibag
channels: [conda-forge]
dependencies:
  - python=3.12
  - git
  - make
  - pip
  - pip:
"""


def pins(lock: str) -> list[str]:
    """Return the ``name==version ; marker`` lines of a lock file, without their hashes."""
    lines = (line.removesuffix("\\").strip() for line in lock.splitlines())
    return [line for line in lines if "==" in line and not line.startswith(("#", "--"))]


def environment(lock: str) -> str:
    """Return the text of environment.yml for this lock."""
    return HEADER + "".join(f'      - "{pin}"\n' for pin in pins(lock)) + '      - "-e ."\n'


if __name__ == "__main__":
    print(environment((ROOT / "requirements.lock").read_text()), end="")
