"""Time dense SIFT against OpenCV and kornia, and compare its descriptors with theirs.

    python -m benchmarks.sift [--repeats 15]      needs the extra "bench" and the photographs

Speed: one photograph with the same 76 x 76 patch centres for all, median of the repeats, all in one
run. "Patch" is the patch that is really described, four bins a side. OpenCV's
``KeyPoint.size`` is another thing: a bin is 1.5 sizes wide, so size 16 describes 96 x 96 pixels.
Agreement: cosine similarity of descriptors of 1,000 random patches of validation photographs that
were blurred to the same scale.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from kornia.feature import DenseSIFTDescriptor
from skimage.feature import SIFT

import minibag as mb
from benchmarks import record
from minibag.machine import cpu_count

Floats = np.ndarray[Any, np.dtype[np.floating]]


def keypoints(centres: Floats, patch: int) -> list[cv2.KeyPoint]:
    """Return OpenCV's upright key points for patches with centres (n, 2) as (row, column)."""
    return [cv2.KeyPoint(float(x), float(y), patch / 6, 0) for y, x in centres]


def grid_of(sift: mb.DenseSIFT, side: int) -> Floats:
    """Return the patch centres (n, 2) of ``sift`` as (row, column)."""
    rows, cols = sift.grid((side, side)).centres()
    return np.stack(np.meshgrid(rows, cols, indexing="ij"), -1).reshape(-1, 2)


def milliseconds(tasks: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the median time of each task; they take turns, so all see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(repeats + 2):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if turn >= 2:  # the first two turns warm up
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(taken)) for name, taken in times.items()}


def speed(image: np.ndarray, repeats: int) -> dict[str, float]:
    """Return milliseconds for 5,776 descriptors of one image with each library.

    The image is 320 x 320 for patches of 20 pixels and 396 x 396 for patches of 96 pixels, so that
    all patches lie inside.
    """
    tasks: dict[str, Callable[[], Any]] = {}
    for patch, crop in ((20, 318), (96, 375)):  # kornia finds 76 x 76 patches in the crop
        dense, opencv = mb.DenseSIFT(4, patch), cv2.SIFT_create()
        photograph = cv2.resize(image, (300 + patch,) * 2, interpolation=cv2.INTER_CUBIC)
        grey = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)
        points = keypoints(grid_of(dense, 300 + patch), patch)
        kornia = DenseSIFTDescriptor(spatial_bin_size=patch // 4, stride=4, padding=0)
        tensor = torch.tensor(grey[None, None, :crop, :crop] / 255).float()
        assert len(points) == 5776 == kornia(tensor)[0, 0].numel()
        tasks[f"minibag, patch {patch}"] = partial(dense.transform, photograph[None])
        tasks[f"OpenCV, patch {patch}"] = partial(opencv.compute, grey, points)
        tasks[f"kornia, patch {patch}"] = partial(kornia, tensor)
    with torch.inference_mode():
        return milliseconds(tasks, repeats)


def theirs_opencv(grey: np.ndarray, centres: Floats, patch: int) -> Floats:
    """Return OpenCV's descriptors at the centres, from an image blurred for this patch size."""
    sift = cv2.SIFT_create(sigma=patch / 12)
    return sift.compute(grey, keypoints(centres, patch))[1]


def theirs_skimage(grey: np.ndarray, centres: Floats, patch: int) -> Floats:
    """Return scikit-image's descriptors at the centres, in OpenCV's order of orientations."""
    sift = SIFT(upsampling=1, n_octaves=1, n_scales=1, sigma_min=patch / 12)
    sift.positions = centres
    sift.scales = sift.octaves = np.zeros(len(centres), int)
    sift.sigmas, sift.orientations = np.full(len(centres), patch / 12), np.zeros(len(centres))
    sift.extract(grey)
    return np.roll(sift.descriptors.reshape(-1, 16, 8), -2, axis=2).reshape(-1, 128).astype(float)


def cosines(images: np.ndarray, patch: int, per_image: int = 10) -> dict[str, list[float]]:
    """Return the cosine similarity of our descriptors to theirs, random patches of every image."""
    dense, rng = mb.DenseSIFT(4, patch, min_contrast=0), np.random.default_rng(0)
    found: dict[str, list[float]] = {"OpenCV": [], "scikit-image": []}
    for image in images:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        centres = grid_of(dense, image.shape[0])
        chosen = rng.choice(len(centres), per_image, replace=False)
        sigma = np.sqrt((patch / 12) ** 2 - 0.5**2)  # both libraries assume 0.5 in the photograph
        blurred = cv2.GaussianBlur(grey / 255, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        ours = dense.transform(np.clip(blurred, 0, 1)[None]).reshape(-1, 128)[chosen]
        for name, compute in (("OpenCV", theirs_opencv), ("scikit-image", theirs_skimage)):
            theirs = compute(grey, centres[chosen], patch)
            length = np.linalg.norm(theirs, axis=1)
            cosine = (ours * theirs).sum(1) / np.maximum(length, 1e-9)
            found[name].extend(cosine[length > 0].tolist())  # flat patches have no direction
    return found


def main() -> None:
    """Measure, print the tables and write the result."""
    parser = argparse.ArgumentParser(description="Dense SIFT against other libraries")
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(cpu_count())
    cv2.setNumThreads(cpu_count())
    photographs = mb.imagenette("val", size=160).images[::19][:100]

    times = speed(photographs[0], repeats)
    print("5,776 descriptors    median ms")
    for name, ms in times.items():
        print(f"{name:20} {ms:10.1f}")
    ratios = {
        f"{other} / minibag, patch {patch}": times[f"{other}, patch {patch}"]
        / times[f"minibag, patch {patch}"]
        for patch in (20, 96)
        for other in ("OpenCV", "kornia")
    }
    for name, ratio in ratios.items():
        print(f"{name:28} {ratio:6.1f} x")

    agreement = {}
    print("\ncosine similarity                  median   5 %  patches")
    for patch in (16, 24):
        for name, found in cosines(photographs, patch).items():
            median, low = np.median(found), np.quantile(found, 0.05)
            agreement[f"{name}, patch {patch}"] = {"median": median, "5 %": low, "n": len(found)}
            print(f"{name + f', patch {patch}':32} {median:8.3f} {low:6.3f} {len(found):6d}")
    result = {"repeats": repeats, "ms": times, "ratios": ratios, "agreement": agreement}
    print("written to", record.write("sift", result))


if __name__ == "__main__":
    main()
