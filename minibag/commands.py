"""What the commands of ``python -m minibag`` do; their options stand in ``__main__``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibag.machine import accelerator, expand, whole_file
from minibag.terminal import is_terminal, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibag.data import ImageSet

BAGNETS = ("bagnet5", "bagnet9", "bagnet17", "bagnet33")
MODELS = ("bow", *BAGNETS, "resnet", "resnet50", "vgg", "densenet")
HELD_OUT = {"critters": "test", "photos": "test", "imagenette": "val"}  # all others are folders
SIDES = {"critters": 64, "photos": 64}  # default side in pixels; 160 for every other source
ACCURACY = "accuracy {value:.1%} (95 % interval {low:.1%} to {high:.1%}; {n} images"
CRITTERS = {"train": 1000, "val": 500, "test": 500}  # they are drawn on demand
BATCH = 256  # images that are read at a time


def doctor(args: argparse.Namespace) -> int:
    """Examine this machine; exit code 1 if something must be fixed."""
    from minibag.doctor import report

    findings = report()
    print(findings.coloured() if is_terminal(sys.stdout) else findings)
    return 1 if findings.failed() else 0


def data(args: argparse.Namespace) -> None:
    """Describe a data set, and draw a contact sheet of it."""
    images = read(args, chosen_split(args, "train"))
    height, width = images.images.shape[1:3]
    say(f"{len(images)} images of {height} x {width} pixels in {len(images.classes)} classes")
    for label, name in enumerate(images.classes):
        say(f"{(images.labels == label).sum():7}  {name}")
    if images.masks is not None:
        say(f"masks: {images.masks.mean():.1%} of the pixels carry the evidence")
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
    images, split = read_to_learn(args), held_out(args.data)
    args.n = None
    test = read(args, split) if split else None
    if test:
        labels_of(test, images.classes)  # refused now, and not when the model has been learned
    model = _bow(args, images)
    found = rate(*predict(model, [test]), split) if test else None
    model.save(args.out)
    report(args, len(images), images.images.shape[1], found)


def report(args: argparse.Namespace, n: int, side: int, found: dict[str, Any] | None) -> None:
    """Say what was trained, and how good it is if that was measured."""
    say(f"trained on {n} images of {side} x {side} pixels, saved {args.out}")
    none = f"accuracy not measured: {args.data} has no val/ or test/ beside a train/"
    say(_told(found) if found else none)


def _told(found: dict[str, Any]) -> str:
    return f"{found['split']} {ACCURACY})".format(**found)


def _bow(args: argparse.Namespace, images: ImageSet) -> Any:
    import minibag as mb

    sizes = args.patch_size[0] if len(args.patch_size) == 1 else tuple(args.patch_size)
    sift, head = mb.DenseSIFT(args.step, sizes), args.classifier
    model = mb.BagOfVisualWords(sift, args.words, args.encoding, head, args.seed, n_jobs=args.jobs)
    return model.fit(images)


def _load(args: argparse.Namespace) -> tuple[Any, float]:
    """Load a model, and say which share of a photograph's square it is shown.

    Images are read at the size that it has learned, and critters drawn with its seed, unless told
    otherwise.
    """
    import minibag as mb

    model: Any = mb.load(args.model)
    prepared = {"crop": 1.0, **model.preparation}
    args.size = args.size or prepared["size"]
    if isinstance(model, mb.NetPredictor):
        model.net.to(accelerator() or "cpu")
        seed = model.card.get("seed")
    else:
        seed = model.random_state
    if getattr(args, "seed", 0) is None:
        args.seed = seed if isinstance(seed, int) else 0
    return model, prepared["crop"]


def evaluate(args: argparse.Namespace) -> None:
    """Print a model's accuracy with its 95 % interval, and draw its confusion matrix."""
    _keep(args.confusion, args.model)
    model, crop = _load(args)
    split = chosen_split(args, held_out(args.data) or "train")
    truth, predicted = predict(model, batches(args, split, crop))
    found = rate(truth, predicted, split)
    whole = f"{ACCURACY} of {args.data}, which has no splits)"
    say(_told(found) if split else whole.format(**found))
    if args.confusion:
        from sklearn.metrics import confusion_matrix

        from minibag.figures.models import confusion_figure

        counts = confusion_matrix(truth, predicted, labels=range(len(model.classes)))
        _save(confusion_figure(counts, model.classes), args.confusion)


def heatmap(args: argparse.Namespace) -> None:
    """Draw an image, the evidence at its pixels for a class, and the highest scores.

    Of a BagNet, a pixel shows the logit of the patch around it; of a word model, its share of the
    evidence of all patches that contain it.
    """
    from minibag.data.decode import read_image
    from minibag.figures.models import explanation

    _keep(args.out, args.image, args.model)
    model, crop = _load(args)
    if not hasattr(model, "evidence"):
        raise ValueError(
            f"{args.model} has no evidence per patch, because its logits are no mean over patches: "
            "take a BagNet or a word model"
        )
    image = read_image(args.image, args.size, crop)
    scores = dict(zip(model.classes, model.logits(image[None])[0].tolist(), strict=True))
    target = args.target or max(scores, key=lambda name: scores[name])
    if target not in scores:
        raise ValueError(f"no class {target!r}; the model knows {', '.join(scores)}")
    _save(explanation(image, _map(model, image, target), target, scores), args.out)
    say(f"evidence for {target} (logit {scores[target]:.2f}), saved {args.out}")


