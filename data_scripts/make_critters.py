"""Write critters as a folder of class folders, for tools that read images from a disk.

    python data_scripts/make_critters.py --out data/critters --train 2000 --test 500

The result is ``out/<split>/<class>/00000.png``; with ``--masks`` the evidence pixels are
``out/<split>-masks/<class>/00000.png``. ``mb.image_folder("out/train", size)`` reads it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _work import DataError, one_line, work_folder
from PIL import Image

from minibag.data import ImageSet, critters
from minibag.data.critters import SPLITS
from minibag.machine import expand


def write(images: ImageSet, folder: Path, masks: bool = False) -> None:
    """Write images (or their masks) as PNG below ``folder``, which must not exist yet.

    Raises DataError if it does. A killed run leaves no folder of that name.
    """
    arrays = images.masks if masks else images.images
    assert arrays is not None, "critters know their masks"
    with work_folder(folder) as work:
        if folder.exists():
            raise DataError(f"{folder} is already there: remove it, or choose another --out")
        tree = work / "tree"
        shutil.rmtree(tree, ignore_errors=True)  # of a run that was killed
        for name in images.classes:
            (tree / name).mkdir(parents=True)
        for i, (array, label) in enumerate(zip(arrays, images.labels, strict=True)):
            picture = array.astype(np.uint8) * 255 if masks else array
            Image.fromarray(picture).save(tree / images.classes[label] / f"{i:05d}.png")
        tree.replace(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=expand, default="data/critters")
    for split in SPLITS:
        parser.add_argument(f"--{split}", type=int, default=0, help="number of images, default 0")
    parser.add_argument("--size", type=int, default=64, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arrangement", action="store_true", help="the two classes of layouts")
    parser.add_argument("--masks", action="store_true", help="write the evidence pixels too")
    args = parser.parse_args(argv)
    wanted = {split: n for split in SPLITS if (n := getattr(args, split))}
    if not wanted:
        parser.error("say how many images to write, for example --train 2000 --test 500")

    def work() -> str:
        for split, n in wanted.items():
            images = critters(split, n, args.size, args.seed, arrangement=args.arrangement)
            write(images, args.out / split)
            if args.masks:
                write(images, args.out / f"{split}-masks", masks=True)
        return f"critters are in {args.out}"

    return one_line("make_critters", work)


if __name__ == "__main__":
    sys.exit(main())
