"""Encodings: the descriptors of an image (h, w, D) or (h, w, S, D) become one vector.

Histograms and pyramids are means of what the patches say one by one, so a linear classifier on
them has exact evidence for every patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from scipy.special import softmax
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError

from minibag.words.vocabulary import Vocabulary, as_rows

Floats = NDArray[np.floating]


class Encoder(TransformerMixin, BaseEstimator):
    """What all encoders share: descriptors of N images in, one float32 vector per image out.

    Subclasses say how to ``fit`` on descriptors (..., D) and how to encode one image, as patches
    (h, w, S, D); ``learned`` names the arrays that make up a fitted encoder, and their axes.
    """

    learned: ClassVar[dict[str, str]]

    @property
    def mixes_patches(self) -> str:
        """Why the vector is not a mean over patches; empty if it is one."""
        return f"{type(self).__name__} takes signed square roots and divides by the length (L2)"

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Encode descriptors (N, h, w, D) or (N, h, w, S, D) of N images: (N, F)."""
        return np.stack([self._encode(patches) for patches in per_image(X)]).astype(np.float32)

    def _encode(self, patches: Floats) -> Floats:
        raise NotImplementedError


class WordEncoder(Encoder):
    """An encoder that stands on a vocabulary."""

    learned: ClassVar[dict[str, str]] = {"words_": "KD", "counts_": "K"}
    n_words: int
    random_state: Any

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn the vocabulary from descriptors (..., D)."""
        self.vocabulary_ = self._new_vocabulary().fit(X)
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Let the vocabulary learn from one more batch of descriptors (..., D)."""
        if not hasattr(self, "vocabulary_"):
            self.vocabulary_ = self._new_vocabulary()
        self.vocabulary_.partial_fit(X)
        return self

    def _new_vocabulary(self) -> Vocabulary:
        return Vocabulary(self.n_words, self.random_state)

    @property
    def words_(self) -> Floats:
        """The words (K, D); words that are put in come without ``counts_``."""
        return self.vocabulary_.words_

    @words_.setter
    def words_(self, words: Floats) -> None:
        self.vocabulary_ = self._new_vocabulary()
        self.vocabulary_.words_ = words

    @property
    def counts_(self) -> NDArray[np.int64]:
        """How many descriptors each word was learned from (K,)."""
        return self.vocabulary_.counts_

    @counts_.setter
    def counts_(self, counts: NDArray[np.int64]) -> None:
        self.vocabulary_.counts_ = counts