def _map(model: Any, image: Any, target: str) -> Any:
    """Return the evidence for a class at every pixel: (H, W)."""
    label = model.classes.index(target)
    if not hasattr(model, "net"):
        shape = image.shape[:2]
        return model.grid(shape).paint(model.evidence(image[None])[0, label], shape)
    import minibag as mb

    return mb.heatmap(model.net, mb.nets.normalise(image[None])[0], label).numpy()


def read(args: argparse.Namespace, split: str, crop: float = 1.0) -> ImageSet:
    """Read ``args.n`` images (None: all) of a split, at the side asked for."""
    import minibag as mb

    source, n, bar = args.data, args.n, is_terminal(sys.stderr)
    size = args.size or SIDES.get(source, 160)
    if source == "critters":
        return mb.critters(split, n or CRITTERS.get(split, 1), size, args.seed)
    if source == "photos":
        images = mb.photos(split, size)
    elif source == "imagenette":
        images = mb.imagenette(split, size, limit=n and -(-n // 10), progress=bar, crop=crop)
    else:
        images = mb.image_folder(folder_of(source, split), size, progress=bar, crop=crop)
    return images.subset(n, args.seed) if n else images


def read_to_learn(args: argparse.Namespace) -> ImageSet:
    """Read the images to learn from; ValueError unless there is one of every class."""
    images = read(args, "train")
    if without := len(images.classes) - len({*images.labels.tolist()}):
        raise ValueError(
            f"--n-train {args.n} leaves {without} of {len(images.classes)} classes without an "
            f"image: take {len(images.classes)} or more"
        )
    return images


def batches(args: argparse.Namespace, split: str, crop: float = 1.0) -> Iterable[ImageSet]:
    """Read images as `read` does, but those of a whole folder one batch after the other."""
    from minibag.data import stream_folder

    if args.data in HELD_OUT or args.n:
        return [read(args, split, crop)]
    folder, size = folder_of(args.data, split), args.size or 160
    return stream_folder(folder, size, BATCH, seed=None, crop=crop)


def folder_of(source: str, split: str) -> Path:
    """Return the folder of a split: itself if undivided; ValueError if it lacks that split."""
    from minibag.data.folder import splits_of

    splits = splits_of(source)
    if splits and split not in splits:
        raise ValueError(f"{source} has no split {split!r}, but {', '.join(splits)}")
    return splits.get(split, Path(source))


def chosen_split(args: argparse.Namespace, default: str) -> str:
    """Return the split that is asked for, else the default; "" of a folder without splits.

    Raises ValueError if a split is asked of such a folder: its images may be of any split.
    """
    from minibag.data.folder import splits_of

    source = args.data
    if source in HELD_OUT or splits_of(source) or not expand(source).is_dir():
        return args.split or default
    if args.split:
        raise ValueError(f"{source} has no splits such as train/: leave out --split {args.split}")
    return ""


def held_out(source: str) -> str | None:
    """Return the split to measure on, None if the data set has none."""
    from minibag.data.folder import splits_of

    splits = splits_of(source)
    return HELD_OUT.get(source) or next((s for s in ("val", "test") if s in splits), None)


def labels_of(images: ImageSet, known: Sequence[str]) -> Any:
    """Return labels (N,) as indices into known classes; ValueError if there are others."""
    import numpy as np

    from minibag.data.names import difference, few

    if strange := [name for name in images.classes if name not in known]:
        apart = difference(known, [*known, *strange])
        raise ValueError(f"the model knows the classes {few(known)}, but not all of these: {apart}")
    return np.array([known.index(name) for name in images.classes])[images.labels]


def predict(model: Any, sets: Iterable[ImageSet]) -> tuple[Any, Any]:
    """Return the true and the predicted class of every image, as indices into model.classes.

    Always so many images at a time: how they are shared out changes the rounding.
    """
    import numpy as np
    from tqdm.auto import tqdm

    truth, guesses = [], []
    with tqdm(unit="image", disable=not is_terminal(sys.stderr)) as bar:
        for images in sets:
            truth.append(labels_of(images, model.classes))
            for start in range(0, len(images), BATCH):
                part = images.images[start : start + BATCH]
                guesses.append(model.logits(part).argmax(1))
                bar.update(len(part))
    return np.concatenate(truth), np.concatenate(guesses)


def rate(truth: Any, predicted: Any, split: str | None) -> dict[str, Any]:
    """Return the accuracy on a split and its 95 % interval: value, low, high, n, split."""
    from minibag.stats import wilson_interval

    right, n = int((truth == predicted).sum()), len(truth)
    low, high = wilson_interval(right, n)
    return {"value": right / n, "low": low, "high": high, "n": n, "split": split}


def _keep(output: Path | None, *inputs: str | Path) -> None:
    """Raise ValueError if the output would replace one of the files that it is made from."""
    for file in map(Path, inputs):
        if output and output.exists() and file.exists() and output.samefile(file):
            raise ValueError(f"{output} is what the picture is made from: write it elsewhere")


def _save(figure: Figure, path: Path) -> None:
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=120)
