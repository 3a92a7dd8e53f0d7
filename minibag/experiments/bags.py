"""The evidence of a scrambled image, most of it without looking again.

Shuffling cells only moves the patches inside them. A bag gives a patch the same evidence wherever
it lies, so only patches across a seam have to be looked at anew.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minibag.bag import BagPredictor, PatchGrid
from minibag.experiments.scramble import Ints, Shuffle, surviving_patches

Floats = NDArray[np.floating]
CALL = 64 * 64  # asking a model at all takes about as long as looking at so many pixels


def scrambled_evidence(
    model: BagPredictor,
    images: NDArray[np.uint8],
    grid: int,
    seed: int = 0,
    evidence: Floats | None = None,
) -> Floats:
    """Return ``model.evidence(scramble(images, grid, seed))``, the same numbers in less time.

    Takes from ``evidence`` what is in there. Saves time where cells are much larger than patches,
    or no patch touches a seam; everything is computed anew where that is faster, and where the
    stride of the model does not divide the sides of the cells. A spatial pyramid is no bag in this
    sense, as its patches vote differently in other places: its evidence is always computed anew.

    Parameters
    ----------
    model : a bag of words or a BagNet
    images : uint8 (N, H, W, 3), not scrambled
    grid, seed : as for `scramble`
    evidence : ``model.evidence(images)``; without it, there is nothing to take

    Returns
    -------
    (N, C, h, w)

    Raises
    ------
    ValueError
        If there are no images, grid does not lie in 1 to min(H, W), or evidence has not the shape
        of the evidence of these images.
    """
    if images.ndim != 4 or not len(images):
        raise ValueError(f"expected at least one image (N, H, W, 3), got {images.shape}")
    height, width = images.shape[1:3]
    patches = model.grid((height, width))
    shown = (len(images), len(model.classes), *patches.shape)
    if evidence is not None and evidence.shape != shown:
        raise ValueError(
            f"the evidence of these images has the shape {shown}, not {evidence.shape}: give "
            "model.evidence(images)"
        )
    shuffles = [Shuffle.draw((height, width), grid, seed, n) for n in range(len(images))]
    scrambled = np.stack([s.apply(image) for s, image in zip(shuffles, images, strict=True)])
    kept = surviving_patches(patches, shuffles[0])
    on_grid = all(side % (grid * patches.stride) == 0 for side in (height, width))
    alike = on_grid and not patches.offset and not getattr(model, "sees_places", False)
    if evidence is None or not alike or not kept.any():
        return model.evidence(scrambled)
    seams = {axis: _seams(patches, kept, axis) for axis in (0, 1) if not kept.any(1 - axis).all()}
    # Bands of pixels along the seams: rows of an image's width, columns of its height.
    looked = sum(pixels.size * scrambled.shape[2 - axis] for axis, (_, pixels) in seams.items())
    if len(images) * (height * width - looked) <= CALL * (len(seams) - 1):
        return model.evidence(scrambled)
    result = np.empty_like(evidence)
    for n, shuffle in enumerate(shuffles):
        rows, columns = _origin(patches, shuffle, kept)
        result[n][:, kept] = evidence[n][:, rows, columns]
    for axis, (runs, pixels) in seams.items():
        seen = model.evidence(np.concatenate([scrambled.take(p, axis + 1) for p in pixels]))
        for run, found in zip(runs, np.split(seen, len(runs)), strict=True):
            np.moveaxis(result, axis + 2, 0)[run] = np.moveaxis(found, axis + 2, 0)
    return result


def _origin(patches: PatchGrid, shuffle: Shuffle, kept: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return where on the grid the kept patches were before: rows and columns, (K,) each."""
    place = patches.stride * np.argwhere(kept)  # top left pixels
    edges = (shuffle.rows, shuffle.columns)
    cell = [np.searchsorted(e, p, "right") - 1 for e, p in zip(edges, place.T, strict=True)]
    inside = place - np.stack([e[c] for e, c in zip(edges, cell, strict=True)], 1)
    rows, columns = (shuffle.source[tuple(cell)] + inside).T // patches.stride
    return rows, columns


def _seams(patches: PatchGrid, kept: NDArray[np.bool_], axis: int) -> tuple[Ints, Ints]:
    """Return the rows (axis 0) or columns (axis 1) of patches that lie across the seams.

    Between two cells lie L of them, as many as between any other two: (seams, L). With them come
    the rows or columns of pixels that they see: (seams, side).
    """
    lines = np.flatnonzero(~kept.any(1 - axis))
    runs = np.stack(np.split(lines, np.flatnonzero(np.diff(lines) > 1) + 1))
    side = (runs.shape[1] - 1) * patches.stride + patches.size
    return runs, patches.stride * runs[:, :1] + np.arange(side)
