"""What the commands of ``python -m minibag`` do; their options stand in ``__main__``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibag.machine import accelerator, whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibag.data import ImageSet

BAGNETS = ("bagnet5", "bagnet9", "bagnet17", "bagnet33")
MODELS = ("bow", *BAGNETS, "resnet", "resnet50", "vgg", "densenet")
HELD_OUT = {"critters": "test", "photos": "test", "imagenette": "val"}
SIDES = {"critters": 64, "photos": 64}  # default side in pixels; 160 for every other source
ACCURACY = "{split} accuracy {value:.1%} (95 % interval {low:.1%} to {high:.1%}; {n} images)"
CRITTERS = {"train": 1000, "val": 500, "test": 500}  # they are drawn on demand


def doctor(args: argparse.Namespace) -> int:
    """Examine this machine; exit code 1 if something must be fixed."""
    from minibag.doctor import report

    findings = report()
    print(findings.coloured() if sys.stdout.isatty() else findings)
    return 1 if findings.failed() else 0


def data(args: argparse.Namespace) -> None:
    """Describe a data set, and draw a contact sheet of it."""
    images = read(args, args.split or "train")
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
    """Train a model, save it, and print its accuracy on the held-out split if there is one.

    Networks may be trained by several processes: torchrun --nproc-per-node 2 -m minibag train ...
    """
    for name, default in args.options_of[args.model == "bow"].items():
        if getattr(args, name) != default:
            raise ValueError(f"--{name.replace('_', '-')} does not go with --model {args.model}")
    if args.model != "bow":
        from minibag.train_net import train_net

        train_net(args)
        return
    images = read(args, "train")
    model = _bow(args, images)
    model.save(args.out)
    split, args.n = held_out(args.data), None
    found = None
    if split:
        truth, predicted = _predict(model, read(args, split))
        found = rate(int((truth == predicted).sum()), len(truth), split)
    report(args, len(images), images.images.shape[1], found)


def report(args: argparse.Namespace, n: int, side: int, found: dict[str, Any] | None) -> None:
    """Print what was trained, and how good it is if that was measured."""
    print(f"trained on {n} images of {side} x {side} pixels, saved {args.out}")
    none = f"accuracy not measured: {args.data} has no val/ or test/ beside a train/"
    print(ACCURACY.format(**found) if found else none)


def _bow(args: argparse.Namespace, images: ImageSet) -> Any:
    import minibag as mb

    sizes = args.patch_size[0] if len(args.patch_size) == 1 else tuple(args.patch_size)
    sift, head = mb.DenseSIFT(args.step, sizes), args.classifier
    model = mb.BagOfVisualWords(sift, args.words, args.encoding, head, args.seed, n_jobs=args.jobs)
    return model.fit(images)


def _load(args: argparse.Namespace) -> Any:
    """Load a model; images are read at the size that it has learned, unless told otherwise."""
    import minibag as mb

    model: Any = mb.load(args.model)
    if not isinstance(model, mb.NetPredictor):
        args.size = args.size or min(model.image_shape_)
        return model
    args.size = args.size or model.image_size
    model.net.to(accelerator() or "cpu")
    return model


def evaluate(args: argparse.Namespace) -> None:
    """Print a model's accuracy with its 95 % interval, and draw its confusion matrix."""
    from sklearn.metrics import confusion_matrix

    from minibag.figures.models import confusion_figure

    model, split = _load(args), args.split or held_out(args.data) or "train"
    truth, predicted = _predict(model, read(args, split))
    print(ACCURACY.format(**rate(int((truth == predicted).sum()), len(truth), split)))
    if args.confusion:
        counts = confusion_matrix(truth, predicted, labels=range(len(model.classes)))
        _save(confusion_figure(counts, model.classes), args.confusion)


def heatmap(args: argparse.Namespace) -> None:
    """Draw an image, the evidence at its pixels for a class, and the highest scores.

    Of a BagNet, a pixel shows the logit of the patch around it; of a word model, its share of the
    evidence of all patches that contain it.
    """
    from minibag.data.decode import read_image
    from minibag.figures.models import explanation

    model = _load(args)
    if not hasattr(model, "evidence"):
        raise ValueError(
            f"{args.model} has no evidence per patch, because its logits are no mean over patches: "
            "take a BagNet or a word model"
        )
    image = read_image(args.image, args.size)
    scores = dict(zip(model.classes, model.logits(image[None])[0].tolist(), strict=True))
    target = args.target or max(scores, key=lambda name: scores[name])
    if target not in scores:
        raise ValueError(f"no class {target!r}; the model knows {', '.join(scores)}")
    _save(explanation(image, _map(model, image, target), target, scores), args.out)
    print(f"evidence for {target} (logit {scores[target]:.2f}), saved {args.out}")


def _map(model: Any, image: Any, target: str) -> Any:
    """Return the evidence for a class at every pixel: (H, W)."""
    label = model.classes.index(target)
    if not hasattr(model, "net"):
        shape = image.shape[:2]
        return model.grid(shape).paint(model.evidence(image[None])[0, label], shape)
    import minibag as mb

    return mb.heatmap(model.net, mb.nets.normalise(image[None])[0], label).numpy()


def read(args: argparse.Namespace, split: str) -> ImageSet:
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
        images = mb.image_folder(folder_of(source, split), size, progress=bar)
    return images.subset(n, args.seed) if n else images


def folder_of(source: str, split: str) -> Path:
    """Return the folder of a split: itself if undivided; ValueError if it lacks that split."""
    from minibag.data.folder import splits_of

    splits = splits_of(source)
    if splits and split not in splits:
        raise ValueError(f"{source} has no split {split!r}, but {', '.join(splits)}")
    return splits.get(split, Path(source))


def held_out(source: str) -> str | None:
    """Return the split to measure on, None if the data set has none."""
    from minibag.data.folder import splits_of

    splits = splits_of(source)
    return HELD_OUT.get(source) or next((s for s in ("val", "test") if s in splits), None)


def _predict(model: Any, images: ImageSet) -> tuple[Any, Any]:
    """Return the true and the predicted class of every image, as indices into model.classes."""
    import numpy as np

    known = ", ".join(model.classes)
    strange = ", ".join(name for name in images.classes if name not in model.classes)
    if strange:
        raise ValueError(f"the model knows the classes {known}, but not {strange}")
    index = np.array([model.classes.index(name) for name in images.classes])
    return index[images.labels], model.logits(images.images).argmax(1)


def rate(right: int, n: int, split: str) -> dict[str, Any]:
    """Return the accuracy on a split and its 95 % interval: value, low, high, n, split."""
    from minibag.stats import wilson_interval

    low, high = wilson_interval(right, n)
    return {"value": right / n, "low": low, "high": high, "n": n, "split": split}


def _save(figure: Figure, path: Path) -> None:
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=120)
