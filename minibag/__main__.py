"""The command line: ``python -m minibag doctor | data | train | evaluate | heatmap``.

Whatever ends a command early ends it in one line on stderr; `CODES` says with which exit code.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from minibag import commands
from minibag.machine import check_output, cpu_count, expand
from minibag.terminal import complain, speaking, stop_speaking

SOURCE = "critters, photos, imagenette, or a folder of class folders (or of train/, val/, test/)"
RECIPES = "course: AdamW on images in memory; imagenet: BagNet's, streams a folder [course]"
CODES = (
    "exit codes: 0 done; 1 the doctor found faults; 2 what you can mend (bad input, missing files, "
    "a full disk or memory); 3 what we must mend (please report it); 130 interrupted; 141 nobody "
    "reads the output. MINIBAG_TRACEBACK=1 in the environment shows where an error comes from."
)
MENDABLE = (ValueError, OSError, MemoryError, FloatingPointError, ImportError)
NO_MEMORY = ("out of memory", "allocate memory", "not enough memory")  # in RuntimeErrors of torch


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, see `CODES`."""
    args = _parser().parse_args(argv)
    if args.run is not commands.doctor:  # before NumPy is loaded: threads follow the CPU quota
        os.environ.setdefault("OMP_NUM_THREADS", str(cpu_count()))
    os.environ.setdefault("MPLBACKEND", "agg")
    who = f"python -m minibag {args.run.__name__}"
    try:
        with speaking(who):
            return args.run(args) or 0
    except BrokenPipeError:  # as in: python -m minibag data FOLDER | head -1
        stop_speaking()
        return 141
    except KeyboardInterrupt:
        complain(who, "interrupted")
        return 130
    except Exception as error:
        if "MINIBAG_TRACEBACK" in os.environ:
            raise
        code, problem = _verdict(error)
        complain(f"{who}: error", problem)
        return code


def _verdict(error: Exception) -> tuple[int, str]:
    """Return the exit code of an error, and what is said of it."""
    text, name = str(error) or "no more is known", type(error).__name__
    torchs = isinstance(error, RuntimeError) and any(words in text for words in NO_MEMORY)
    if isinstance(error, MemoryError) or torchs:
        return 2, f"not enough memory ({text}): take fewer or smaller images, or a smaller batch"
    if isinstance(error, ImportError):
        return 2, f"{text}: python -m minibag doctor says how to mend it"
    return (2, text) if isinstance(error, MENDABLE) else (3, f"unexpected {name}: {text}")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage text in front."""

    def error(self, message: str) -> NoReturn:
        complain(f"{self.prog}: error", f"{message} (see {self.prog} --help)")
        self.exit(2)


def _between(low: int, high: int) -> Callable[[str], int]:
    """Return an argparse type: an integer from low to high."""

    def number(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return int(text)

    return number


def _new_file(text: str) -> Path:
    """Argparse type: a file that can be written; checked before the work, not after it."""
    try:
        check_output(text)
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return expand(text)


def _parser() -> argparse.ArgumentParser:
    about = "From bags of visual words to BagNets."
    parser = _Parser(prog="python -m minibag", description=about, epilog=CODES)
    rooms = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable, *parents: _Parser) -> _Parser:
        text = str(run.__doc__)
        brief = text.split("\n\n")[0].replace("%", "%%")  # argparse formats it, but not the other
        one = rooms.add_parser(run.__name__, help=brief, description=text, parents=parents)
        one.set_defaults(run=run)
        return one

    side, seed, part = (_Parser(add_help=False) for _ in range(3))
    scaled = "side in pixels, for a model the one it learned on [critters, photos: 64; others: 160]"
    side.add_argument("--size", type=_between(16, 2048), help=scaled)
    seeds = _between(0, 2**32 - 1)
    seed.add_argument("--seed", type=seeds, default=0, help="[0]")
    part.add_argument("--split", choices=["train", "val", "test"], help="of data that have them")
    part.add_argument("--n", type=_between(1, 10**6), help="number of images [all]")

    command(commands.doctor)
    add = command(commands.data, side, seed, part).add_argument
    add("data", metavar="DATA", help=SOURCE)
    add("--sheet", type=_new_file, metavar="PNG", help="write a contact sheet of 32 images")
    _train_options(command(commands.train, side, seed))
    trained = "what train has saved, or the name of a model that came with minibag"
    add = command(commands.evaluate, side, part).add_argument
    add("--seed", type=seeds, help="of critters and of the choice for --n [the model's]")
    add("--model", required=True, metavar="MODEL", help=trained)
    add("--data", required=True, metavar="DATA", help=SOURCE)
    add("--confusion", type=_new_file, metavar="PNG", help="write the confusion matrix")
    add = command(commands.heatmap, side).add_argument
    add("image", type=Path, metavar="IMAGE")
    add("--model", required=True, metavar="MODEL", help=trained)
    add("-o", "--out", required=True, type=_new_file, metavar="PNG")
    add("--target", metavar="CLASS", help="class whose evidence is shown [the predicted one]")
    return parser


def _train_options(train: _Parser) -> None:
    add = train.add_argument
    add("--model", choices=commands.MODELS, default="bow", help="[bow]")
    add("--data", required=True, metavar="DATA", help=SOURCE)
    add("--out", required=True, type=_new_file, metavar="FILE", help="where the model goes")
    add("--n-train", dest="n", type=_between(1, 10**6), metavar="N", help="training images [all]")
    add = train.add_argument_group("bow, a bag of visual words").add_argument
    words = [
        add("--words", type=_between(1, 10**5), metavar="K", help="[400; vlad, fisher: 64]"),
        add("--encoding", choices=["histogram", "pyramid", "vlad", "fisher"], default="histogram"),
        add("--classifier", choices=["linear_svm", "logistic"], default="linear_svm"),
        add("--step", type=_between(1, 512), default=4, help="pixels between patches [4]"),
        add("--patch-size", type=_between(4, 1024), default=[16], nargs="+", help="in pixels [16]"),
        add("--jobs", type=_between(1, 1024), default=1, help="threads [1]"),
    ]
    group = "networks, every other model; FILE must end in .safetensors"
    add = train.add_argument_group(group).add_argument
    nets = [
        add("--width", type=_between(1, 4096), help="[bagnet: 64; resnet, vgg: 32; densenet: 16]"),
        add("--layers", type=_between(1, 100), nargs="+", metavar="L", help="blocks per stage"),
        add("--centred", action="store_true", help="crop a BagNet's skips to their centre"),
        add("--recipe", choices=["course", "imagenet"], default="course", help=RECIPES),
        add("--epochs", type=_between(1, 10**4), help="[30; imagenet: 90]"),
        add("--batch-size", type=_between(1, 10**5), help="in all processes [64; imagenet: 256]"),
        add("--lr", type=float, help="learning rate [0.002; imagenet: 0.01]"),
        add("--precision", choices=["fp32", "bf16", "fp16", "auto"], help="[auto: bf16 on a GPU]"),
        add("--cpu", action="store_true", help="leave an accelerator alone"),
        add("--checkpoints", type=Path, metavar="FOLDER", help="the same call goes on from there"),
        add("--save-every", type=_between(1, 10**9), metavar="STEPS", help="[an epoch]"),
        add("--minutes", type=float, help="stop with a checkpoint after about so long [never]"),
    ]
    train.set_defaults(options_of=[{a.dest: a.default for a in own} for own in (words, nets)])


if __name__ == "__main__":
    sys.exit(main())
