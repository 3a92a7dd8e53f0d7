"""The command line: ``python -m minibag doctor | data | train | evaluate | heatmap``.

Errors that a user can mend (bad values, missing files) end in one line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from minibag import commands
from minibag.machine import cpu_count

SOURCE = "critters, photos, imagenette, or a folder of class folders (or of train/, val/, test/)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 1 (the doctor found faults) or 2 (bad input)."""
    args = _parser().parse_args(argv)
    if args.run is not commands.doctor:  # before NumPy is loaded: threads follow the CPU quota
        os.environ.setdefault("OMP_NUM_THREADS", str(cpu_count()))
    os.environ.setdefault("MPLBACKEND", "agg")
    try:
        return args.run(args) or 0
    except (ValueError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split())  # one line, also where the library lists many files
        print(f"python -m minibag {args.run.__name__}: error: {reason}", file=sys.stderr)
        return 2


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage text in front."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _between(low: int, high: int) -> Callable[[str], int]:
    """Return an argparse type: an integer from low to high."""

    def number(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return int(text)

    return number


def _new_file(text: str) -> Path:
    """Argparse type: a file that can be written; checked before the work, not after it."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder, or lies in one that is not there")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m minibag", description="From bags of visual words to BagNets.")
    rooms = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable, *parents: _Parser) -> Callable:
        text = str(run.__doc__)
        brief = text.replace("%", "%%")  # argparse formats the one, but not the other
        one = rooms.add_parser(run.__name__, help=brief, description=text, parents=parents)
        one.set_defaults(run=run)
        return one.add_argument

    side, seed, part = (_Parser(add_help=False) for _ in range(3))
    scaled = "side in pixels, for a model the one it learned on [critters, photos: 64; others: 160]"
    side.add_argument("--size", type=_between(16, 2048), help=scaled)
    seed.add_argument("--seed", type=_between(0, 2**32 - 1), default=0, help="[0]")
    part.add_argument("--split", help="train, val or test")
    part.add_argument("--n", type=_between(1, 10**6), help="number of images [all]")

    command(commands.doctor)
    add = command(commands.data, side, seed, part)
    add("data", metavar="DATA", help=SOURCE)
    add("--sheet", type=_new_file, metavar="PNG", help="write a contact sheet of 32 images")
    _train_options(command(commands.train, side, seed))
    add = command(commands.evaluate, side, seed, part)
    add("--model", required=True, type=Path, metavar="FILE", help="what train has saved")
    add("--data", required=True, metavar="DATA", help=SOURCE)
    add("--confusion", type=_new_file, metavar="PNG", help="write the confusion matrix")
    add = command(commands.heatmap, side)
    add("image", type=Path, metavar="IMAGE")
    add("--model", required=True, type=Path, metavar="FILE", help="what train has saved")
    add("-o", "--out", required=True, type=_new_file, metavar="PNG")
    add("--target", metavar="CLASS", help="class whose evidence is shown [the predicted one]")
    return parser


def _train_options(add: Callable) -> None:
    add("--model", choices=sorted(commands.MODELS), default="bow", help="[bow]")
    add("--data", required=True, metavar="DATA", help=SOURCE)
    add("--out", required=True, type=_new_file, metavar="FILE", help="where the model goes")
    add("--n-train", dest="n", type=_between(1, 10**6), metavar="N", help="training images [all]")
    add("--words", type=_between(1, 10**5), metavar="K", help="vocabulary [400; vlad, fisher: 64]")
    add("--encoding", choices=["histogram", "pyramid", "vlad", "fisher"], default="histogram")
    add("--classifier", choices=["linear_svm", "logistic"], default="linear_svm")
    add("--step", type=_between(1, 512), default=4, help="pixels between patches [4]")
    add("--patch-size", type=_between(4, 1024), default=[16], nargs="+", help="in pixels [16]")
    add("--jobs", type=_between(1, 1024), default=1, help="processes [1]")


if __name__ == "__main__":
    sys.exit(main())
