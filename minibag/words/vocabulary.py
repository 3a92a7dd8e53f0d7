"""The vocabulary: k-means centres of descriptors are the visual words.

References: Sivic & Zisserman, "Video Google", ICCV 2003; Csurka et al., ECCV workshop 2004.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

Floats = NDArray[np.floating]
CHUNK = 8192  # descriptors that are compared with all words at once: bounds the memory


class Vocabulary(TransformerMixin, BaseEstimator):
    """Visual words, learned by k-means on descriptors (..., D).

    The zero descriptor of a flat patch is treated like any other: where flat patches are common
    they get a word of their own ("nothing here"), where they are rare they join the nearest word.

    Parameters
    ----------
    n_words : int
        Number of words K.
    random_state : int, RandomState or None
        Seed of the sample and of k-means.
    max_descriptors : int
        ``fit`` learns from a random sample of at most this many descriptors.

    Attributes
    ----------
    words_ : float32 array (K, D)
        The words.
    """

    def __init__(
        self, n_words: int = 400, random_state: Any = 0, max_descriptors: int = 200_000
    ) -> None:
        self.n_words = n_words
        self.random_state = random_state
        self.max_descriptors = max_descriptors

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn the words from descriptors (..., D); at least as many as words, or ValueError."""
        rows = sample(as_rows(X), self.max_descriptors, self.random_state)
        return self._learn(self._kmeans("k-means++").fit, rows)

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Move the words towards one more batch of descriptors (..., D)."""
        start = getattr(self, "words_", "k-means++")
        kmeans = getattr(self, "kmeans_", None) or self._kmeans(start)
        return self._learn(kmeans.partial_fit, as_rows(X))

    def _kmeans(self, init: Any) -> MiniBatchKMeans:
        return MiniBatchKMeans(
            self.n_words,
            init=init,
            init_size=10 * self.n_words,  # k-means++ on a sample of this size
            batch_size=4096,
            n_init=1,
            random_state=self.random_state,
        )

    @threadpool_limits.wrap(limits=1)  # small products: more threads only wait for each other
    def _learn(self, step: Any, rows: Floats) -> Self:
        if len(rows) < self.n_words and not hasattr(self, "words_"):
            raise ValueError(
                f"{self.n_words} words cannot be learned from n_samples={len(rows)} descriptors: "
                "give more images or ask for fewer words (n_words)"
            )
        self.kmeans_ = step(rows)
        del self.kmeans_.labels_  # one per descriptor: not worth keeping or sending to workers
        self.words_ = self.kmeans_.cluster_centers_.copy()
        self.n_features_in_ = rows.shape[1]
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """Return the index of the nearest word: (..., D) -> int32 (...)."""
        rows, shape = self._check(X)
        half = (self.words_**2).sum(1) / 2  # argmin |x - w|^2 = argmax x.w - |w|^2 / 2
        words = np.empty(len(rows), np.int32)
        for i in range(0, len(rows), CHUNK):
            words[i : i + CHUNK] = (rows[i : i + CHUNK] @ self.words_.T - half).argmax(1)
        return words.reshape(shape)

    def transform(self, X: ArrayLike) -> Floats:
        """Return the Euclidean distance to every word: (..., D) -> float32 (..., K)."""
        rows, shape = self._check(X)
        squares = (rows**2).sum(1)[:, None] + (self.words_**2).sum(1) - 2 * rows @ self.words_.T
        return np.sqrt(np.maximum(squares, 0)).reshape(*shape, -1)

    def _check(self, X: ArrayLike) -> tuple[Floats, tuple[int, ...]]:
        check_is_fitted(self, "words_")
        array = check_array(X, dtype=np.float32, allow_nd=True)
        n_features = array.shape[-1]
        if n_features != self.words_.shape[1]:
            raise ValueError(
                f"X has {n_features} features, but {type(self).__name__} is expecting "
                f"{self.words_.shape[1]} features as input"
            )
        return array.reshape(-1, n_features), array.shape[:-1]


def as_rows(descriptors: ArrayLike) -> Floats:
    """Return descriptors (..., D) as finite float32 rows (n, D); ValueError if they are not."""
    array = check_array(descriptors, dtype=np.float32, allow_nd=True)
    return array.reshape(-1, array.shape[-1])


def sample(rows: Floats, n: int, random_state: Any) -> Floats:
    """Return ``n`` random rows without repeats, or all of them if there are no more."""
    if len(rows) <= n:
        return rows
    return rows[check_random_state(random_state).choice(len(rows), n, replace=False)]
