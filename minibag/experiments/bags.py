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


def scrambled_evidence(
    model: BagPredictor,
    images: NDArray[np.uint8],
    grid: int,
    seed: int = 0,
    evidence: Floats | None = None,
) -> Floats:
    """Return ``model.evidence(scramble(images, grid, seed))``, the same numbers in less time.

    Saves time where cells are larger than patches; where the stride of the model does not divide
    the sides of the cells, or every patch touches a seam, everything is computed anew.

    Parameters
    ----------
    model : a bag of words or a BagNet
    images : uint8 (N, H, W, 3), not scrambled
    grid, seed : as for `scramble`
    evidence : ``model.evidence(images)``, where it is at hand

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
    shuffles = [Shuffle.draw((height, width), grid, seed, n) for n in range(len(images))]
    scrambled = np.stack([s.apply(image) for s, image in zip(shuffles, images, strict=True)])
    kept = surviving_patches(patches, shuffles[0])
    on_grid = all(side % (grid * patches.stride) == 0 for side in (height, width))
    if not on_grid or patches.offset or not kept.any():
        return model.evidence(scrambled)
    evidence = model.evidence(images) if evidence is None else evidence
    if evidence.shape[0] != len(images) or evidence.shape[2:] != patches.shape:
        raise ValueError(
            f"evidence {evidence.shape} does not belong to images {images.shape}, which have "
            f"{patches.shape} patches each: give model.evidence(images)"
        )
    result = np.empty_like(evidence)
    for n, shuffle in enumerate(shuffles):
        rows, columns = _origin(patches, shuffle, kept)
        result[n][:, kept] = evidence[n][:, rows, columns]
    for axis, seams in ((2, ~kept.any(1)), (3, ~kept.any(0))):
        _look_again(model, scrambled, patches, np.flatnonzero(seams), axis, result)
    return result


def _origin(patches: PatchGrid, shuffle: Shuffle, kept: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return where on the grid the kept patches were before: rows and columns, (K,) each."""
    place = patches.stride * np.argwhere(kept)  # top left pixels
    edges = (shuffle.rows, shuffle.columns)
    cell = [np.searchsorted(e, p, "right") - 1 for e, p in zip(edges, place.T, strict=True)]
    inside = place - np.stack([e[c] for e, c in zip(edges, cell, strict=True)], 1)
    rows, columns = (shuffle.source[tuple(cell)] + inside).T // patches.stride
    return rows, columns


def _look_again(
    model: BagPredictor,
    scrambled: NDArray[np.uint8],
    patches: PatchGrid,
    lines: Ints,
    axis: int,
    result: Floats,
) -> None:
    """Write the evidence of some rows (axis 2) or columns (axis 3) of patches into ``result``.

    Between two cells lie as many of them as between any other two, so that the bands of pixels
    they see are of one size, and go through the model together.
    """
    if not len(lines):
        return
    runs = np.split(lines, np.flatnonzero(np.diff(lines) > 1) + 1)
    side = (len(runs[0]) - 1) * patches.stride + patches.size
    bands = [scrambled.take(run[0] * patches.stride + np.arange(side), axis - 1) for run in runs]
    seen = model.evidence(np.concatenate(bands))
    for run, found in zip(runs, np.split(seen, len(runs)), strict=True):
        np.moveaxis(result, axis, 0)[run] = np.moveaxis(found, axis, 0)
