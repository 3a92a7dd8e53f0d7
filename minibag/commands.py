"""What the commands of ``python -m minibag`` do; their options stand in ``__main__``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibag.machine import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibag.data import ImageSet

HELD_OUT = {"critters": "test", "photos": "test", "imagenette": "val"}
SIDES = {"critters": 64, "photos": 64}  # default side in pixels; 160 for every other source
CRITTERS = {"train": 1000, "val": 500, "test": 500}  # they are drawn on demand


def doctor(args: argparse.Namespace) -> int:
    """Examine this machine; exit code 1 if something must be fixed."""
    from minibag.doctor import report

    findings = report()
    print(findings.coloured() if sys.stdout.isatty() else findings)
    return 1 if findings.failed() else 0


def data(args: argparse.Namespace) -> None:
    """Describe a data set, and draw a contact sheet of it."""
    images = _read(args, args.split or "train")
    height, width = images.images.shape[1:3]
    print(f"{len(images)} images of {height} x {width} pixels in {len(images.classes)} classes")
    for label, name in enumerate(images.classes):
        print(f"{(images.labels == label).sum():7}  {name}")
    if images.masks is not None:
        print(f"masks: {images.masks.mean():.1%} of the pixels carry the evidence")
    if args.sheet:
        from minibag.figures.evidence import gallery

        few = images.subset(min(32, len(images)), args.seed)
        names = [few.classes[label] for label in few.labels]
        _save(gallery(list(few.images), names, f"{len(few)} of {len(images)} images"), args.sheet)


def train(args: argparse.Namespace) -> None:
    """Train a model, save it, and print its accuracy on the held-out split if there is one."""
    images = _read(args, "train")
    model = MODELS[args.model](args, images)
    model.save(args.out)
    side = images.images.shape[1]
    print(f"trained on {len(images)} images of {side} x {side} pixels, saved {args.out}")
    split, args.n = _held_out(args.data), None
    if split:
        print(_accuracy(*_predict(model, _read(args, split)), split))
    else:
        print(f"accuracy not measured: {args.data} has no val/ or test/ beside a train/")


def _bow(args: argparse.Namespace, images: ImageSet) -> Any:
    import minibag as mb

    sizes = args.patch_size[0] if len(args.patch_size) == 1 else tuple(args.patch_size)
    sift, head = mb.DenseSIFT(args.step, sizes), args.classifier
    model = mb.BagOfVisualWords(sift, args.words, args.encoding, head, args.seed, n_jobs=args.jobs)
    return model.fit(images)


# `train --model NAME` calls these: in go options and images, out comes a Predictor that can `save`.
MODELS: dict[str, Callable[[argparse.Namespace, ImageSet], Any]] = {"bow": _bow}


def _load(args: argparse.Namespace) -> Any:
    """Load a model; images are read at the size that it has learned, unless told otherwise."""
    import minibag as mb

    model = mb.BagOfVisualWords.load(args.model)
    args.size = args.size or min(model.image_shape_)
    return model


def evaluate(args: argparse.Namespace) -> None:
    """Print a model's accuracy with its 95 % interval, and draw its confusion matrix."""
    from sklearn.metrics import confusion_matrix

    from minibag.figures.models import confusion_figure

    model, split = _load(args), args.split or _held_out(args.data) or "train"
    truth, predicted = _predict(model, _read(args, split))
    print(_accuracy(truth, predicted, split))
    if args.confusion:
        counts = confusion_matrix(truth, predicted, labels=range(len(model.classes)))
        _save(confusion_figure(counts, model.classes), args.confusion)


def heatmap(args: argparse.Namespace) -> None:
    """Draw an image, the evidence of its patches for a class, and the highest scores."""
    from minibag.data.decode import read_image
    from minibag.figures.models import explanation

    model = _load(args)
    image = read_image(args.image, args.size)
    scores = dict(zip(model.classes, model.logits(image[None])[0].tolist(), strict=True))
    target = args.target or max(scores, key=lambda name: scores[name])
    if target not in scores:
        raise ValueError(f"no class {target!r}; the model knows {', '.join(scores)}")
    evidence = model.evidence(image[None])[0, list(scores).index(target)]
    painted = model.grid(image.shape[:2]).paint(evidence, image.shape[:2])
    _save(explanation(image, painted, target, scores), args.out)
    print(f"evidence for {target} (logit {scores[target]:.2f}), saved {args.out}")


def _read(args: argparse.Namespace, split: str) -> ImageSet:
    """Read ``args.n`` images (None: all) of a split, at the side asked for."""
    import minibag as mb

    source, n, bar = args.data, args.n, sys.stderr.isatty()
    size = args.size or SIDES.get(source, 160)
    if source == "critters":
        return mb.critters(split, n or CRITTERS.get(split, 1), size, args.seed)
    if source == "photos":
        images = mb.photos(split, size)
    elif source == "imagenette":
        images = mb.imagenette(split, size, limit=n and -(-n // 10), progress=bar)
    else:
        folder = Path(source, split if Path(source, "train").is_dir() else "")
        images = mb.image_folder(folder, size, progress=bar)
    return images.subset(n, args.seed) if n else images


def _held_out(source: str) -> str | None:
    """Return the split to measure on, None if the data set has none."""
    folders = [s for s in ("val", "test") if all(Path(source, f).is_dir() for f in ("train", s))]
    return HELD_OUT.get(source, next(iter(folders), None))


def _predict(model: Any, images: ImageSet) -> tuple[Any, Any]:
    """Return the true and the predicted class of every image, as indices into model.classes."""
    import numpy as np

    known = ", ".join(model.classes)
    strange = ", ".join(name for name in images.classes if name not in model.classes)
    if strange:
        raise ValueError(f"the model knows the classes {known}, but not {strange}")
    index = np.array([model.classes.index(name) for name in images.classes])
    return index[images.labels], model.logits(images.images).argmax(1)


def _accuracy(truth: Any, predicted: Any, split: str) -> str:
    from minibag.stats import wilson_interval

    right, n = int((truth == predicted).sum()), len(truth)
    low, high = wilson_interval(right, n)
    return f"{split} accuracy {right / n:.1%} (95 % interval {low:.1%} to {high:.1%}; {n} images)"


def _save(figure: Figure, path: Path) -> None:
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=120)
