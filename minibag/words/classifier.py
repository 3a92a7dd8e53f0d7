"""A bag of visual words as one scikit-learn classifier, with the evidence of every patch.

A linear classifier on a histogram gives each word a weight for each class, so a patch votes with
the weight of its word, and the mean of the votes is the decision value (Csurka et al. 2004).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from minibag.bag import PatchGrid
from minibag.data.imageset import ImageSet
from minibag.data.names import difference
from minibag.words.encoder import BagEncoder, Images
from minibag.words.encodings import HistogramEncoder
from minibag.words.heads import is_linear, new_head
from minibag.words.storage import ENCODINGS, load_bag, save_bag
from minibag.words.vocabulary import Vocabulary

Floats = NDArray[np.floating]


class BagOfVisualWords(ClassifierMixin, BaseEstimator):
    """Classify images by their visual words.

    ``images`` is whatever `BagEncoder` reads; an ImageSet, or a stream of them, brings its labels
    and class names along.

    Parameters
    ----------
    features : transformer of images to descriptors; None is ``DenseSIFT()``
    n_words : size of the vocabulary; None is 400 for histogram and pyramid, 64 for VLAD and Fisher
    encoding : "histogram", "pyramid", "vlad", "fisher" or an encoder with its own ``n_words``
    classifier : "linear_svm", "logistic", "intersection" (an SVM with the histogram-intersection
        kernel) or a scikit-learn classifier. The two linear ones learn on standardised histograms;
        the scale is then folded into ``coef_``.
    random_state : seed of sample, vocabulary and classifier
    C : inverse strength of the regularisation, for vectors of about length 1 (standardised
        histograms are scaled to it). 0.2 suits the SVM on histograms; give 1 to 3 to "logistic"
        and to VLAD and Fisher vectors.
    n_jobs : threads, or what joblib is told to take instead, see `BagEncoder`

    Attributes
    ----------
    classes_ : labels (C,), in the order of all outputs
    classes : their names, a tuple of str
    encoder_ : BagEncoder, the fitted images-to-vectors step
    coef_, intercept_ : float64 arrays (C, F) and (C,), or (1, F) and (1,) for two classes: the
        linear head on the vectors of ``encoder_``; None if the head is not linear
    """

    def __init__(
        self,
        features: Any = None,
        n_words: int | None = None,
        encoding: Any = "histogram",
        classifier: Any = "linear_svm",
        random_state: Any = 0,
        *,
        C: float = 0.2,
        n_jobs: int | None = None,
    ) -> None:
        self.features = features
        self.n_words = n_words
        self.encoding = encoding
        self.classifier = classifier
        self.random_state = random_state
        self.C = C
        self.n_jobs = n_jobs

    def fit(self, X: Images, y: ArrayLike | None = None) -> Self:
        """Learn codebook and classifier from images and labels (N,)."""
        if y is None and isinstance(X, np.ndarray):
            raise ValueError("requires y to be passed, but the target y is None: an array has none")
        head = new_head(self.classifier, self.C, self.random_state)
        self.encoder_ = self.images_to_vectors(self._new_encoder()).fit(X)
        seen: list[tuple[Any, ...]] = []
        vectors = self.encoder_.transform(partial(_note_labels, X, seen) if y is None else X)
        labels = np.concatenate([s[0] for s in seen]) if y is None else np.asarray(y)
        self.classes_ = np.unique(labels)
        names = [seen[0][1][c] for c in self.classes_] if y is None else self.classes_
        self.classes = tuple(map(str, names))
        self._fit_head(head, vectors, labels)
        return self

    def images_to_vectors(self, encoder: Any) -> BagEncoder:
        """Return the unfitted step that stands before the head."""
        return BagEncoder(
            self.features, encoder, n_jobs=self.n_jobs, random_state=self.random_state
        )

    def _new_encoder(self) -> Any:
        if not isinstance(self.encoding, str):
            if self.n_words is not None:
                raise ValueError("give n_words to the encoder object, not to BagOfVisualWords")
            return self.encoding
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding must be one of {[*ENCODINGS]} or an encoder object")
        size = {} if self.n_words is None else {"n_words": self.n_words}
        return ENCODINGS[self.encoding](random_state=self.random_state, **size)

    @threadpool_limits.wrap(limits=1)
    def _fit_head(self, head: Any, vectors: Floats, labels: NDArray[Any]) -> None:
        """Fit the head; a linear one is rewritten to act on the vectors as they are."""
        n_features = vectors.shape[1]
        centre, scale = np.zeros(n_features), np.ones(n_features)
        counts = isinstance(self.encoder_.encoder_, HistogramEncoder)
        if counts and self.classifier in ("linear_svm", "logistic"):
            centre = vectors.mean(0, dtype=float)
            scale = vectors.std(0, dtype=float) * n_features**0.5
            scale[scale == 0] = 1  # a word that never occurs
            vectors = (vectors - centre) / scale  # average length 1
        self.head_ = head.fit(vectors, labels)
        self.coef_: Any = None
        self.intercept_: Any = None
        if is_linear(head, vectors[:20]):
            self.coef_ = np.ascontiguousarray(np.atleast_2d(head.coef_) / scale)
            self.intercept_ = np.atleast_1d(head.intercept_) - self.coef_ @ centre

    def decision_function(self, X: Images) -> Floats:
        """Return the score of every class (N, C), or of ``classes_[1]`` if there are two (N,)."""
        vectors = self._fitted().transform(X)
        if self.coef_ is None:
            return self.head_.decision_function(vectors)
        scores = vectors.astype(float) @ self.coef_.T + self.intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def logits(self, images: Images) -> Floats:
        """Return the score of every class (N, C).

        Two classes share the one score of `decision_function`: half of it speaks for the second
        and against the first, so that the difference is the score, and softmax the logistic
        function of it.
        """
        scores = self.decision_function(images)
        return np.stack([-scores, scores], axis=1) / 2 if scores.ndim == 1 else scores

    def predict(self, X: Images) -> NDArray[Any]:
        """Return the label with the highest score: (N,)."""
        best = self.logits(X).argmax(1)  # before classes_: it says if there was no fit
        return self.classes_[best]

    def predict_proba(self, X: Images) -> Floats:
        """Return the probability of every class (N, C).

        The softmax of the `logits`, as in every Predictor: scikit-learn's own of a logistic
        regression; of an SVM it orders the classes but is not calibrated.
        """
        return softmax(self.logits(X), axis=1)

    def evidence(self, images: Images) -> NDArray[np.float64]:
        """Return what each patch says for each class: (N, C, h, w), mean over h and w = `logits`.

        Raises ValueError, with the cause, if the scores are no mean over patches: a kernel or
        another non-linear classifier, square roots, or a division by the vector's length.
        """
        bag = self._fitted()
        if cause := self.mixes_patches:
            raise ValueError(f"no exact evidence per patch: {cause}, which mixes the patches")
        vote = partial(bag.encoder_.votes, weights=self.coef_.T)
        votes = bag.map_descriptors(repeat(vote), images)  # (n, h, w, C) each
        evidence = np.moveaxis(np.concatenate(votes) + self.intercept_, 3, 1)
        return np.concatenate([-evidence, evidence], 1) / 2 if len(self.classes_) == 2 else evidence

    @property
    def mixes_patches(self) -> str:
        """Why there is no `evidence`; empty if there is."""
        if self._fitted() and self.coef_ is None:
            return f"the classifier {self.classifier!r} is not linear in the vector (a kernel?)"
        return self.encoder_.encoder_.mixes_patches

    @property
    def sees_places(self) -> bool:
        """Whether a patch votes differently in another place, as in a spatial pyramid."""
        return max(getattr(self._fitted().encoder_, "levels", (1,))) > 1

    def grid(self, image_shape: tuple[int, int]) -> PatchGrid:
        """Return where the patches of an image of this (H, W) lie."""
        return self._fitted().features_.grid(image_shape)

    @property
    def image_shape_(self) -> tuple[int, int]:
        """Size (H, W) of the images it was fitted on."""
        return self._fitted().image_shape_

    @property
    def preparation(self) -> dict[str, Any]:
        """How photographs are read for it, for `minibag.image_folder`: their side in pixels."""
        return {"size": min(self.image_shape_)}

    @property
    def vocabulary_(self) -> Vocabulary:
        """The visual words; a Fisher vector has none."""
        return self._fitted().encoder_.vocabulary_

    def word_maps(self, images: Images) -> NDArray[np.int32]:
        """Return the word of every patch: (N, h, w), or (N, h, w, S) for S patch sizes."""
        to_words = repeat(self.vocabulary_.predict)
        return np.concatenate(self.encoder_.map_descriptors(to_words, images))

    def _fitted(self) -> BagEncoder:
        check_is_fitted(self, "encoder_")
        return self.encoder_

    save = save_bag
    load: Any = classmethod(load_bag)


def _note_labels(images: Images, seen: list[tuple[Any, ...]]) -> Iterator[ImageSet]:
    """Yield the batches of an ImageSet or a stream, and note their labels and class names."""
    stream = images() if callable(images) else images
    for batch in [stream] if isinstance(stream, ImageSet) else stream:
        if not isinstance(batch, ImageSet):
            raise ValueError("no labels: give y, an ImageSet, or a stream of ImageSets")
        if seen and (apart := difference(seen[0][1], batch.classes)):
            raise ValueError(f"one stream, two sets of classes: {apart}")
        seen.append((batch.labels, batch.classes))
        yield batch
