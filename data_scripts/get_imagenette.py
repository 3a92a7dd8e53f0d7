"""Fetch Imagenette (Howard, fast.ai): ten classes of ImageNet photographs.

    python data_scripts/get_imagenette.py --size 160          (99 MB, enough for the course)
    python data_scripts/get_imagenette.py --size 160 --check

Address, MD5 and layout are those of ``torchvision.datasets.Imagenette``, which can read the result.
A stopped download goes on at the next run, the archive is verified before it is unpacked, and the
folder appears complete or not at all. The photographs are for non-commercial research and teaching.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from _archives import check, install
from _work import DataError, one_line

from minibag.machine import expand

EXPECTED = {"train": (10, 9469), "val": (10, 3925)}
SIZES = {"160": "160px", "320": "320px", "full": "full"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=expand, default=os.environ.get("MINIBAG_DATA") or "data")
    parser.add_argument("--size", choices=SIZES, default="160", help="shorter side in pixels")
    parser.add_argument("--check", action="store_true", help="only check what is there")
    parser.add_argument("--mirror", help="another folder on the web that has the same archive")
    args = parser.parse_args(argv)
    from torchvision.datasets import Imagenette  # slow to import: not for --help

    url, md5 = Imagenette._ARCHIVES[SIZES[args.size]]
    if args.mirror:
        url = f"{args.mirror.rstrip('/')}/{Path(url).name}"

    def work() -> str:
        if not args.check:
            return f"Imagenette is in {install(url, md5, args.root, EXPECTED)}"
        folder = args.root / Path(url).stem
        if faults := check(folder, EXPECTED):
            raise DataError("; ".join(faults))
        return f"{folder} is complete"

    return one_line("get_imagenette", work)


if __name__ == "__main__":
    sys.exit(main())