class HistogramEncoder(WordEncoder):
    """The bag of visual words: how often does each word occur? (Csurka et al. 2004).

    Parameters
    ----------
    n_words : size of the vocabulary K; the vector has K entries that sum to 1
    assignment : "hard" counts a patch for its nearest word, "soft" for all words in proportion to
        ``exp(-distance^2 / (2 sigma^2))`` (van Gemert et al., ECCV 2008)
    sigma : width of the soft assignment, in units of descriptor distance
    tfidf : multiply word k by log(N / images with word k), by 0 if no image has it (Sivic &
        Zisserman 2003, eq. 1); `BagEncoder` and ``fit`` on (N, h, w, D) learn this weight. Not
        with soft assignment, where every image has a little of every word.
    norm : "sqrt" takes square roots of the entries (Hellinger kernel), "l2" divides by the length
    random_state : seed of the vocabulary
    """

    learned: ClassVar = {**WordEncoder.learned, "idf_": "I"}
    levels: Sequence[int] = (1,)
    idf_: Floats = np.ones(1, np.float32)  # all words weigh the same until `learn_idf`

    def __init__(
        self,
        n_words: int = 400,
        *,
        assignment: str = "hard",
        sigma: float = 0.2,
        tfidf: bool = False,
        norm: str | None = None,
        random_state: Any = 0,
    ) -> None:
        self.n_words = n_words
        self.assignment = assignment
        self.sigma = sigma
        self.tfidf = tfidf
        self.norm = norm
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn the vocabulary from descriptors (..., D); the idf too, if they are (N, h, w, D)."""
        super().fit(X)
        self.__dict__.pop("idf_", None)  # of an earlier fit
        if self.tfidf and np.ndim(X) > 3:
            self.learn_idf(self.occurring(X))
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Let the vocabulary learn from one more batch; ValueError with tf-idf (see `fit`)."""
        if self.tfidf:
            raise ValueError("no tf-idf batch by batch: it is learned from a whole set, use fit")
        return super().partial_fit(X)

    def _new_vocabulary(self) -> Vocabulary:
        if self.assignment not in ("hard", "soft") or self.norm not in (None, "sqrt", "l2"):
            raise ValueError(
                f"assignment must be 'hard' or 'soft' and norm None, 'sqrt' or 'l2', got "
                f"assignment={self.assignment!r}, norm={self.norm!r}"
            )
        if self.assignment == "soft" and (self.tfidf or not self.sigma > 0):
            raise ValueError(f"soft assignment takes sigma > 0 (got {self.sigma}) and no tf-idf")
        if not self.levels or min(self.levels) < 1:
            raise ValueError(f"levels must hold whole numbers from 1 on, got {self.levels}")
        return super()._new_vocabulary()

    def occurring(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Return which words occur in each image: descriptors (N, h, w, D) to bool (N, F)."""
        return np.stack([self._count(patches) > 0 for patches in per_image(X)])

    def learn_idf(self, occurring: NDArray[Any]) -> None:
        """Learn how rare each word is from all images of a set: (N, F), over 0 where it occurs."""
        df = (occurring > 0).sum(0)
        idf = np.log(len(occurring) / np.maximum(df, 1))
        self.idf_ = np.where(df > 0, idf, 0).astype(np.float32)

    def _rarity(self) -> Floats:
        """Return the weight of each word (F,), or (1,) if all weigh the same."""
        if self.tfidf and "idf_" not in vars(self):
            raise NotFittedError(
                "tf-idf has seen no images: fit on (N, h, w, D), use BagEncoder, or learn_idf"
            )
        return self.idf_

    @property
    def mixes_patches(self) -> str:
        """See `Encoder`; only plain and tf-idf histograms have exact evidence."""
        causes = {"sqrt": "takes square roots", "l2": "divides by the length (L2)"}
        return f"norm={self.norm!r} {causes[self.norm]}" if self.norm else ""

    def _encode(self, patches: Floats) -> Floats:
        vector = self._count(patches) * self._rarity()
        if self.norm == "sqrt":
            return np.sqrt(vector)
        return unit(vector) if self.norm == "l2" else vector

    def _count(self, patches: Floats) -> Floats:
        membership = self._membership(patches.shape[:3])
        return (membership @ self._words(patches)).ravel() / membership.shape[1]

    def _words(self, patches: Floats) -> Floats | csr_matrix:
        """How much each patch counts for each word: (P, K), rows sum to 1."""
        rows = patches.reshape(-1, patches.shape[-1])
        if self.assignment == "hard":
            return self.vocabulary_.one_hot(as_rows(rows))
        squares = self.vocabulary_.squared_distances(as_rows(rows))
        return softmax(-squares / (2 * self.sigma**2), axis=1)

    def _membership(self, shape: tuple[int, ...]) -> Floats:
        """Weight of every patch in every cell of the image: (cells, P), P = h * w * S.

        Lazebnik et al. 2006, eq. 3: level l of 0..L weighs 1 / 2^(L - l + 1), level 0 1 / 2^L.
        """
        h, w, s = shape
        cells = []
        for level, n in enumerate(self.levels):
            row, col = (np.arange(side) * n // side for side in (h, w))
            cell = np.repeat(row[:, None] * n + col, s)
            weight = 0.5 ** (len(self.levels) - max(level, 1))
            cells.append(weight * (cell == np.arange(n * n)[:, None]))
        return np.concatenate(cells).astype(np.float32)

    def votes(self, X: ArrayLike, weights: Floats) -> NDArray[np.float64]:
        """Return what each patch adds to the scores ``transform(X) @ weights``, times h * w.

        ``weights`` is (F, C); the result is (N, h, w, C), and its mean over h and w is the score.
        """
        return np.stack([self._vote(patches, weights) for patches in per_image(X)])

    def _vote(self, patches: Floats, weights: Floats) -> NDArray[np.float64]:
        h, w, s, _ = patches.shape
        membership = self._membership((h, w, s)).astype(np.float64)  # (cells, P)
        weights = weights * self._rarity()[:, None]
        table = weights.reshape(len(membership), -1, weights.shape[1])  # (cells, K, C)
        code = self._words(patches)  # (P, K)
        votes = sum(m[:, None] * (code @ t) for m, t in zip(membership, table, strict=True))
        return votes.reshape(h, w, s, -1).mean(2)


class PyramidEncoder(HistogramEncoder):
    """Spatial pyramid: one histogram for each cell of finer and finer grids (Lazebnik et al. 2006).

    Parameters
    ----------
    n_words : size of the vocabulary K; the vector has K entries for each cell, and sums to 1
    levels : level l cuts the image in ``levels[l]`` x ``levels[l]`` cells; the paper's: (1, 2, 4)
    assignment, sigma, random_state : as in `HistogramEncoder`
    """

    def __init__(
        self,
        n_words: int = 400,
        levels: Sequence[int] = (1, 2),
        *,
        assignment: str = "hard",
        sigma: float = 0.2,
        random_state: Any = 0,
    ) -> None:
        super().__init__(n_words, assignment=assignment, sigma=sigma, random_state=random_state)
        self.levels = levels


def per_image(X: ArrayLike) -> Floats:
    """Return descriptors (N, h, w, D) or (N, h, w, S, D) as (N, h, w, S, D), or ValueError."""
    X = np.asarray(X)
    if X.ndim not in (4, 5) or X.size == 0:
        raise ValueError(f"expected descriptors (N, h, w, D) or (N, h, w, S, D), got {X.shape}")
    return X if X.ndim == 5 else X[:, :, :, None]


def unit(vector: Floats) -> Floats:
    """Divide by the length; a zero vector stays zero."""
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
