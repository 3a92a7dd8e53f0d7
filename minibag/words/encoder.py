"""From images to vectors: extract descriptors, learn a codebook, encode, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import count, repeat
from typing import Any, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import ThreadpoolController

from minibag.data.imageset import ImageSet
from minibag.words.encodings import HistogramEncoder
from minibag.words.sift import DenseSIFT

Floats = NDArray[np.floating]
Images = NDArray[Any] | ImageSet | Iterable[Any] | Callable[[], Iterable[Any]]


class BagEncoder(TransformerMixin, BaseEstimator):
    """Images in, one vector per image out: a scikit-learn transformer around local features.

    ``images`` is a uint8 array (N, H, W, 3), an ImageSet, an iterable of such batches for sets
    larger than memory, or a function that returns a fresh iterable: ``fit`` reads the images once
    (twice with tf-idf), ``fit_transform`` once more, and ``stream_folder`` can be read only once:
    ``fit_transform(lambda: mb.stream_folder(path, 160))``.

    Batches go through joblib: ``n_jobs`` threads here, processes inside ``with
    joblib.parallel_config("loky")``, a cluster inside ``with joblib.parallel_config("dask")``.
    The descriptors of a whole set are never held.

    Parameters
    ----------
    features : images to descriptors (N, h, w, D) or (N, h, w, S, D); None is ``DenseSIFT()``
    encoder : descriptors to vectors; None is ``HistogramEncoder()``
    max_descriptors : the codebook is learned from about as many descriptors
    max_images : they are drawn from as many random images, the same number from each
    batch_size : images that one worker holds descriptors of at a time
    n_jobs : workers, as everywhere in scikit-learn: None is 1, -1 is as many as CPUs
    random_state : seed of the draw of images and descriptors

    Attributes
    ----------
    features_, encoder_ : the fitted copies of ``features`` and ``encoder``
    image_shape_ : (H, W) of the images it was fitted on; it can encode others, at another scale
    """

    def __init__(
        self,
        features: Any = None,
        encoder: Any = None,
        *,
        max_descriptors: int = 200_000,
        max_images: int = 1000,
        batch_size: int = 32,
        n_jobs: int | None = None,
        random_state: Any = 0,
    ) -> None:
        self.features = features
        self.encoder = encoder
        self.max_descriptors = max_descriptors
        self.max_images = max_images
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Images, y: Any = None) -> Self:
        """Learn the codebook from a random sample of the images, and tf-idf from all of them."""
        rng = check_random_state(self.random_state)
        images = _draw(X, self.max_images, rng)
        self._start(images)
        self.encoder_.fit(self._sample(images, rng))
        if getattr(self.encoder_, "tfidf", False):
            occurring = self.map_descriptors(repeat(self.encoder_.occurring), X)
            self.encoder_.learn_idf(np.concatenate(occurring))
        return self

    def partial_fit(self, X: Images, y: Any = None) -> Self:
        """Let the vocabulary learn from more images.

        Raises ValueError for Fisher vectors and tf-idf, which are learned from a set as a whole.
        """
        encoder = HistogramEncoder() if self.encoder is None else self.encoder
        if not hasattr(encoder, "partial_fit") or getattr(encoder, "tfidf", False):
            raise ValueError(f"{encoder} cannot learn batch by batch: use fit")
        rng = check_random_state(self.random_state)
        for images in batches(X, self.batch_size):
            if not hasattr(self, "encoder_"):
                self._start(images)
            self.encoder_.partial_fit(self._sample(images, rng))
        return self

    def _start(self, images: NDArray[Any]) -> None:
        self.features_ = DenseSIFT() if self.features is None else clone(self.features)
        self.encoder_ = HistogramEncoder() if self.encoder is None else clone(self.encoder)
        self.image_shape_ = images.shape[1:3]
        self.features_.fit(images)

    def _sample(self, images: NDArray[Any], rng: Any) -> Floats:
        """About ``max_descriptors`` random descriptors (n, D), as many from each image."""
        n = -(-self.max_descriptors // len(images))
        steps = (partial(_some, n=n, seed=rng.randint(2**31)) for _ in count())
        return np.concatenate(self.map_descriptors(steps, images))

    def transform(self, X: Images) -> NDArray[np.float32]:
        """Encode images: (N, F)."""
        check_is_fitted(self, "encoder_")
        return np.concatenate(self.map_descriptors(repeat(self.encoder_.transform), X))

    def map_descriptors(self, steps: Iterable[Callable[[Floats], Any]], images: Images) -> list:
        """Return what each step makes of the descriptors of one batch of images, in order."""
        tasks = zip(batches(images, self.batch_size), steps, strict=False)
        with _libraries().limit(limits=1):
            results = Parallel(n_jobs=self.n_jobs, prefer="threads")(
                delayed(_describe)(self.features_, step, batch) for batch, step in tasks
            )
        if not results:
            raise ValueError("no images: the set is empty, or a stream that was read before")
        return results


@cache
def _libraries() -> ThreadpoolController:
    """Return what has threads; finding it takes longer than describing an image, so it is kept."""
    return ThreadpoolController()


def _describe(features: Any, step: Callable, images: NDArray[Any]) -> Any:
    """One task of a worker, on one thread: workers that each start one per CPU make BLAS crawl."""
    with _libraries().limit(limits=1):
        return step(features.transform(images))


def _some(descriptors: Floats, n: int, seed: int) -> Floats:
    """Return ``n`` random descriptors of each image: (N, ..., D) -> (N * n, D)."""
    rng = np.random.default_rng(seed)
    per_image = descriptors.reshape(len(descriptors), -1, descriptors.shape[-1])
    patches = per_image.shape[1]
    chosen = [rng.choice(patches, min(n, patches), replace=False) for _ in per_image]
    return np.concatenate([d[c] for d, c in zip(per_image, chosen, strict=True)])


def _draw(images: Images, n: int, rng: Any) -> NDArray[Any]:
    """Return ``n`` random images of a set of unknown length (reservoir sampling, Vitter 1985)."""
    kept: list[NDArray[Any]] = []
    for i, image in enumerate(image for batch in batches(images, 256) for image in batch):
        slot = i if i < n else rng.randint(i + 1)
        if slot < n:
            kept[slot : slot + 1] = [image.copy()]  # a view would keep its whole batch
    if len(shapes := {image.shape for image in kept}) != 1:
        found = sorted(shapes) or "none: the set is empty, or a stream that was read before"
        raise ValueError(f"the images must have one size, got {found}")
    return np.stack(kept)


def batches(images: Images, size: int) -> Iterator[NDArray[Any]]:
    """Yield the images in arrays of at most ``size``.

    Raises TypeError if ``images`` is no array, ImageSet, iterable of these, or function.
    """
    images = getattr(images, "images", images)  # an ImageSet
    if isinstance(images, np.ndarray):
        for i in range(0, len(images), size):
            yield images[i : i + size]
        return
    if isinstance(images, str) or not (callable(images) or isinstance(images, Iterable)):
        raise TypeError(
            f"expected a uint8 array (N, H, W, 3), an ImageSet, an iterable of these, or a "
            f"function that returns one, got {type(images).__name__}"
        )
    for batch in images() if callable(images) else images:
        if np.ndim(getattr(batch, "images", batch)) < 4:
            raise ValueError("a list or stream must hold batches (n, H, W, 3): np.stack(images)")
        yield from batches(batch, size)
