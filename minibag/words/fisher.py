"""Encodings of how descriptors lie around their words: VLAD and the Fisher vector.

Both end with square roots and a division by the length, which help a linear classifier but mix the
patches: there is no evidence of one patch any more.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from minibag.words.encodings import Encoder, Floats, WordEncoder, unit
from minibag.words.vocabulary import as_rows, sample

MAX_DESCRIPTORS = 100_000  # more make `FisherEncoder.fit` slower, not better


class VLADEncoder(WordEncoder):
    """Where do the descriptors lie around their word? (Jegou et al. 2010, section 3).

    The vector holds, for each word, the sum of the differences between its descriptors and the
    word: K * D entries, with signed square roots and length 1 (Jegou et al., PAMI 2012).

    Parameters
    ----------
    n_words : size of the vocabulary K
    random_state : seed of the vocabulary
    """

    def __init__(self, n_words: int = 64, *, random_state: Any = 0) -> None:
        self.n_words = n_words
        self.random_state = random_state

    def _encode(self, patches: Floats) -> Floats:
        rows = as_rows(patches)
        code = self.vocabulary_.one_hot(rows)  # float64, and so is what follows
        count = np.asarray(code.sum(0)).reshape(-1, 1)
        return power_normalise((code.T @ rows - count * self.words_).ravel())


class FisherEncoder(Encoder):
    """Where would a Gaussian mixture have to move? Improved Fisher vector (Perronnin et al. 2010).

    Descriptors are reduced by PCA to D' dimensions and modelled by K Gaussians with diagonal
    covariance. The vector is the gradient of the log-likelihood with respect to means and standard
    deviations: 2 * K * D' entries, with signed square roots and length 1.

    Parameters
    ----------
    n_words : number of Gaussians K
    n_components : dimensions D' kept by PCA
    random_state : seed of the sample, PCA and mixture
    """

    learned: ClassVar = {"mean_": "D", "axes_": "dD"}  # the PCA; d stands for D'
    learned |= {"weights_": "K", "means_": "Kd", "deviations_": "Kd"}  # the mixture

    def __init__(self, n_words: int = 64, *, n_components: int = 64, random_state: Any = 0) -> None:
        self.n_words = n_words
        self.n_components = n_components
        self.random_state = random_state

    @threadpool_limits.wrap(limits=1)
    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn PCA and mixture from descriptors (..., D), a random sample of at most 100,000.

        Zero descriptors (flat patches) are left out: a Gaussian on them would have no width.
        """
        rows = as_rows(X)
        rows = sample(rows[rows.any(1)], MAX_DESCRIPTORS, self.random_state)
        need = max(self.n_words, self.n_components)
        if len(rows) < need:
            raise ValueError(f"a Fisher vector needs {need} descriptors or more, got {len(rows)}")
        pca = PCA(self.n_components, random_state=self.random_state).fit(rows.astype(np.float64))
        self.mean_, self.axes_ = pca.mean_, pca.components_
        mixture = GaussianMixture(
            self.n_words,
            covariance_type="diag",
            tol=1e-2,
            max_iter=50,
            init_params="k-means++",
            random_state=self.random_state,
        ).fit(self._reduce(rows))
        self.weights_, self.means_ = mixture.weights_, mixture.means_
        self.deviations_ = np.sqrt(mixture.covariances_)
        return self

    def _reduce(self, rows: Floats) -> Floats:
        return (rows.astype(np.float64) - self.mean_) @ self.axes_.T

    def _encode(self, patches: Floats) -> Floats:
        x = self._reduce(as_rows(patches))  # (P, D')
        g = self.posteriors(x)  # (P, K)
        s0, s1, s2 = g.sum(0)[:, None], g.T @ x, g.T @ x**2
        mu, sigma, w = self.means_, self.deviations_, self.weights_[:, None]
        by_mean = (s1 - s0 * mu) / (sigma * np.sqrt(w))
        by_sigma = (s2 - 2 * mu * s1 + s0 * (mu**2 - sigma**2)) / (sigma**2 * np.sqrt(2 * w))
        return power_normalise(np.concatenate([by_mean, by_sigma]).ravel() / len(x))

    def posteriors(self, x: Floats) -> Floats:
        """Return how likely each Gaussian made each reduced descriptor: (P, D') -> (P, K)."""
        precision = 1 / self.deviations_**2
        constant = np.log(self.weights_) - np.log(self.deviations_).sum(1)
        constant -= (self.means_**2 * precision).sum(1) / 2
        return softmax(constant + x @ (self.means_ * precision).T - x**2 @ precision.T / 2, axis=1)


def power_normalise(vector: Floats) -> Floats:
    """Take signed square roots, then divide by the length (Perronnin et al. 2010, section 3)."""
    return unit(np.sign(vector) * np.sqrt(np.abs(vector)))
