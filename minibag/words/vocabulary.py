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
MAX_DESCRIPTORS = 200_000  # more make `fit` slower, not better
CHUNK = 8192  # descriptors that are compared with all words at once: bounds the memory


class Vocabulary(TransformerMixin, BaseEstimator):
    """Visual words, learned by k-means on descriptors (..., D).

    The zero descriptor of a flat patch is treated like any other: where flat patches are common
    they get a word of their own ("nothing here"), where they are rare they join the nearest word.

    Parameters
    ----------
    n_words : number of words K
    random_state : seed of the sample and of k-means

    Attributes
    ----------
    words_ : float32 array (K, D), the words
    """

    def __init__(self, n_words: int = 400, random_state: Any = 0) -> None:
        self.n_words = n_words
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn the words from descriptors (..., D), a random sample if there are over 200,000.

        Raises ValueError if there are fewer descriptors than words.
        """
        rows = sample(as_rows(X), MAX_DESCRIPTORS, self.random_state)
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
        rows = self._rows(X)
        half = (self.words_**2).sum(1) / 2  # argmin |x - w|^2 = argmax x.w - |w|^2 / 2
        words = np.empty(len(rows), np.int32)
        for i in range(0, len(rows), CHUNK):
            words[i : i + CHUNK] = (rows[i : i + CHUNK] @ self.words_.T - half).argmax(1)
        return words.reshape(np.asarray(X).shape[:-1])

    def transform(self, X: ArrayLike) -> Floats:
        """Return the Euclidean distance to every word: (..., D) -> float32 (..., K)."""
        rows = self._rows(X)
        squares = (rows**2).sum(1)[:, None] + (self.words_**2).sum(1) - 2 * rows @ self.words_.T
        return np.sqrt(np.maximum(squares, 0)).reshape(*np.asarray(X).shape[:-1], -1)

    def _rows(self, X: ArrayLike) -> Floats:
        check_is_fitted(self, "words_")
        rows, n_features = as_rows(X), self.words_.shape[1]
        if rows.shape[1] != n_features:
            raise ValueError(
                f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting "
                f"{n_features} features as input"
            )
        return rows


def as_rows(descriptors: ArrayLike) -> Floats:
    """Return descriptors (..., D) as finite float32 rows (n, D); ValueError if they are not."""
    array = check_array(descriptors, dtype=np.float32, allow_nd=True)
    return array.reshape(-1, array.shape[-1])


def sample(rows: Floats, n: int, random_state: Any) -> Floats:
    """Return ``n`` random rows without repeats, or all of them if there are no more."""
    if len(rows) <= n:
        return rows
    return rows[check_random_state(random_state).choice(len(rows), n, replace=False)]
