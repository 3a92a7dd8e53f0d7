"""The vocabulary: k-means centres of descriptors are the visual words.

Descriptors and words are kept in float32, which halves the memory, and compared in float64:
``|x|^2 - 2 x.w + |w|^2`` is a small difference of large numbers, of which float32 leaves nothing
where descriptors lie close together.

References: Sivic & Zisserman, "Video Google", ICCV 2003; Csurka et al., ECCV workshop 2004.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
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
    counts_ : int array (K,), how many descriptors each word was learned from
    """

    def __init__(self, n_words: int = 400, random_state: Any = 0) -> None:
        self.n_words = n_words
        self.random_state = random_state

    @property
    def n_features_in_(self) -> int:
        """Number D of entries of a descriptor."""
        return self.words_.shape[1]

    @threadpool_limits.wrap(limits=1)  # small products: more threads only wait for each other
    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn the words from descriptors (..., D), a random sample if there are over 200,000.

        Raises ValueError if there are fewer descriptors than words.
        """
        rows = sample(as_rows(X), MAX_DESCRIPTORS, self.random_state)
        if len(rows) < self.n_words:
            raise ValueError(
                f"{self.n_words} words cannot be learned from n_samples={len(rows)} descriptors: "
                "give more images or ask for fewer words (n_words)"
            )
        kmeans = MiniBatchKMeans(
            self.n_words,
            init_size=10 * self.n_words,  # k-means++ on a sample of this size
            batch_size=4096,
            n_init=1,
            random_state=self.random_state,
        ).fit(rows.astype(np.float64))
        self.words_ = kmeans.cluster_centers_.astype(np.float32)
        self.counts_ = np.bincount(kmeans.labels_, minlength=self.n_words)
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn from one more batch of descriptors (..., D).

        The first batch is what `fit` learns from. From then on a word is the mean of all
        descriptors that found it the nearest when they came: each weighs the same (MacQueen 1967).

        Raises ValueError if the words came without ``counts_``, which say how much a batch weighs.
        """
        if not hasattr(self, "words_"):
            return self.fit(X)
        if not hasattr(self, "counts_"):
            raise ValueError(
                "these words came without counts_ (put in by hand, or from a file of an older "
                "minibag), so nobody knows how far a batch may move them: use fit"
            )
        rows = self._rows(X)
        code = self.one_hot(rows)
        new = np.bincount(code.indices, minlength=len(self.words_))
        self.counts_ = self.counts_ + new
        words = self.words_.astype(np.float64)
        words += (code.T @ rows - new[:, None] * words) / np.maximum(self.counts_, 1)[:, None]
        self.words_ = words.astype(np.float32)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """Return the index of the nearest word: (..., D) -> int32 (...)."""
        rows, words = self._rows(X), self.words_.astype(np.float64)
        half = (words**2).sum(1) / 2  # argmin |x - w|^2 = argmax x.w - |w|^2 / 2
        nearest = [(part @ words.T - half).argmax(1) for part in doubles(rows)]
        return np.concatenate(nearest).astype(np.int32).reshape(np.asarray(X).shape[:-1])

    def transform(self, X: ArrayLike) -> Floats:
        """Return the Euclidean distance to every word: (..., D) -> float32 (..., K)."""
        squares = self.squared_distances(self._rows(X))
        return np.sqrt(squares).astype(np.float32).reshape(*np.asarray(X).shape[:-1], -1)

    def squared_distances(self, rows: Floats) -> Doubles:
        """Return the squared Euclidean distance to every word: (n, D) -> float64 (n, K)."""
        words = self.words_.astype(np.float64)
        own = (words**2).sum(1)
        squares = [(x**2).sum(1)[:, None] + own - 2 * x @ words.T for x in doubles(rows)]
        return np.maximum(np.concatenate(squares), 0)

    def one_hot(self, rows: Floats) -> csr_matrix:
        """Return the nearest words of rows (n, D) as float64 rows of a single 1: sparse (n, K)."""
        words = self.predict(rows)
        ones, starts = np.ones(len(words)), np.arange(len(words) + 1)
        return csr_matrix((ones, words, starts), shape=(len(words), len(self.words_)))

    def _rows(self, X: ArrayLike) -> Floats:
        check_is_fitted(self, "words_")
        rows = as_rows(X)
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        return rows


def as_rows(descriptors: ArrayLike) -> Floats:
    """Return descriptors (..., D) as finite float32 rows (n, D); ValueError if they are not."""
    array = check_array(descriptors, dtype=np.float32, allow_nd=True)
    return array.reshape(-1, array.shape[-1])


def doubles(rows: Floats) -> Iterator[Doubles]:
    """Yield rows (n, D) in float64, a few thousand at a time."""
    for i in range(0, len(rows), CHUNK):
        yield rows[i : i + CHUNK].astype(np.float64)


def sample(rows: Floats, n: int, random_state: Any) -> Floats:
    """Return ``n`` random rows without repeats, or all of them if there are no more."""
    if len(rows) <= n:
        return rows
    return rows[check_random_state(random_state).choice(len(rows), n, replace=False)]
