"""Check and arrange the ILSVRC-2012 archives that you have; nothing is fetched.

    python data_scripts/get_imagenet.py --archives DIR --root data/imagenet
    python data_scripts/get_imagenet.py --root data/imagenet --check

The licence of ImageNet forbids others to hand it out: register at image-net.org and put
ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz into DIR. Each is
verified against torchvision's MD5, then unpacked to ``train/<WordNet ID>/`` and
``val/<WordNet ID>/``, as ``torchvision.datasets.ImageFolder`` reads it. A split appears complete
or not at all.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from _archives import check, extract, verify
from _work import DataError, one_line, work_folder
from scipy.io import loadmat

from minibag.machine import expand

EXPECTED = {"train": (1000, 1_281_167), "val": (1000, 50_000)}
Archives = dict[str, tuple[str, str]]  # "train", "val", "devkit" -> file name, MD5


def arrange(archives: Path, root: Path, meta: Archives) -> None:
    """Verify the three archives and unpack the splits that are not there yet.

    Raises
    ------
    DataError
        If an archive is missing, wrong or unsafe.
    """
    missing = [name for name, _ in meta.values() if not (archives / name).is_file()]
    if missing:
        raise DataError(f"not in {archives}: {', '.join(missing)}. Get them from image-net.org")
    files = {part: archives / name for part, (name, _) in meta.items()}
    with work_folder(root / "splits") as work:
        tree = work / "tree"
        shutil.rmtree(tree, ignore_errors=True)  # of a run that was killed
        try:
            for split, unpack in (("train", _unpack_train), ("val", _unpack_val)):
                if not (root / split).exists():
                    for part in (split, "devkit"):
                        verify(files[part], meta[part][1])
                    unpack(files, tree)
                    (tree / split).replace(root / split)
        finally:
            shutil.rmtree(tree, ignore_errors=True)


def _unpack_train(files: dict[str, Path], work: Path) -> None:
    """Unpack the archive of one archive per class."""
    extract(files["train"], work / "classes")
    for inner in sorted((work / "classes").iterdir()):
        if not re.fullmatch(r"n\d{8}\.tar", inner.name):
            raise DataError(f"{files['train'].name} holds {inner.name}, which is no class archive")
        extract(inner, work / "train" / inner.stem)
        inner.unlink()  # or everything would be on the disk twice


def _unpack_val(files: dict[str, Path], work: Path) -> None:
    """Unpack the validation images and sort them into classes by the development kit."""
    extract(files["devkit"], work / "devkit")
    kit = next((work / "devkit").glob("*/data"))
    synsets = loadmat(kit / "meta.mat", squeeze_me=True)["synsets"]
    wnids = {int(s["ILSVRC2012_ID"]): str(s["WNID"]) for s in synsets if s["num_children"] == 0}
    truth = (kit / "ILSVRC2012_validation_ground_truth.txt").read_text().split()
    extract(files["val"], work / "flat")
    images = sorted((work / "flat").iterdir())
    if len(images) != len(truth):
        raise DataError(f"{len(images)} validation images, but the kit labels {len(truth)}")
    for image, label in zip(images, truth, strict=True):
        folder = work / "val" / wnids[int(label)]
        folder.mkdir(parents=True, exist_ok=True)
        image.replace(folder / image.name)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=expand, required=True, help="folder of train/ and val/")
    parser.add_argument("--archives", type=expand, help="folder of the archives that you have")
    parser.add_argument("--check", action="store_true", help="only check what is there")
    args = parser.parse_args(argv)
    if not args.check and args.archives is None:
        parser.error("say where the archives are (--archives), or --check")

    def work() -> str:
        if not args.check:
            from torchvision.datasets.imagenet import ARCHIVE_META  # slow to import

            arrange(args.archives, args.root, ARCHIVE_META)
        if faults := check(args.root, EXPECTED):
            raise DataError("; ".join(faults))
        return f"ImageNet in {args.root} is complete"

    return one_line("get_imagenet", work)


if __name__ == "__main__":
    sys.exit(main())
